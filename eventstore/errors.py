"""The errors of the write side.

EventStoreError
├── DefinitionError             an event or aggregate class is not well formed
│   ├── UnsupportedType         a field's type has no Avro form here
│   └── UnknownEventName        the log holds an event that no class here is named for
├── InvalidStreamId             a stream id that cannot be a Kafka key and a PostgreSQL text
├── InvalidAppend               an append that contradicts itself
├── InvalidMetadata             metadata that is not text, or too large
├── AppendTooLarge              an append over its bounds; final
├── AppendError                 an append that was not acknowledged
│   ├── ConcurrencyError        the stream has moved on; final
│   ├── VersionAhead            the stream has not come that far; not final
│   ├── AppendIdReused          its append id belongs to another stream's append; final
│   ├── DeliveryFailed          the broker refused its records, twice
│   ├── Busy                    the writer's queue is full; not final
│   └── UnknownOutcome          the log alone knows; repeat the append id
│       └── NoWriter            no process writes to the topic
├── StreamNotFound              no event was ever appended to this stream
├── PastNotFound                the stream has no such version, or had no event by that time
├── UnstorableState             a state that would not come back from JSON as it is
├── EncodingError               an event does not fit its Avro schema
├── DecodingError               bytes that are not what their schema says
├── ConfigurationError          an address or a setting is missing or refused
├── TopicError                  a topic could lose events, or is not the one we knew
│   ├── UnsafeTopic             effective settings that could lose events
│   ├── TopicMissing            it is not there (any more)
│   ├── TopicRecreated          same name, another topic id
│   ├── PartitionsChanged       keys would move to other partitions
│   └── UnfitMailTopic          a request or reply topic has another number of partitions
├── LogError                    the log holds what no reader may pass over
│   ├── UnknownRecord           our header with an unknown layout or kind
│   ├── UndecodableEvent        a valid event whose bytes are not what its schema says
│   ├── SchemaNotFound          no schema of this fingerprint was ever registered
│   ├── SchemasLost             the schemas topic does not begin with its first schema any more
│   ├── BrokenChain             an event does not say truly where its stream's previous one is
│   ├── OffsetGone              the log no longer holds the offset to read from
│   └── UnreadablePartition     a partition, or what is kept of it, cannot be read
├── CheckpointFenced            another writer has stored a later checkpoint
└── StoreClosed                 the store was closed, or its writer has failed
"""

from datetime import datetime
from uuid import UUID


class EventStoreError(Exception):
    """Any error of the write side."""


class DefinitionError(EventStoreError):
    """An event or aggregate class is not well formed; raised when the class is defined."""


class UnsupportedType(DefinitionError):
    """A field's type has no Avro form here; raised when the event class is defined."""

    def __init__(self, event: str, field: str, found: str, why: str) -> None:
        self.event, self.field, self.found, self.why = event, field, found, why
        super().__init__(
            f"{event}.{field}: expected int, float, bool, str, UUID, date, an aware datetime, "
            f"an enum or Optional of one of these; found {found}: {why}"
        )


class UnknownEventName(DefinitionError):
    """The log holds an event that no class of this application is named for."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        super().__init__(
            f"expected one of the events {', '.join(sorted(known))}; found {name!r} in the log: "
            "define an event with this stored name, and add it to its aggregate's union"
        )


class InvalidStreamId(EventStoreError, ValueError):
    """A stream id that cannot be a Kafka key and a PostgreSQL text."""

    def __init__(self, stream: str, why: str) -> None:
        self.stream, self.why = stream, why
        super().__init__(
            "expected a stream id of 1 to 255 bytes of UTF-8 without U+0000; "
            f"found {stream[:64]!r}: {why}"
        )


class InvalidAppend(EventStoreError, ValueError):
    """An append that contradicts itself; nothing was sent."""

    def __init__(self, stream: str, found: str, advice: str) -> None:
        self.stream = stream
        super().__init__(f"the append to {stream!r} is not well formed: {found}; {advice}")


class InvalidMetadata(EventStoreError, ValueError):
    """Metadata that is not text, or too large; nothing was sent."""

    def __init__(self, expected: str, found: str, advice: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(f"metadata: expected {expected}; found {found}: {advice}")


class AppendTooLarge(EventStoreError):
    """An append over its bounds; nothing was sent, and the same append will never succeed."""

    def __init__(self, stream: str, found: int, limit: int, unit: str) -> None:
        self.stream, self.found, self.limit, self.unit = stream, found, limit, unit
        super().__init__(
            f"expected at most {limit} {unit} in one append; found {found} for {stream!r}: "
            "split the command into several"
        )


class AppendError(EventStoreError):
    """An append that was not acknowledged."""

    def __init__(self, stream: str, append_id: UUID, message: str) -> None:
        self.stream, self.append_id = stream, append_id
        super().__init__(message)


class ConcurrencyError(AppendError):
    """The stream has moved on since it was loaded. Final: this append never happens."""

    def __init__(self, stream: str, append_id: UUID, expected: int, found: int) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            stream,
            append_id,
            f"expected {stream!r} at version {expected}; found version {found}: "
            "load the aggregate again and repeat the command",
        )


class VersionAhead(AppendError):
    """The append expects a version that the stream has not reached. Not final."""

    def __init__(self, stream: str, append_id: UUID, expected: int, found: int) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            stream,
            append_id,
            f"expected {stream!r} at version {expected}; found version {found}: the events before "
            "it are not in the log (an earlier append failed?); load the aggregate again",
        )


class AppendIdReused(AppendError):
    """The append id was applied already, to another stream. Final."""

    def __init__(self, stream: str, append_id: UUID, applied_to: str) -> None:
        self.applied_to = applied_to
        super().__init__(
            stream,
            append_id,
            f"expected a new append id for {stream!r}, or one that was applied to it; found "
            f"{append_id}, which was applied to {applied_to!r}: derive append ids from the stream "
            "too",
        )


class DeliveryFailed(AppendError):
    """The broker refused the append's records, also when they were sent alone; none is valid."""

    def __init__(self, stream: str, append_id: UUID, why: str) -> None:
        self.why = why
        super().__init__(
            stream,
            append_id,
            f"expected the broker to take the append to {stream!r}; found: {why}; mend the cause, "
            "then repeat it",
        )


class UnknownOutcome(AppendError):
    """Whether the append happened is not known; repeating its append id tells."""

    def __init__(self, stream: str, append_id: UUID, why: str) -> None:
        self.why = why
        super().__init__(
            stream,
            append_id,
            f"expected an acknowledgement of append {append_id} to {stream!r}; found {why}: "
            "repeat it with the same append id to learn its outcome",
        )


class NoWriter(UnknownOutcome):
    """Nobody answered, and no process is a writer of the topic; repeating the append id tells."""

    def __init__(self, stream: str, append_id: UUID, topic: str, seconds: float) -> None:
        self.topic, self.seconds = topic, seconds
        super().__init__(
            stream,
            append_id,
            f"no answer within {seconds:g} s, and no process that writes to topic {topic!r}; "
            "start one, as by `foldlog writers`",
        )


class Busy(AppendError):
    """The writer of the stream's partition has too many requests waiting. Not final."""

    def __init__(self, stream: str, append_id: UUID, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(
            stream,
            append_id,
            f"expected the writer of {stream!r} to have room; found {waiting} requests waiting: "
            "repeat it a little later, with the same append id, or send less at once",
        )


class StreamNotFound(EventStoreError, LookupError):
    """No event was ever appended to this stream."""

    def __init__(self, topic: str, stream: str) -> None:
        self.topic, self.stream = topic, stream
        super().__init__(
            f"expected a stream {stream!r} in topic {topic!r}; found no event of it: "
            "check the id, or create the aggregate"
        )


class PastNotFound(EventStoreError, LookupError):
    """The stream has not come to the version asked for, or had no event at the time asked for."""

    def __init__(self, topic: str, stream: str, asked: int | datetime, version: int) -> None:
        self.topic, self.stream, self.asked, self.version = topic, stream, asked, version
        if isinstance(asked, datetime):
            expected = f"an event at or before {asked.isoformat()}"
            found, advice = "its first event later", "ask for a later time"
        else:
            expected = f"version {asked}"
            found, advice = f"version {version}", f"ask for one from 1 to {version}"
        super().__init__(
            f"expected {expected} of stream {stream!r} in topic {topic!r}; found {found}: {advice}"
        )


class UnstorableState(EventStoreError):
    """A state that would not come back from JSON as it is; it is made from the log instead."""

    def __init__(self, aggregate: str, why: str) -> None:
        self.aggregate, self.why = aggregate, why
        super().__init__(
            f"expected the state of {aggregate} to come back from JSON as it is; found {why}: "
            "it is not stored, and loads read its events instead"
        )


class EncodingError(EventStoreError, ValueError):
    """An event does not fit its Avro schema; nothing was sent."""

    def __init__(self, event: str, why: str) -> None:
        self.event = event
        super().__init__(f"the event {event!r} does not fit its Avro schema: {why}")


class DecodingError(EventStoreError, ValueError):
    """Bytes that are not what their schema says."""

    def __init__(self, event: str, why: str) -> None:
        self.event = event
        super().__init__(f"expected the Avro bytes of {event!r}; found {why}")


class ConfigurationError(EventStoreError):
    """An address or a setting is missing or refused."""


class TopicError(EventStoreError):
    """A topic could lose events, or is not the one that we knew."""

    def __init__(self, topic: str, message: str) -> None:
        self.topic = topic
        super().__init__(message)


class UnsafeTopic(TopicError):
    """A topic's effective settings could lose events."""

    def __init__(self, topic: str, setting: str, expected: str, found: str, command: str) -> None:
        self.setting, self.expected, self.found, self.command = setting, expected, found, command
        super().__init__(
            topic,
            f"topic {topic!r} could lose events: expected {setting}={expected}, "
            f"found {found}; mend it with: {command}",
        )


class TopicMissing(TopicError):
    """A topic is not there; ``known`` is the id it had when it was, None if it never was."""

    def __init__(self, topic: str, known: str | None = None) -> None:
        self.known = known
        before = f", which had the id {known}" if known else ""
        advice = (
            "it was deleted; restore it, or start with an empty database"
            if known
            else "open the application once, or make it by `foldlog topics plan`"
        )
        super().__init__(topic, f"expected topic {topic!r}{before}; found none: {advice}")


class TopicRecreated(TopicError):
    """A topic has the name that we know, and another id: it was deleted and made again."""

    def __init__(self, topic: str, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            topic,
            f"expected topic {topic!r} with id {expected}; found id {found}: it was deleted and "
            "made again, so what is stored about it here speaks of another log; restore the "
            "topic, or use an empty database and replay",
        )


class PartitionsChanged(TopicError):
    """A topic's number of partitions is not the recorded one: keys would move."""

    def __init__(self, topic: str, expected: int, found: int) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            topic,
            f"expected topic {topic!r} with {expected} partitions; found {found}: streams would "
            "move to other partitions and lose their history; replay into a new topic instead",
        )


class UnfitMailTopic(TopicError):
    """A request or reply topic has not as many partitions as its topic of events."""

    def __init__(self, topic: str, expected: int, found: int, command: str) -> None:
        self.expected, self.found, self.command = expected, found, command
        super().__init__(
            topic,
            f"expected topic {topic!r} with {expected} partitions, as its topic of events has; "
            f"found {found}: nothing in it lasts; stop the writers and delete it, and they make "
            f"it again: {command}",
        )


class LogError(EventStoreError):
    """The log holds what no reader may pass over."""


class UnknownRecord(LogError):
    """A record has our header with a layout or kind that this release does not know."""

    def __init__(self, topic: str, partition: int, offset: int, found: str) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        super().__init__(
            f"expected a header of layout 1 and kind 1, 2 or 3 at {topic}[{partition}]@{offset}; "
            f"found {found}: it was written by a newer release; upgrade this reader"
        )


class UndecodableEvent(LogError):
    """A valid event whose bytes are not what its schema says, or whose schema is not known."""

    def __init__(self, topic: str, partition: int, offset: int, why: str) -> None:
        self.topic, self.partition, self.offset, self.why = topic, partition, offset, why
        super().__init__(
            f"expected an event that this release can decode at {topic}[{partition}]@{offset}: "
            f"{why}"
        )


class SchemaNotFound(LogError):
    """No schema of this fingerprint was ever registered."""

    def __init__(self, fingerprint: bytes, topic: str) -> None:
        self.fingerprint, self.topic = fingerprint, topic
        super().__init__(
            f"expected a schema whose SHA-256 begins with {fingerprint.hex()} in topic {topic!r}; "
            "found none: restore that topic, or register the schema"
        )


class SchemasLost(LogError):
    """The schemas topic does not begin with its first schema any more.

    A schema's id is where it stands: registered again, it would get another than events name.
    """

    def __init__(self, topic: str, start: int) -> None:
        self.topic, self.start = topic, start
        super().__init__(
            f"expected {topic} to hold all schemas from offset 0 on; found that it begins at "
            f"offset {start}: schemas were deleted or have expired, by which events in the log "
            "are read; restore the topic from a backup, and see `foldlog doctor` for its settings"
        )


class BrokenChain(LogError):
    """A stream's events do not lead to each other; raised while a stream is read."""

    def __init__(self, stream: str, version: int, where: str, found: str) -> None:
        self.stream, self.version, self.where, self.found = stream, version, where, found
        super().__init__(
            f"expected version {version} of {stream!r} at {where}; found {found}: the topic was "
            "truncated, made again or written by other means; restore it"
        )


class OffsetGone(LogError):
    """The log no longer holds the offset to read from: retention, truncation, another topic."""

    def __init__(self, topic: str, partition: int, offset: int, found: str) -> None:
        self.topic, self.partition, self.offset, self.found = topic, partition, offset, found
        super().__init__(
            f"expected {topic}[{partition}] to hold offset {offset}; found {found}: the topic was "
            "truncated, expired or made again; restore it, or rebuild from an empty database "
            "what was read from it"
        )


class UnreadablePartition(LogError):
    """The broker refuses to let a partition be read, or PostgreSQL what is kept of it."""

    def __init__(self, topic: str, partition: int, why: str) -> None:
        self.topic, self.partition, self.why = topic, partition, why
        super().__init__(
            f"expected {topic}[{partition}] to be readable; found: {why}; check that the topic "
            "exists, that this user may read it, and that PostgreSQL answers"
        )


class CheckpointFenced(EventStoreError):
    """A checkpoint is stored that our claim does not allow: of a later epoch, or beyond it.

    ``mine`` and ``found`` are each an epoch, and the offset after our claim or the checkpoint's.
    """

    def __init__(
        self, topic: str, partition: int, mine: tuple[int, int], found: tuple[int, int]
    ) -> None:
        self.topic, self.partition, self.mine, self.found = topic, partition, mine, found
        (epoch, offset), (found_epoch, found_offset) = mine, found
        if found_epoch > epoch:
            told = (
                f"of epoch {epoch} or before; found epoch {found_epoch}: another process writes "
                "to this partition"
            )
        else:
            told = (
                f"at offset {offset} or before; found offset {found_offset}, of epoch "
                f"{found_epoch}: it speaks of a longer log; unless this passes by itself, the log "
                "was truncated: restore the topic, or use an empty database and replay"
            )
        super().__init__(f"expected the checkpoint of {topic}[{partition}] to be {told}")


class StoreClosed(EventStoreError):
    """The store was closed, or its writer has failed; open it again."""
