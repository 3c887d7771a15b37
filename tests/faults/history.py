"""Histories: what each process asked of the store and what it was told, as JSON lines.

Every line is written by one call, before the operation begins and as soon as its answer is known:
so what a process that is killed had been told is in its file. Times are in nanoseconds of the
machine's monotonic clock, which all its processes share.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["append", "execute", "read", "head", "applied"]

FINAL: Final = frozenset(
    {"AppendIdReused", "AppendTooLarge", "ConcurrencyError", "DeliveryFailed", "EncodingError"}
)
"""Errors after which the append never happens."""
NO_ANSWER: Final = "no answer"
"""In the place of an error: the process lived and waited, and no answer came."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one process."""

    id: str
    process: str
    """The worker and how often it had been started: ``w1.3``."""
    kind: Kind
    invoked: int
    asked: Mapping[str, Any]
    """``stream``; an append's ``append_id``, ``expected`` (None: any) and ``amounts``."""
    answered: int | None = None
    """None: its process was killed before, or still waits."""
    told: Mapping[str, Any] | None = None
    """The answer's fields, or ``error`` with the error's type and its facts."""

    @property
    def stream(self) -> str:
        """The stream that it concerns."""
        return str(self.asked["stream"])

    @property
    def append_id(self) -> str:
        """The append id, in hex."""
        return str(self.asked["append_id"])

    @property
    def error(self) -> str | None:
        """The type of the error that it was answered with."""
        return None if self.told is None else self.told.get("error")

    @property
    def succeeded(self) -> bool:
        """Whether it was answered, and by no error."""
        return self.told is not None and "error" not in self.told

    @property
    def outcome(self) -> str:
        """How it ended, in a word: ``ok``, ``repeated``, an error's type, ``killed``."""
        if self.told is None:
            return "killed"
        return self.error or ("repeated" if self.told.get("repeated") else "ok")


class Journal:
    """The file to which one process writes its operations; used from any thread."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def invoke(self, op: str, process: str, kind: Kind, asked: Mapping[str, Any]) -> None:
        """Write that an operation begins now."""
        self.write(op=op, process=process, kind=kind, asked=asked, at=time.monotonic_ns())

    def answer(self, op: str, told: Mapping[str, Any], *, at: int | None = None) -> None:
        """Write what an operation was told, just now or ``at``."""
        self.write(op=op, told=told, at=at or time.monotonic_ns())

    def write(self, **line: Any) -> None:
        """Write a line, at once and whole."""
        os.write(self._file, json.dumps(line).encode() + b"\n")


def lines(file: Path) -> Iterable[dict[str, Any]]:
    """The lines of a file that were written whole."""
    with file.open("rb") as opened:
        for line in opened:
            if line.endswith(b"\n"):
                yield json.loads(line)


def operations(files: Iterable[Path]) -> list[Operation]:
    """The operations of all processes, in the order in which they were invoked."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        for line in lines(file):
            if "kind" in line:
                found[line["op"]] = line
            else:
                found[line["op"]] |= {"told": line["told"], "answered": line["at"]}
    return sorted(map(_operation, found.values()), key=lambda each: each.invoked)


def _operation(line: Mapping[str, Any]) -> Operation:
    return Operation(
        line["op"],
        line["process"],
        line["kind"],
        line["at"],
        line["asked"],
        line.get("answered"),
        line.get("told"),
    )
