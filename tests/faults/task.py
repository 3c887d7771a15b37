"""What a worker is told to do, and the appends that any of them may ask for, now or again."""

import json
import os
import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self
from uuid import UUID

from eventstore import ANY, NO_STREAM, Append
from eventstore.kafka.routing import Role
from eventstore.kafka.topics import Durability
from tests.bank import Account, MoneyDeposited

RECENT: Final = 4_000
"""Bytes at the end of the file of wishes: some 20 of them."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is told."""

    process: str
    seed: str
    kafka: str
    postgres: str | None
    durability: Durability
    partitions: int
    streams: int
    threads: int
    pause_ms: float
    """The longest pause of a thread between two operations."""
    folder: Path
    role: Role = "writer"
    resolve: Path | None = None
    """Repeat what stands in this file, read all streams, and end by itself."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        task = cls(**json.loads(text))
        return replace(
            task, folder=Path(task.folder), resolve=Path(task.resolve) if task.resolve else None
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """An append that somebody may make, now or again."""

    kind: Literal["append", "execute"]
    append_id: str
    stream: str
    expected: int | None
    amounts: list[int]

    @classmethod
    def new(
        cls, kind: Literal["append", "execute"], stream: str, expected: int | None, count: int
    ) -> Self:
        """With an id and contents that nothing else has."""
        fresh = random.SystemRandom()
        amounts = [fresh.randrange(1, 2**48) for _ in range(count)]
        return cls(kind, os.urandom(16).hex(), stream, expected, amounts)

    def append(self, *, first_try: bool) -> Append:
        """As the store takes it."""
        events = [MoneyDeposited(amount=amount) for amount in self.amounts]
        expected = ANY if self.expected is None else self.expected or NO_STREAM
        append_id = UUID(hex=self.append_id)
        return Append(
            Account.topic,
            self.stream,
            events,
            expected,
            append_id=append_id,
            first_try=first_try,
        )


class Wishes:
    """All appends that any process has asked for: a file that all append to and pick from."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "wishes.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)

    def add(self, wish: Wish) -> None:
        os.write(self._file, json.dumps(asdict(wish)).encode() + b"\n")

    def pick(self, draw: random.Random) -> Wish | None:
        """One of all, old or new, mostly new."""
        size = os.fstat(self._file).st_size
        oldest = max(0, size - RECENT) if draw.random() < 0.6 else 0
        part = os.pread(self._file, 2 * RECENT, draw.randrange(oldest, max(1, size)))
        lines = part.split(b"\n")[1:-1]
        return Wish(**json.loads(lines[0])) if lines else None
