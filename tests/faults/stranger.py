"""A process that is none of ours: it claims, appends and litters, by the log format alone.

It knows no group and asks nobody; so it takes partitions from writers that are at work, and makes
appends happen that they still have in hand. All of it is allowed by the format.
"""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import Producer, murmur2

from tests.faults import log
from tests.faults.history import Journal
from tests.faults.log import Event, Log
from tests.faults.task import Wish, Wishes

SECONDS: Final = 10.0
PICKS: Final = 30


class Claim(NamedTuple):
    """A claim that was accepted, and the log as of there."""

    partition: int
    offset: int
    epoch: int
    writer: bytes
    found: Log


class Stranger:
    """Writes to the partitions of a topic; used by one thread for each partition at most."""

    def __init__(
        self, bootstrap: str, topic: str, partitions: int, folder: Path, draw: random.Random
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions = partitions
        self._draw = draw
        self._wishes = Wishes(folder)
        self._journal = Journal(folder / "history-stranger.jsonl")
        self._number = 0

    def litter(self, partition: int) -> None:
        """Write a record that has no header of ours."""
        self._write(partition, [(b"", b"litter", None)])

    def usurp(self, partition: int) -> Claim | None:
        """Claim a partition, and be never heard of again; None: somebody was quicker."""
        found = self._read(partition)
        epoch = max((each for _, each in found.claims), default=0) + 1
        writer = os.urandom(8)
        header = log.Header(
            1,
            log.CLAIM,
            0,
            self._partitions,
            epoch,
            0,
            0,
            _now(),
            -1,
            writer,
            bytes(16),
            bytes(8),
        )
        offsets = self._write(partition, [(b"", None, header)])
        if len(offsets) != 1:
            return None
        now = self._read(partition)
        if (
            now.claims.get((partition, epoch)) != offsets[0]
            or now.ends[partition] != offsets[0] + 1
        ):
            return None
        return Claim(partition, offsets[0], epoch, writer, now)

    def steal(self, partition: int) -> None:
        """Claim a partition, and make an append that somebody else has asked for happen."""
        claim = self.usurp(partition)
        if claim is None:
            return
        wish = self._wish(claim)
        if wish is not None:
            self._append(claim, wish)

    def _wish(self, claim: Claim) -> Wish | None:
        """One that may happen now: of this partition, not applied, its expectation met."""
        applied = {log.append_id_of(append[0]) for append in claim.found.appends}
        for _ in range(PICKS):
            wish = self._wishes.pick(self._draw)
            if wish is None or wish.kind != "append" or wish.append_id in applied:
                continue
            if murmur2(wish.stream.encode(), self._partitions) != claim.partition:
                continue
            if wish.expected in {None, len(_events(claim.found, wish.stream))}:
                return wish
        return None

    def _append(self, claim: Claim, wish: Wish) -> None:
        events = _events(claim.found, wish.stream)
        example = next((each for append in claim.found.appends for each in append), None)
        if example is None:
            return
        version, first = len(events), claim.offset + 1
        records = [
            (
                wish.stream.encode(),
                example.value[:5] + log.body_of(amount),
                log.Header(
                    1,
                    log.EVENT,
                    index,
                    len(wish.amounts),
                    claim.epoch,
                    index + 1,
                    version + index + 1,
                    _now(),
                    first + index - 1 if index else events[-1].offset if events else -1,
                    claim.writer,
                    bytes.fromhex(wish.append_id),
                    example.header.fingerprint,
                ),
            )
            for index, amount in enumerate(wish.amounts)
        ]
        self._number += 1
        op = f"stranger-{claim.partition}-{self._number}-{claim.epoch}"
        asked = {"append_id": wish.append_id, "stream": wish.stream, "expected": wish.expected}
        self._journal.invoke(op, "stranger", "append", {**asked, "amounts": wish.amounts})
        offsets = self._write(claim.partition, records)
        if offsets == list(range(first, first + len(records))):
            positions = [[claim.partition, offset] for offset in offsets]
            told = {"version": version + len(records), "positions": positions, "repeated": False}
            self._journal.answer(op, told)

    def _read(self, partition: int) -> Log:
        return log.read(log.dump(self._bootstrap, self._topic, [partition]))

    def _write(
        self, partition: int, records: Sequence[tuple[bytes, bytes | None, log.Header | None]]
    ) -> list[int]:
        """Write records in order; gives the offsets of those that were acknowledged."""
        producer = Producer(
            {"bootstrap.servers": self._bootstrap, "enable.idempotence": True, "log_level": 0}
        )
        offsets: list[int] = []
        for key, value, header in records:
            headers = {"foldlog": log.LAYOUT.pack(*header)} if header else None
            producer.produce(
                self._topic,
                value,
                key,
                partition,
                headers={**headers} if headers else None,
                on_delivery=lambda error, message: (
                    offsets.append(message.offset() or 0) if error is None else None
                ),
            )
        producer.flush(SECONDS)
        return offsets


def _events(found: Log, stream: str) -> list[Event]:
    return [each for append in found.appends for each in append if each.stream == stream]


def _now() -> int:
    return time.time_ns() // 1_000
