"""`KafkaEventStore`: streams on Kafka, behind the port that the repository knows."""

import os
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from confluent_kafka import murmur2

from eventstore.defaults import APPENDS_IN_FLIGHT
from eventstore.errors import ConfigurationError, EventStoreError, InvalidAppend, StoreClosed
from eventstore.events import Event
from eventstore.kafka.decoder import Decoder
from eventstore.kafka.header import NO_APPEND
from eventstore.kafka.history import StreamReader
from eventstore.kafka.messages import Encoder
from eventstore.kafka.requests import (
    AppendRequest,
    Question,
    appended_of,
    question_of_append,
    question_of_head,
)
from eventstore.kafka.routing import Role
from eventstore.kafka.schemas import SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import TopicInfo, Topics
from eventstore.kafka.writer import Writer
from eventstore.postgres.checkpoints import LookUp, Tip
from eventstore.store import Append, Appended, Head, Recorded

T = TypeVar("T")


class KafkaEventStore:
    """The streams of some topics, whichever process appends to them.

    ``event_types`` gives each topic's event classes. Nothing is written before the first append
    to a topic: that makes the topic if it is missing, and registers its schemas. By its ``role``
    this process then becomes one of the topic's writers, who share its partitions; appends to
    the partitions of others travel to them. A ``"client"`` never writes: it sends every append,
    and needs a writer somewhere. Without ``postgres``, heads are read from the start of each
    partition.

    Use as a context manager, or call `close`. Safe to use from many threads.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        event_types: Mapping[str, Sequence[type[Event]]],
        *,
        topics: Topics,
        registry: SchemaRegistry,
        postgres: str | None = None,
        role: Role = "writer",
    ) -> None:
        self._settings = settings
        self._event_types = {topic: tuple(types) for topic, types in event_types.items()}
        self._topics = topics
        self._registry = registry
        self._known: dict[str, TopicInfo] = {}
        self._registered: set[str] = set()
        self._lock = threading.Lock()
        # Tokens, since a semaphore takes twenty times as long, for each append.
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._leave = partial(self._room.put, None)
        for _ in range(APPENDS_IN_FLIGHT):
            self._leave()
        self._writer = Writer(settings, postgres, Encoder(registry), topics=topics, role=role)
        self._readers: dict[str, StreamReader] = {}
        self._closed = False
        self._process = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the appends in flight, store last checkpoints, close all connections.

        Raises:
            EventStoreError: Called by the callback of a future; the store is still open.
        """
        if self._forked:  # the threads and connections are not its own, nor is the lock
            self._closed = True
            return
        if not self._closed:
            self._check_thread("the store to be closed")
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._writer.close()
            for reader in self._readers.values():
                reader.close()

    def open_topics(self) -> None:
        """Make or check every topic and take on this store's role in it, before any append.

        Raises:
            StoreClosed: The store was closed, or its writer has failed.
            TopicError: A topic could lose events, or is not the one that was recorded.
            ConfigurationError: Kafka cannot be reached.
        """
        self.check()
        for topic in self._event_types:
            self._open_topic(topic)

    def check(self) -> None:
        """Raise `StoreClosed` if appends cannot be made here any more."""
        self._check_open()

    def submit(self, append: Append) -> Future[Appended]:
        """Decide and store an append; blocks while 512 are in flight. See `EventStore.submit`.

        Raises:
            StoreClosed: The store was closed, or its writer has failed.
            TopicError: The topic could lose events, or is not the one that was recorded.
            ConfigurationError: Kafka cannot be reached, or the topic is not this store's.
        """
        self._check_open()
        if append.topic not in self._registered:
            self._open_topic(append.topic)
        self._check_events(append)
        request = AppendRequest(append, self._partition(append.topic, append.stream))
        # A future's callback runs on the writer's thread, which makes the room: it never waits.
        with suppress(queue.Empty):
            self._room.get(block=not self._writer.is_current)
            request.release = self._leave
        self._writer.put(request)
        return request.future

    def head(self, topic: str, stream: str) -> Head | None:
        """The stream's head, with at least what this store has appended; None: no stream.

        Raises:
            StoreClosed: The store was closed, or its writer has failed.
        """
        tip = self._tip(topic, stream)
        return None if tip is None else Head(tip.version, UUID(bytes=tip.append), *tip[2:])

    def applied(self, topic: str, stream: str, append_id: UUID) -> Appended | None:
        """The first answer to this append id, if it was applied to this stream.

        Raises:
            StoreClosed: The store was closed, or its writer has failed.
        """
        if not self._exists(topic):
            return None
        partition = self._partition(topic, stream)
        applied = self._ask(question_of_append(LookUp(topic, partition, stream, append_id.bytes)))
        if applied is None or applied.stream != stream:
            return None
        return appended_of(topic, partition, applied, repeated=True)

    def read(self, topic: str, stream: str, *, after: int = 0) -> Iterator[Recorded[Event]]:
        """The stream's events with a version above ``after``, in order.

        Raises:
            StoreClosed: The store was closed, or its writer has failed.
            LogError: The log does not give what it must hold.
        """
        head = self.head(topic, stream)
        if head is None or head.version <= after:
            return iter(())
        partition = self._partition(topic, stream)
        return self._reader(topic).read(topic, partition, stream, head, after=after)

    def _tip(self, topic: str, stream: str) -> Tip | None:
        if not self._exists(topic):
            return None
        partition = self._partition(topic, stream)
        return self._ask(question_of_head(LookUp(topic, partition, stream, NO_APPEND)))

    def _ask(self, question: Question[T]) -> T | None:
        self._check_open()
        self._check_thread("streams to be read")
        self._writer.put(question)
        return question.future.result()

    def _check_thread(self, what: str) -> None:
        if self._writer.is_current:
            raise EventStoreError(
                f"expected {what} from a thread of the caller's; found the callback of a future, "
                "which runs on the writer's thread: hand it over to another"
            )

    @property
    def _forked(self) -> bool:
        return self._process != os.getpid()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("expected an open store; found it closed: open it again")
        if self._forked:
            raise StoreClosed(
                "expected the process that opened the store; found one forked from it, in which "
                "no writer runs: open a store in each process"
            )
        self._writer.check()

    def _check_events(self, append: Append) -> None:
        """Nobody could read another topic's event here: this topic's readers do not know it."""
        for event in append.events:
            if type(event) not in self._event_types[append.topic]:
                raise InvalidAppend(
                    append.stream,
                    f"{type(event).__name__} is not an event of topic {append.topic!r}",
                    "append events of this topic's aggregate",
                )

    def _partition(self, topic: str, stream: str) -> int:
        return murmur2(stream.encode(), self._known[topic].partitions)

    def _open_topic(self, topic: str) -> None:
        """Make or check the topic and register its schemas, once, before the first append."""
        with self._lock:
            if topic in self._registered:
                return
            event_types = self._types(topic)
            self._know(self._topics.ensure(topic))
            self._registry.register(each.codec for each in event_types)
            self._writer.open_topic(self._known[topic])
            self._registered.add(topic)

    def _exists(self, topic: str) -> bool:
        """Whether the topic is there; it is checked once, and never made.

        Open first: in a forked process nobody answers, and the lock may be held for ever.
        """
        self._check_open()
        with self._lock:
            if topic in self._known:
                return True
            self._types(topic)
            info = self._topics.find(topic)
            if info is not None:
                self._know(info)
            return info is not None

    def _know(self, info: TopicInfo) -> None:
        self._known[info.topic] = info
        self._writer.serve_topic(info)

    def _types(self, topic: str) -> Iterable[type[Event]]:
        try:
            return self._event_types[topic]
        except KeyError:
            raise ConfigurationError(
                f"expected one of the topics {', '.join(sorted(self._event_types))}; found "
                f"{topic!r}: add its aggregate to the application"
            ) from None

    def _reader(self, topic: str) -> StreamReader:
        with self._lock:
            reader = self._readers.get(topic)
            if reader is None:
                decoder = Decoder(tuple(self._types(topic)), self._registry)
                reader = self._readers[topic] = StreamReader(self._settings, decoder)
            return reader
