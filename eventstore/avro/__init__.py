"""What the bytes mean: events as Avro."""

from eventstore.avro._bytes import Schema
from eventstore.avro.codec import EventCodec
from eventstore.avro.derivation import canonical, schema_of, sha256

__all__ = ["EventCodec", "Schema", "canonical", "schema_of", "sha256"]
