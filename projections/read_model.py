"""A read model: a projection with its log and its database; what applications and commands use."""

import threading
from collections.abc import Callable, Mapping

from projections import _catching_up, _following, defaults, generations, rebuild
from projections._setting import Setting
from projections.generations import Generation
from projections.lag import Lag, lags
from projections.log import LogFactory
from projections.progress import Listener
from projections.projection import AnyProjection
from projections.rebuild import Rebuilt


class ReadModel:
    """One projection of one application, kept in one database.

    Args:
        projection: What is kept.
        postgres: The database's address; the toolkit's own tables are there already.
        log: Opens readers of the log.
        partitions: Topic to its number of partitions; all topics of the aggregates are in it.
        check_topics: Raises if a topic is not the one that was recorded; asked at each claim
            and switch.
        read_schema: The PostgreSQL schema in which readers see the views.
    """

    def __init__(
        self,
        projection: AnyProjection,
        *,
        postgres: str,
        log: LogFactory,
        partitions: Mapping[str, int],
        check_topics: Callable[[], object] = lambda: None,
        read_schema: str = defaults.READ_SCHEMA,
    ) -> None:
        topics = {aggregate.topic for aggregate in projection.aggregates}
        self._setting = Setting(
            projection=projection,
            postgres=postgres,
            log=log,
            partitions={topic: partitions[topic] for topic in sorted(topics)},
            check_topics=check_topics,
            read_schema=read_schema,
        )

    @property
    def projection(self) -> AnyProjection:
        """What is kept."""
        return self._setting.projection

    def prepare(self) -> Generation:
        """Make the first generation and its views if there is none; returns the live one.

        Safe to call from many processes at once.

        Raises:
            ProjectionChanged: The live generation is of other code; rebuild it.
            ViewError: The views cannot be made.
        """
        return self._setting.prepare()

    def catch_up(self, listener: Listener | None = None) -> None:
        """Apply everything up to the log's ends as they are now.

        A partition that another projector feeds is waited for, not taken.

        Raises:
            ProjectionChanged, ViewError: As `prepare`.
            ProjectionStopped: Some events could not be applied; everything else was.
        """
        _catching_up.catch_up(self._setting, self._setting.prepare(), listener)

    def run(self, stop: threading.Event) -> None:
        """Take all partitions and follow the log until ``stop`` is set; end at a batch's end.

        When a rebuild switches to a generation of this same code, that one is fed from then on.

        Raises:
            ProjectionChanged, ViewError: As `prepare`.
            ProjectionStopped: Some events could not be applied. Raised when ``stop`` is set, or
                at once when no partition is left; until then the others go on.
            ProjectorFenced: Another projector took a partition. Raised likewise.
        """
        _following.follow(self._setting, stop)

    def rebuild(
        self, listener: Listener | None = None, *, discard: bool = False, drop_old: bool = False
    ) -> Rebuilt:
        """Replay into the next generation while the live one serves, then switch the views.

        Args:
            listener: Told of the progress.
            discard: Drop what an earlier rebuild left behind, and begin again.
            drop_old: Drop the old generation after the switch; otherwise it is kept as it is.

        Raises:
            UnfinishedRebuild: Another rebuild is under way, or left something behind.
            ViewError: The tables changed in a way that the views cannot follow.
            ProjectionStopped: An event could not be applied; readers see the old generation.
            SwitchFailed: The views could not be switched; readers see the old generation.
        """
        return rebuild.rebuild(self._setting, listener, discard=discard, drop_old=drop_old)

    def live(self) -> Generation | None:
        """The generation that readers see; None: it was never made."""
        with self._setting.connect() as db:
            return generations.live(db, self.projection.name)

    def lag(self) -> list[Lag]:
        """How far each partition of the live generation is behind; [] if it was never made."""
        live = self.live()
        if live is None:
            return []
        with self._setting.reader() as log:
            ends = self._setting.ends(log)
        with self._setting.connect() as db:
            return lags(db, live, ends)
