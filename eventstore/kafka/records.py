"""Appends as Kafka records: encoded and size-checked whole, then sent in one go."""

import time
from collections.abc import Callable, Sequence
from itertools import islice, repeat
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message, Producer

from eventstore.defaults import BYTES_PER_APPEND, EVENTS_PER_APPEND
from eventstore.errors import AppendTooLarge
from eventstore.events import Event
from eventstore.kafka.header import (
    HEADER,
    LAYOUT,
    NO_APPEND,
    NO_FINGERPRINT,
    NO_OFFSET,
    STRUCT,
    Header,
    Kind,
    pack,
)
from eventstore.kafka.messages import EncodedEvent, Encoder, timestamp_of
from eventstore.kafka.session import Session
from eventstore.metadata import size_of
from eventstore.postgres.checkpoints import PartitionKey
from eventstore.store import Append, ExpectedVersion

EVENT: Final = int(Kind.EVENT)
BY: Final = "by"
"""A claim's further header: host and process, for people."""

Report = Callable[[ClientError | None, Message], None]
"""What the client calls for each record, once, with its error or its offset."""


Headers: TypeAlias = tuple[tuple[str, bytes], ...]
"""The further headers of a record, beside ours."""

MessageHeaders: TypeAlias = list[tuple[str, str | bytes | None]]
"""All headers of a record, as the client takes them."""

Record: TypeAlias = tuple[bytes, bytes, int]
"""One event, ready to be sent: its value, its header, its timestamp in ms."""


class EncodedAppend(NamedTuple):
    """An append whose events are bytes already: what travels from process to process."""

    topic: str
    stream: str
    events: Sequence[EncodedEvent]
    expected: ExpectedVersion
    append_id: UUID
    headers: Headers = ()


def encode(encoder: Encoder, appends: Sequence[Append]) -> list[EncodedAppend]:
    """Encode appends whole, and check their sizes; many are quicker together than one by one.

    Raises:
        AppendTooLarge: One has too many events, or too many bytes.
        EncodingError: An event does not fit its schema.
    """
    now = time.time_ns() // 1_000
    events: list[Event] = []
    times: list[int] = []
    for append in appends:
        count = len(append.events)
        if count > EVENTS_PER_APPEND:
            raise AppendTooLarge(append.stream, count, EVENTS_PER_APPEND, "events")
        events += append.events
        times += append.times or repeat(now, count)
    encoded = iter(encoder.encode(events, times))
    return [_whole(append, list(islice(encoded, len(append.events)))) for append in appends]


def _whole(append: Append, events: list[EncodedEvent]) -> EncodedAppend:
    overhead = len(append.stream.encode()) + STRUCT.size + size_of(append.metadata)
    size = sum([len(value) for value, _, _ in events]) + overhead * len(events)
    if size > BYTES_PER_APPEND:
        raise AppendTooLarge(append.stream, size, BYTES_PER_APPEND, "bytes")
    headers = append.metadata.headers() if append.metadata is not None else ()
    return EncodedAppend(
        append.topic, append.stream, events, append.expected, append.append_id, headers
    )


def records_of(
    append: EncodedAppend, *, session: Session[Any], version: int, previous: int
) -> list[Record]:
    """The records of an append to a stream at ``version``, whose last event is at ``previous``."""
    count = len(append.events)
    epoch, writer, append_id = session.epoch, session.writer, append.append_id.bytes
    sequence, first_offset = session.next_sequence, session.offset_of(session.next_sequence)
    records: list[Record] = []
    for index, (value, fingerprint, at) in enumerate(append.events):
        header = STRUCT.pack(
            LAYOUT,
            EVENT,
            index,
            count,
            epoch,
            sequence + index,
            version + index + 1,
            at,
            first_offset + index - 1 if index else previous,
            writer,
            append_id,
            fingerprint,
        )
        records.append((value, header, timestamp_of(at)))
    return records


def claim_header(*, epoch: int, writer: bytes, partitions: int) -> bytes:
    """The header of a claim."""
    now = time.time_ns() // 1_000
    return pack(
        Header(
            layout=LAYOUT,
            kind=Kind.CLAIM,
            index=0,
            count=partitions,
            epoch=epoch,
            sequence=0,
            version=0,
            time=now,
            previous=NO_OFFSET,
            writer=writer,
            append=NO_APPEND,
            fingerprint=NO_FINGERPRINT,
        )
    )


def send_append(
    producer: Producer,
    key: PartitionKey,
    append: EncodedAppend,
    records: Sequence[Record],
    report: Report,
) -> int:
    """Hand an append's records to the client; gives how many it took: fewer than all is doubt.

    Nothing is handed over before all of it is known to fit: a record that the client refuses does
    not call back those before it.
    """
    produce = producer.produce
    topic, partition, stream = key.topic, key.partition, append.stream.encode()
    taken, further = 0, append.headers
    try:
        for value, header, timestamp in records:
            headers: MessageHeaders = [(HEADER, header), *further]
            # By place, in the order of its parameters: by name it takes half as long again.
            produce(topic, value, stream, partition, report, None, timestamp, headers)
            taken += 1
    except Exception:  # noqa: BLE001 - whatever it is, what was taken goes out
        return taken
    return taken


def send_claim(
    producer: Producer, key: PartitionKey, header: bytes, by: str, report: Report
) -> None:
    """Send a claim: an empty key, no value."""
    producer.produce(
        key.topic,
        None,
        b"",
        key.partition,
        on_delivery=report,
        headers=[(HEADER, header), (BY, by.encode())],
    )
