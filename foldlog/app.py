"""`App`: one application's aggregates and projections, on one Kafka and one PostgreSQL."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar
from uuid import UUID

import sqlalchemy as sa

from eventstore import past
from eventstore.aggregates import Aggregate, check_aggregates
from eventstore.async_repository import AsyncRepository
from eventstore.defaults import PARTITIONS
from eventstore.errors import (
    ConfigurationError,
    EventStoreError,
    PastNotFound,
    StoreClosed,
    StreamNotFound,
)
from eventstore.events import Event
from eventstore.kafka.doctor import Doctor
from eventstore.kafka.reader import LogReader
from eventstore.kafka.schemas import SCHEMAS_TOPIC, SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.store import KafkaEventStore
from eventstore.kafka.topics import Durability, Topics
from eventstore.postgres import address
from eventstore.repository import Repository
from eventstore.state_store import StateStore
from eventstore.store import Recorded, stream_id
from foldlog import environment, migrations
from foldlog.environment import KAFKA, POSTGRES, ROLE, Role
from foldlog.refill import Refilled, forget, refill
from projections.errors import ProjectionError
from projections.lag import Lag
from projections.progress import Listener
from projections.projection import AnyProjection
from projections.read_model import ReadModel
from projections.rebuild import Rebuilt

LOGGER: Final = logging.getLogger("foldlog")

A = TypeVar("A", bound=Aggregate[Any])

LOCAL_KAFKA: Final = "localhost:9092"
"""The address in what an operator reads, where no other is known."""

CHECK_SECONDS: Final = 0.5
"""Seconds between two looks at whether the writer still runs."""


PARENTS: Final[list[object]] = []
"""What a forked process was left with by its parent: kept, since to destroy a Kafka client is to
wait for threads, and these are not there."""


class Opened(NamedTuple):
    """What an application holds between entering and leaving."""

    process: int
    """That which entered it; in one forked from it nothing of this can be used."""
    settings: KafkaSettings
    postgres: str
    engine: sa.Engine
    topics: Topics
    registry: SchemaRegistry
    store: KafkaEventStore
    repositories: dict[type[Aggregate[Any]], Repository[Any]]
    """One of each type: what it keeps in memory serves all who ask for it."""


class App:
    """One application: what it is made of, and where its servers are.

    Addresses are the arguments, else ``FOLDLOG_KAFKA`` (host:port) and ``FOLDLOG_POSTGRES`` (a
    URL) from the environment; ``durability`` is the argument, else ``FOLDLOG_DURABILITY``, else
    ``"replicated"``. They are read when the application is entered; before that nothing is
    opened::

        with App(aggregates=[Account], projections=[Balances()]) as app:
            app.repository(Account).save(account)

    Args:
        kafka: The address of Kafka.
        postgres: The URL of the one database that serves this application.
        aggregates: The aggregate classes, each with a topic of its own.
        projections: The projections of their events.
        durability: ``"replicated"`` keeps each event on three brokers, two before it is
            acknowledged; ``"single"`` on one.
        partitions: How many partitions a topic gets when it is made; never changed later.
        role: ``"writer"``: the process becomes one of the writers of each topic that it appends
            to. ``"client"``: it sends its appends to them, and takes no part (scripts, serverless
            functions). If left out, ``FOLDLOG_ROLE``, else ``"writer"``.
        kafka_options: librdkafka's options of the connection, such as ``security.protocol``.

    Raises:
        DefinitionError: Two aggregates share a topic, or two events a stored name.
        ConfigurationError: A projection is of an aggregate that is not among ``aggregates``, or
            two share a name; or ``postgres`` is an engine, an address no text, or ``partitions``
            no whole number from 1 on.
    """

    def __init__(
        self,
        kafka: str | None = None,
        postgres: str | None = None,
        *,
        aggregates: Sequence[type[Aggregate[Any]]],
        projections: Sequence[AnyProjection] = (),
        durability: Durability | None = None,
        partitions: int = PARTITIONS,
        role: Role | None = None,
        kafka_options: Mapping[str, Any] | None = None,
    ) -> None:
        address.refuse_engine(postgres)
        environment.check_arguments(kafka, postgres, partitions)
        self.aggregates: Final = tuple(aggregates)
        self.projections: Final = {each.name: each for each in projections}
        self._addresses = (kafka, postgres)
        self._durability: Durability | None = durability
        self._partitions = partitions
        self._role: Role | None = role
        self._kafka_options = kafka_options
        self._opened: Opened | None = None
        self._exits = ExitStack()
        check_aggregates(self.aggregates)
        self._event_types: dict[str, Sequence[type[Event]]] = {
            each.topic: each.event_types for each in self.aggregates
        }
        _check_projections(self.aggregates, projections)

    def __repr__(self) -> str:
        topics = ", ".join(self._event_types)
        return f"App(topics=[{topics}], projections=[{', '.join(self.projections)}])"

    def __enter__(self) -> Self:
        """Connect, and bring the toolkit's own tables up to this release.

        Raises:
            ConfigurationError: An address is missing, or nobody answers there.
        """
        self._leave_to_parent()
        if self._opened is not None:
            raise ConfigurationError(
                "expected to enter an application once; found it open: leave it first"
            )
        settings = self._settings()
        postgres = environment.address(POSTGRES, self._addresses[1])
        with ExitStack() as exits:
            settings.reach()
            address.reach(postgres)
            migrations.upgrade(postgres)
            engine = address.engine(postgres)
            exits.callback(engine.dispose)
            topics = self._topics(settings, postgres)
            registry = SchemaRegistry(settings, topics)
            states = exits.enter_context(StateStore(postgres))
            store = exits.enter_context(
                KafkaEventStore(
                    settings,
                    self._event_types,
                    topics=topics,
                    registry=registry,
                    postgres=postgres,
                    role=environment.role(self._role),
                )
            )
            repositories: dict[type[Aggregate[Any]], Repository[Any]] = {
                each: Repository(store, each, states=states) for each in self.aggregates
            }
            self._opened = Opened(
                os.getpid(), settings, postgres, engine, topics, registry, store, repositories
            )
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the appends in flight, store last checkpoints, and disconnect.

        In a process that was forked after entering nothing is closed: it is the parent's.
        """
        self._leave_to_parent()
        self._opened = None
        self._exits.close()

    @property
    def given(self) -> frozenset[str]:
        """Which addresses are arguments of this application: ``FOLDLOG_KAFKA``, for one.

        They are named by the variables that are not read then, and not told: an address may hold
        a password.
        """
        addresses = zip((KAFKA, POSTGRES), self._addresses, strict=True)
        return frozenset(name for name, address in addresses if address)

    @property
    def engine(self) -> sa.Engine:
        """SQLAlchemy's engine of the database, for reading the read models."""
        return self._open.engine

    @property
    def store(self) -> KafkaEventStore:
        """The store beneath the repositories."""
        return self._open.store

    def repository(self, aggregate: type[A]) -> Repository[A]:
        """The repository of one of the application's aggregates.

        Raises:
            ConfigurationError: The aggregate is not the application's.
        """
        if aggregate not in self.aggregates:
            names = ", ".join(each.__name__ for each in self.aggregates)
            raise ConfigurationError(
                f"expected one of the aggregates {names}; found {aggregate.__name__}: "
                "add it to the application"
            )
        return self._open.repositories[aggregate]

    def async_repository(self, aggregate: type[A]) -> AsyncRepository[A]:
        """The same for asyncio; what `repository` keeps in memory serves it too.

        Raises:
            ConfigurationError: The aggregate is not the application's.
        """
        return AsyncRepository(self.repository(aggregate))

    def events(
        self,
        stream: str | UUID,
        *,
        topic: str | None = None,
        version: int | None = None,
        at: datetime | None = None,
    ) -> Iterator[Recorded[Event]]:
        """One stream's events, in order; the topic is needed where there are several.

        Only the first ``version`` of them, or the longest prefix whose events all happened at or
        before ``at``, as `Repository.get` takes them.

        Raises:
            ConfigurationError: There are several topics, and none was given.
            StreamNotFound: No event was ever appended to it.
            PastNotFound: It has not come to ``version``.
            ValueError: ``at`` has no time zone, ``version`` is below 1, or both are given.
        """
        topic, stream = self._topic(topic), stream_id(stream)
        head = self.store.head(topic, stream)
        if head is None:
            raise StreamNotFound(topic, stream)
        if version is not None and version > head.version:
            raise PastNotFound(topic, stream, version, head.version)
        return past.prefix(self.store.read(topic, stream), version=version, at=at)

    def read_model(self, projection: str) -> ReadModel:
        """The read model of one of the application's projections, by name.

        The topics of its aggregates are made if they are missing: the read model has a position
        in each of their partitions from the start.

        Raises:
            ConfigurationError: The application has no such projection.
            TopicError: A topic could lose events, or is not the one that was recorded.
        """
        if projection not in self.projections:
            raise ConfigurationError(
                f"expected one of the projections {', '.join(self.projections) or '(none)'}; "
                f"found {projection!r}"
            )
        found = self.projections[projection]
        opened = self._open
        topics = sorted({aggregate.topic for aggregate in found.aggregates})

        def check_topics() -> None:
            for topic in topics:
                self._open.topics.check(topic)

        return ReadModel(
            found,
            postgres=opened.postgres,
            log=self._log,
            partitions={topic: opened.topics.ensure(topic).partitions for topic in topics},
            check_topics=check_topics,
        )

    def catch_up(self, listener: Listener | None = None) -> None:
        """Bring every read model to the log's end as it is now.

        What another process feeds is waited for, not taken. ``listener`` is told of progress.

        Raises:
            ProjectionStopped: Some events could not be applied; everything else was.
            ProjectionChanged: A live generation was built by other code; rebuild it.
            ExceptionGroup: More than one of these; the other read models are caught up.
        """
        failed: list[Exception] = []
        for name in self.projections:
            try:
                self.read_model(name).catch_up(listener)
            except ProjectionError as error:
                failed.append(error)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise ExceptionGroup("read models that stopped", failed)

    def run(self, stop: threading.Event, *, begun: Callable[[], None] | None = None) -> None:
        """Follow the log into every read model until ``stop`` is set; end at a batch's end.

        Each read model has a thread of its own. One that fails is logged at once, and the
        others go on; the errors are raised at the end. ``begun`` is called when the topics are
        checked, before the first batch.

        Raises:
            ConfigurationError: The application has no projections.
            TopicError: A topic could lose events, or is not the one that was recorded.
            ExceptionGroup: Read models failed; holds the error of each.
        """
        if not self.projections:
            raise ConfigurationError(
                "expected projections to follow the log with; found none in the application: give "
                "it some, as in App(…, projections=[Balances()])"
            )
        models = [self.read_model(name) for name in self.projections]
        if begun is not None:
            begun()
        failed: list[Exception] = []

        def follow(model: ReadModel) -> None:
            try:
                model.run(stop)
            except (EventStoreError, ProjectionError) as error:
                LOGGER.error("%s stopped: %s", model.projection.name, error)  # noqa: TRY400
                failed.append(error)
            except Exception as error:
                LOGGER.exception("%s stopped", model.projection.name)
                failed.append(error)

        threads = [
            threading.Thread(target=follow, args=(model,), name=f"foldlog {model.projection.name}")
            for model in models
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise ExceptionGroup("read models that stopped", failed)

    def write(self, stop: threading.Event, *, begun: Callable[[], None] | None = None) -> None:
        """Be a writer of every topic until ``stop`` is set, for processes that are clients.

        ``begun`` is called when the topics are checked, and appends can come.

        Raises:
            ConfigurationError: The application's role is ``"client"``, or it has no aggregates.
            TopicError: A topic could lose events, or is not the one that was recorded.
            StoreClosed: The writer has failed.
        """
        found = environment.role(self._role)
        if found != "writer":
            raise ConfigurationError(
                f"expected the role writer; found {found}: give the application another, or set "
                f"{ROLE}=writer"
            )
        if not self.aggregates:
            raise ConfigurationError(
                "expected aggregates to write for; found none in the application: give it some, "
                "as in App(…, aggregates=[Account])"
            )
        self.store.open_topics()
        if begun is not None:
            begun()
        while not stop.wait(CHECK_SECONDS):
            self.store.check()

    def rebuild(
        self,
        projection: str,
        listener: Listener | None = None,
        *,
        discard: bool = False,
        drop_old: bool = False,
    ) -> Rebuilt:
        """Replay into the next generation beside the live one, then switch; `ReadModel.rebuild`."""
        return self.read_model(projection).rebuild(listener, discard=discard, drop_old=drop_old)

    def refill(
        self, *names: str, listener: Callable[[str, int, int], None] | None = None
    ) -> list[Refilled]:
        """Fold every stream of these aggregates, else of all, and store their states.

        Run before code that changes a shape is deployed, its loads find states at once. Nothing
        is claimed. Aggregates are named by their class or topic; ``listener`` is told the name,
        and how many records of how many were passed.

        Raises:
            ConfigurationError: The application has no such aggregate.
        """
        refilled: list[Refilled] = []
        for each in self._named(names):
            info = self._open.topics.find(each.topic)
            with self._log({each.topic: each.event_types}, None) as log:
                refilled.append(
                    refill(
                        each,
                        log,
                        partitions=0 if info is None else info.partitions,
                        postgres=self._open.postgres,
                        listener=partial(listener or _nobody, each.__name__),
                    )
                )
        return refilled

    def forget_states(self) -> dict[str, int]:
        """Delete stored states of shapes that this code does not have; how many, by aggregate."""
        return forget(self.aggregates, self._open.postgres)

    def lag(self) -> dict[str, list[Lag]]:
        """How far each read model is behind, by projection; [] for one that was never made."""
        return {name: self.read_model(name).lag() for name in self.projections}

    def plan(self, kafka: str | None = None) -> list[str]:
        """The commands by which an operator makes the topics, as appending to them would.

        They name the address ``kafka``, else the application's own, else that of the environment,
        else ``localhost:9092``. Nothing is opened.
        """
        bootstrap = kafka or self._addresses[0] or os.environ.get(KAFKA) or LOCAL_KAFKA
        topics = self._topics(KafkaSettings(bootstrap))
        return topics.plan({SCHEMAS_TOPIC: 1, **dict.fromkeys(self._event_types)})

    def doctor(self) -> Doctor:
        """Who examines the topics; the application need not be open, and nothing is made.

        Raises:
            ConfigurationError: An address is missing.
        """
        settings, durability = self._settings(), environment.durability(self._durability)
        return Doctor(
            settings,
            self._event_types,
            topics=self._topics(settings),
            durability=durability,
            postgres=environment.address(POSTGRES, self._addresses[1]),
        )

    @property
    def _open(self) -> Opened:
        if self._opened is None:
            raise ConfigurationError(
                "expected an open application; found it not entered: use `with app:`"
            )
        if self._opened.process != os.getpid():
            raise StoreClosed(
                "expected the process that opened the application; found one forked from it, in "
                "which no writer runs: open the application in each process"
            )
        return self._opened

    def _leave_to_parent(self) -> None:
        """Where this process was forked, let go of what its parent opened, and goes on using."""
        opened = self._opened
        if opened is None or opened.process == os.getpid():
            return
        opened.engine.dispose(close=False)
        PARENTS.append((opened, self._exits.pop_all()))
        self._opened = None

    def _named(self, names: Sequence[str]) -> list[type[Aggregate[Any]]]:
        """The aggregates of these names, in the application's order; all where none is given."""
        known = [name for each in self.aggregates for name in (each.__name__, each.topic)]
        for name in names:
            if name not in known:
                classes = ", ".join(known[::2])
                raise ConfigurationError(
                    f"expected one of the aggregates {classes}; found {name!r}: name one of these"
                )
        return [
            each for each in self.aggregates if not names or {each.__name__, each.topic} & {*names}
        ]

    def _settings(self) -> KafkaSettings:
        bootstrap = environment.address(KAFKA, self._addresses[0])
        return KafkaSettings(bootstrap, dict(self._kafka_options or {}))

    def _topics(self, settings: KafkaSettings, postgres: str | None = None) -> Topics:
        durability = environment.durability(self._durability)
        return Topics(settings, durability, self._partitions, postgres=postgres)

    def _topic(self, topic: str | None) -> str:
        known = list(self._event_types)
        if topic is None and len(known) == 1:
            return known[0]
        if topic not in known:
            raise ConfigurationError(
                f"expected one of the topics {', '.join(known)}; found {topic}: name one"
            )
        return topic

    def _log(
        self, topics: Mapping[str, Sequence[type[Event]]], only: Sequence[type[Event]] | None
    ) -> LogReader:
        return LogReader(self._open.settings, topics, self._open.registry, only=only)


def _nobody(_name: str, _done: int, _total: int) -> None:
    """Is told of progress where nobody else is."""


def _check_projections(
    aggregates: Sequence[type[Aggregate[Any]]], projections: Sequence[AnyProjection]
) -> None:
    seen: set[str] = set()
    for projection in projections:
        if projection.name in seen:
            raise ConfigurationError(
                f"expected projections with names of their own; found two named "
                f"{projection.name!r}: rename one"
            )
        seen.add(projection.name)
        for aggregate in projection.aggregates:
            if aggregate not in aggregates:
                raise ConfigurationError(
                    f"expected the aggregates of projection {projection.name!r} among the "
                    f"application's; found {aggregate.__name__}: add it to the application"
                )
