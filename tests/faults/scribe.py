"""Writes a log and a history that agree, as a store would: what mutants of both are made from."""

import os
import random
from dataclasses import dataclass, field, replace
from typing import Any

from tests.faults.history import Kind, Operation
from tests.faults.log import CLAIM, LAYOUT, Raw, body_of


@dataclass
class Stream:
    """What is in a stream so far."""

    appends: list[tuple[str, int, list[int]]] = field(
        default_factory=list[tuple[str, int, list[int]]]
    )
    """Append id, offset of the first event, and amounts."""

    @property
    def version(self) -> int:
        return sum(len(amounts) for _, _, amounts in self.appends)

    @property
    def events(self) -> list[list[Any]]:
        """As a read gives them."""
        found = [
            [append_id, offset + index, amount]
            for append_id, offset, amounts in self.appends
            for index, amount in enumerate(amounts)
        ]
        return [[version, *event] for version, event in enumerate(found, 1)]


class Scribe:
    """One partition, one writer at a time, and clients that ask it one after another."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.records: list[Raw] = []
        self.operations: list[Operation] = []
        self.streams: dict[str, Stream] = {}
        self._epoch, self._sequence, self._writer = 0, 1, b""
        self._clock = 0
        self.claim()

    def claim(self) -> None:
        """The next writer takes over."""
        self._epoch, self._sequence, self._writer = self._epoch + 1, 1, os.urandom(8)
        self._write(b"", None, CLAIM, sequence=0)

    def zombie(self, stream: str) -> None:
        """A record of a writer that is not the current one."""
        writer, self._writer = self._writer, b"8 zombie"
        self._write(stream.encode(), _value(1), 1, sequence=self._sequence, of=1)
        self._writer = writer

    def foreign(self) -> None:
        """A record that is not ours."""
        self.records.append(Raw(0, len(self.records), b"", b"litter", []))

    def append(self, process: str, stream: str, count: int, *, unknown: bool = False) -> None:
        """An append that succeeds; its answer may be lost."""
        known = self.streams.setdefault(stream, Stream())
        append_id, version = self._id(), known.version
        amounts = [self.draw.randrange(1, 2**40) for _ in range(count)]
        asked = {"expected": version, "amounts": amounts}
        events = known.events
        first, previous = len(self.records), events[-1][2] if events else -1
        for index, amount in enumerate(amounts):
            self._write(
                stream.encode(),
                _value(amount),
                1,
                sequence=self._sequence,
                of=count,
                place=index,
                version=version + index + 1,
                previous=previous if not index else first + index - 1,
                append=bytes.fromhex(append_id),
            )
            self._sequence += 1
        known.appends.append((append_id, first, amounts))
        told = None if unknown else self._success(known, append_id, repeated=False)
        self.operation(process, "append", stream, told, append_id=append_id, **asked)

    def again(self, process: str, stream: str, number: int) -> None:
        """An append is asked for again, and gets its first answer."""
        known = self.streams[stream]
        append_id, _, amounts = known.appends[number]
        expected = sum(len(each) for _, _, each in known.appends[:number])
        told = self._success(known, append_id, repeated=True)
        asked = {"append_id": append_id, "expected": expected, "amounts": amounts}
        self.operation(process, "append", stream, told, **asked)

    def conflict(self, process: str, stream: str) -> None:
        """An append that comes too late."""
        version = self.streams[stream].version
        told = {"error": "ConcurrencyError", "expected": version - 1, "found": version}
        asked = {"append_id": self._id(), "expected": version - 1, "amounts": [1]}
        self.operation(process, "append", stream, told, **asked)

    def execute(self, process: str, stream: str) -> None:
        """A command that sees the whole stream."""
        balance = sum(event[3] for event in self.streams[stream].events)
        seen = [self.streams[stream].version, balance]
        self.append(process, stream, 1)
        done = self.operations[-1]
        told, asked = {**(done.told or {}), "seen": seen}, {**done.asked, "expected": None}
        self.operations[-1] = replace(done, kind="execute", told=told, asked=asked)

    def read(self, process: str, stream: str) -> None:
        """A stream is read, its head is asked for, and what its first append id led to."""
        known = self.streams[stream]
        events = known.events
        self.operation(process, "read", stream, {"events": events}, after=0)
        facts = [events[-1][1], events[0][2], events[-1][2]]
        self.operation(process, "head", stream, {"version": known.version, "facts": facts})
        append_id = known.appends[0][0]
        told = self._success(known, append_id, repeated=True)
        self.operation(process, "applied", stream, told, append_id=append_id)

    def operation(
        self, process: str, kind: Kind, stream: str, told: dict[str, Any] | None, **asked: Any
    ) -> None:
        """Write down an operation."""
        op, asked = f"{process}-{len(self.operations)}", {"stream": stream, **asked}
        invoked, answered = self._now(), self._now()
        self.operations.append(
            Operation(op, process, kind, invoked, asked, answered if told else None, told)
        )

    def _success(self, stream: Stream, wanted: str, *, repeated: bool) -> dict[str, Any]:
        version = 0
        for append_id, first, amounts in stream.appends:
            version += len(amounts)
            if append_id == wanted:
                positions = [[0, first + index] for index in range(len(amounts))]
                return {"version": version, "positions": positions, "repeated": repeated}
        raise KeyError(wanted)

    def _write(self, key: bytes, value: bytes | None, kind: int, **fields: Any) -> None:
        given = {"place": 0, "of": 0, "version": 0, "previous": -1, "append": bytes(16)} | fields
        header = LAYOUT.pack(
            1,
            kind,
            given["place"],
            given["of"],
            self._epoch,
            given["sequence"],
            given["version"],
            0,
            given["previous"],
            self._writer,
            given["append"],
            bytes(8),
        )
        self.records.append(Raw(0, len(self.records), key, value, [("foldlog", header)]))

    def _id(self) -> str:
        return self.draw.randbytes(16).hex()

    def _now(self) -> int:
        self._clock += 1
        return self._clock


def truthful(seed: int) -> Scribe:
    """A run with all kinds of operations in which every answer is true."""
    scribe, streams = Scribe(seed), ("a", "b")
    for stream in streams:
        scribe.append("w1.1", stream, 3)
        scribe.append("w1.1", stream, 1)
        scribe.execute("w1.1", stream)
    for _ in range(30):
        _something(scribe, scribe.draw.choice(("w1.1", "w2.1")), scribe.draw.choice(streams))
    for stream in streams:
        scribe.conflict("w1.1", stream)
        scribe.read("w1.1", stream)
    return scribe


def _something(scribe: Scribe, process: str, stream: str) -> None:
    """One of all that happens."""
    match scribe.draw.randrange(8):
        case 0:
            scribe.claim()
        case 1:
            scribe.zombie(stream)
            scribe.foreign()
            scribe.claim()
        case 2:
            scribe.append(process, stream, 2, unknown=True)
            scribe.again("w2.1", stream, -1)
        case 3:
            scribe.again(process, stream, 0)
        case 4:
            scribe.conflict(process, stream)
        case 5:
            scribe.execute(process, stream)
        case 6:
            scribe.read(process, stream)
        case _:
            scribe.append(process, stream, scribe.draw.randint(1, 4))


def _value(amount: int) -> bytes:
    return b"\0" + bytes(4) + body_of(amount)
