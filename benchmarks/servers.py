"""Topics and databases of a benchmark's own, on real servers."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import confluent_kafka.admin
from psycopg import sql

from benchmarks import bank
from eventstore.kafka.schemas import SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Topics
from eventstore.postgres import address
from foldlog import migrations

admin: Final[Any] = confluent_kafka.admin
"""Its stubs leave out what it exports."""

PARTITIONS: Final = 12


class Servers(NamedTuple):
    """Where Kafka and PostgreSQL are."""

    kafka: str
    postgres: str

    @contextmanager
    def database(self) -> Generator[str]:
        """The URL of a new database with the toolkit's tables, dropped at the end."""
        name = f"bench_{secrets.token_hex(6)}"
        with address.connect(self.postgres, autocommit=True) as db:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = address.parse(self.postgres).set(drivername="postgresql", database=name)
        postgres = url.render_as_string(hide_password=False)
        try:
            migrations.upgrade(postgres)
            yield postgres
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            with address.connect(self.postgres, autocommit=True) as db:
                db.execute(drop)

    def topic(self, name: str, partitions: int = PARTITIONS) -> str:
        """A new topic, made as the toolkit makes them."""
        topic = f"bench_{secrets.token_hex(6)}_{name}"
        Topics(KafkaSettings(self.kafka), "single", partitions).ensure(topic)
        return topic

    def flushed_topic(self, name: str) -> str:
        """A new topic whose records are on disk before they are acknowledged."""
        topic = self.topic(name)
        flush = admin.ConfigEntry(
            "flush.messages", "1", incremental_operation=admin.AlterConfigOpType.SET
        )
        resource = admin.ConfigResource("topic", topic, incremental_configs=[flush])
        client: Any = KafkaSettings(self.kafka).admin()
        client.incremental_alter_configs([resource])[resource].result()
        return topic

    def schemas(self) -> dict[str, tuple[int, str]]:
        """What a floor must know of each event: its schema's id, and its fingerprint in hex."""
        settings = KafkaSettings(self.kafka)
        registry = SchemaRegistry(settings, Topics(settings, "single", PARTITIONS))
        codecs = {each.event_name: each.codec for each in bank.EVENT_TYPES}
        registry.register(codecs.values())
        return {
            name: (registry.id_of(codec.sha256), codec.fingerprint.hex())
            for name, codec in codecs.items()
        }

    def floor_job(self) -> dict[str, Any]:
        """What every floor is told."""
        return {"kafka": self.kafka, "partitions": PARTITIONS, "schemas": self.schemas()}
