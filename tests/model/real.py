"""The real writer over a log in memory, whose records land before that is reported.

What decides is the real code, as `tests.writer_model` puts it together. The rest of this module
says in the model's words what the real code holds.
"""

from collections import deque
from collections.abc import Callable, Container, Mapping
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaError

from eventstore.kafka.header import Kind, unpack
from eventstore.kafka.heads import Heads
from eventstore.log import LogPosition
from eventstore.postgres.checkpoints import Applied, AppliedRow, LookUp, Tip, TipRow
from eventstore.store import ANY, Append
from tests.bank import Account, MoneyDeposited
from tests.model.log import Command, Head, Record, writer_id
from tests.writer_model import Client, Database, Fate, Log, Process, Read

STREAMS = ("a", "b")


class ApartClient(Client):
    """A client whose records land, and are reported, one by one."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.landed: deque[tuple[Read, Callable[[Any, Any], None]]] = deque()
        self.fates = deque([Fate.LATER])

    def __len__(self) -> int:
        return len(self.queue) + len(self.landed)

    def land(self) -> None:
        key, raw, report = self.queue.popleft()
        self.landed.append((self.log.add(key, raw), report))

    def tell(self) -> bytes | None:
        """Report the oldest that landed; gives its header."""
        read, report = self.landed.popleft()
        report(None, read)
        return read.raw

    def purge(self) -> None:
        while self.landed:
            read, report = self.landed.popleft()
            report(KafkaError(KafkaError._PURGE_INFLIGHT), read._replace(at=0))
        super().purge()


class RealWriter(Process):
    """A process, told what to do record by record."""

    def __init__(self, log: Log, database: Database, *, limit: int, few: int) -> None:
        super().__init__(log, database, limit=limit, few=few)
        self.apart = self.transport.client = ApartClient(log)

    def tell(self) -> bytes | None:
        header = self.apart.tell()
        self.settle()
        return header

    def looked_up(self) -> Container[LookUp]:
        """Ask the database; gives what was asked."""
        self.look_up()
        assert self.found is not None
        return self.found

    def lose_producer(self) -> None:
        """As the writer's loop does when the producer failed."""
        partition = self.partition
        if partition.session is not None:
            partition.session.doubt("the producer failed")
        elif partition.claiming is not None:
            partition.claiming = None
            partition.pause()
        self.transport.discard()
        self.settle()

    def hear_of_checkpoints(self) -> None:
        while self.told:
            self.partition.checkpointed(*self.told.pop(0))
        self.settle()


def append_of(number: int, command: Command, *, first_try: bool) -> Append:
    return Append(
        Account.topic,
        STREAMS[command.stream],
        [MoneyDeposited(amount=1)] * command.events,
        ANY if command.expected is None else command.expected,
        append_id=UUID(int=number + 1),
        first_try=first_try,
    )


def number_of(append: bytes) -> int:
    """The command that has this append id."""
    return int.from_bytes(append) - 1


class Claims:
    """The numbers that the model gives to claims, by their real writer ids."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, writer: bytes) -> None:
        self._numbers[writer] = len(self._numbers)

    def record(self, key: bytes, raw: bytes | None) -> Record:
        """A real record as the model has it."""
        assert raw is not None
        header = unpack(raw)
        number = self._numbers[header.writer]
        if header.kind == Kind.CLAIM:
            return Record(number, header.epoch, 0)
        return Record(
            number,
            header.epoch,
            header.sequence,
            STREAMS.index(key.decode()),
            number_of(header.append),
            header.index,
            header.count,
            header.version,
            header.previous,
        )

    def position(self, position: LogPosition) -> LogPosition:
        if not position.epoch:
            return position
        return position._replace(writer=writer_id(self._numbers[position.writer]))


def heads_of(tips: Mapping[str, TipRow]) -> tuple[Head | None, ...]:
    """Heads as the model has them."""
    found = [row and Tip(*row) for row in map(tips.get, STREAMS)]
    return tuple([tip and Head(tip.version, tip.last_offset) for tip in found])


def applied_of(applied: Mapping[bytes, AppliedRow], commands: int) -> tuple[Head | None, ...]:
    """Append ids as the model has them."""
    ids = [UUID(int=number + 1).bytes for number in range(commands)]
    found = [row and Applied(*row) for row in map(applied.get, ids)]
    return tuple([each and Head(each.version, each.last_offset) for each in found])


def remembered(heads: Heads, commands: int) -> tuple[object, ...]:
    """What a writer remembers, in the order of the model's `Memory`."""
    return (
        heads.checkpoint,
        heads_of(heads.tips),
        applied_of(heads.applied, commands),
        heads.tips_whole,
        heads.applied_whole,
    )
