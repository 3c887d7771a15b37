"""Judges a run by its histories and the raw log: was every answer true?

It knows the format and what the store promises, and nothing of how the store works. Each check is
a function that gives what is wrong; together they are `CHECKS`.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.history import FINAL, NO_ANSWER, Operation, operations
from tests.faults.log import Event, Log, amount_of, append_id_of, load, read

ATTEMPTS: Final = ("append", "execute")
ENDLESS: Final = sys.maxsize


class Violation(NamedTuple):
    """Something that must not be."""

    check: str
    what: str


class StoredHead(NamedTuple):
    """A head as a checkpoint left it in the database."""

    partition: int
    stream: str
    version: int
    append_id: str
    first_offset: int
    last_offset: int


@dataclass
class Run:
    """What is known of a run, arranged for the checks."""

    operations: Sequence[Operation]
    log: Log
    stored: Sequence[StoredHead] = ()
    checkpoints: Mapping[int, int] = field(default_factory=dict[int, int])
    """The next offset of each partition's checkpoint."""
    applied: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])
    """The first valid append of each append id."""
    streams: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])
    tries: dict[str, list[Operation]] = field(default_factory=dict[str, list[Operation]])
    """The operations with each append id, in the order in which they were invoked."""

    def __post_init__(self) -> None:
        streams: defaultdict[str, list[Event]] = defaultdict(list)
        tries: defaultdict[str, list[Operation]] = defaultdict(list)
        for append in self.log.appends:
            self.applied.setdefault(append_id_of(append[0]), append)
            for event in append:
                streams[event.stream].append(event)
        for each in self.operations:
            if each.kind in ATTEMPTS:
                tries[each.append_id].append(each)
        self.streams, self.tries = dict(streams), dict(tries)

    def events_of(self, stream: str) -> list[Event]:
        """The valid events of a stream."""
        return self.streams.get(stream) or []

    def first_invoked(self, append_id: str) -> int:
        """When this append id was used first."""
        return self.tries[append_id][0].invoked if append_id in self.tries else 0

    def acknowledged(self, append_id: str) -> int:
        """When somebody was first told that this append happened."""
        told = (each.answered for each in self.tries.get(append_id, ()) if each.succeeded)
        return min((at for at in told if at is not None), default=ENDLESS)


def the_log_is_well_formed(run: Run) -> Iterator[str]:
    """No broken append, no unknown header."""
    yield from run.log.faults


def nothing_is_valid_twice(run: Run) -> Iterator[str]:
    """An append id happened at most once."""
    for append in run.log.appends:
        if run.applied[append_id_of(append[0])] is not append:
            yield f"{_named(append)} is valid a second time"


def what_is_valid_was_asked_for(run: Run) -> Iterator[str]:
    """All of an append, nothing but it, and with its contents."""
    for append in run.log.appends:
        tries = run.tries.get(append_id_of(append[0]))
        amounts = [amount_of(event) for event in append]
        if not tries:
            yield f"{_named(append)} is valid, and nobody asked for it"
        elif {event.stream for event in append} != {tries[0].stream}:
            yield f"{_named(append)} is not in stream {tries[0].stream}"
        elif amounts != list(tries[0].asked["amounts"]):
            yield f"{_named(append)} holds {amounts}, not {tries[0].asked['amounts']}"


def versions_are_contiguous(run: Run) -> Iterator[str]:
    """A stream's versions are 1, 2, 3, … in one partition."""
    for stream, events in run.streams.items():
        versions = [event.header.version for event in events]
        if versions != list(range(1, len(versions) + 1)):
            at = next(i for i, version in enumerate(versions) if version != i + 1)
            yield f"{stream} has version {versions[at]} at {_where(events[at])}, not {at + 1}"
        if len({event.partition for event in events}) > 1:
            yield f"{stream} is in several partitions"


def events_are_chained(run: Run) -> Iterator[str]:
    """Each names its predecessor's offset, or where that was to stand in its session."""
    for stream, events in run.streams.items():
        first = events[0]
        if first.header.previous != -1:
            yield f"{stream} begins at {_where(first)} with a predecessor"
        for before, event in pairwise(events):
            claim = run.log.claims[before.partition, before.header.epoch]
            meant = claim + before.header.sequence
            same_session = before.header.epoch == event.header.epoch
            if event.header.previous != before.offset and not (
                same_session and event.header.previous == meant
            ):
                yield f"{stream} at {_where(event)} is chained to {event.header.previous}"


def expected_versions_were_true(run: Run) -> Iterator[str]:
    """What expected a version followed it."""
    for append_id, append in run.applied.items():
        for each in run.tries.get(append_id, ())[:1]:
            expected, found = each.asked.get("expected"), append[0].header.version - 1
            if expected is not None and expected != found:
                yield f"{_named(append)} expected version {expected}, and followed {found}"


def what_was_acknowledged_is_valid(run: Run) -> Iterator[str]:
    """With the version and at the positions that were told."""
    for each in run.operations:
        if each.kind not in ATTEMPTS or each.told is None or not each.succeeded:
            continue
        append = run.applied.get(each.append_id)
        if append is None:
            yield f"{_told(each)}, and is not valid"
            continue
        places = [[event.partition, event.offset] for event in append]
        version = append[-1].header.version
        if each.told["version"] != version or each.told["positions"] != places:
            yield f"{_told(each)}: {dict(each.told)}, and is version {version} at {places}"


def what_was_refused_is_not_valid(run: Run) -> Iterator[str]:
    """A final error is final; for some, only a later attempt may do better."""
    for each in run.operations:
        if (
            each.kind not in ATTEMPTS
            or each.error not in FINAL
            or each.append_id not in run.applied
        ):
            continue
        if each.kind == "append" and each.error != "DeliveryFailed":
            yield f"{_told(each)}, and is valid"
        elif not any(_ends_after(other, each) for other in run.tries[each.append_id]):
            yield f"{_told(each)}, and is valid though nobody tried again"


def repeated_is_said_of_what_was_told_before(run: Run) -> Iterator[str]:
    """Who asks for what somebody was told before hears that it is repeated."""
    for append_id, tries in run.tries.items():
        acknowledged = run.acknowledged(append_id)
        for each in tries:
            if each.told is None or not each.succeeded:
                continue
            repeated = each.told["repeated"]
            if not repeated and each.invoked > acknowledged:
                yield f"{_told(each)} as its first answer, after another had been told"


def conflicts_were_true(run: Run) -> Iterator[str]:
    """The version that a refusal names had been reached, and was not the expected one."""
    for each in run.operations:
        if each.error != "ConcurrencyError" or each.told is None or each.answered is None:
            continue
        expected: int = each.told["expected"]
        found: int = each.told["found"]
        events = run.events_of(each.stream)
        asked = each.asked.get("expected")
        if found <= expected or (each.kind == "append" and asked != expected):
            yield f"{_told(each)}: expected {expected}, found {found}"
        elif found > len(events):
            yield f"{_told(each)}: found version {found} of {len(events)}"
        elif run.first_invoked(append_id_of(events[found - 1])) > each.answered:
            yield f"{_told(each)}: found version {found} before anybody had asked for it"


def the_order_is_that_of_time(run: Run) -> Iterator[str]:
    """What was acknowledged before another was asked for has the lower version."""
    for stream, events in run.streams.items():
        earliest, by = ENDLESS, ""
        for event in reversed(events):
            append_id = append_id_of(event)
            if earliest < run.first_invoked(append_id):
                yield f"{stream}: {by} was told before {append_id} was asked for, and follows it"
                break
            acknowledged = run.acknowledged(append_id)
            if acknowledged < earliest:
                earliest, by = acknowledged, append_id


def reads_were_true(run: Run) -> Iterator[str]:
    """A prefix of the stream, with all that the process had been told of before."""
    own = _own_versions(run)
    for each in run.operations:
        if each.kind != "read" or each.told is None or not each.succeeded:
            continue
        after, events = each.asked["after"], run.events_of(each.stream)
        found: list[list[object]] = each.told["events"]
        prefix = [
            [event.header.version, append_id_of(event), event.offset, amount_of(event)]
            for event in events[after : after + len(found)]
        ]
        least = own(each)
        if found != prefix:
            yield f"{_told(each)} of {each.stream}: {found} is not a part of it"
        elif after + len(found) < least:
            yield f"{_told(each)} of {each.stream}: version {after + len(found)}, not {least}"
        elif found and run.first_invoked(str(found[-1][1])) > (each.answered or 0):
            yield f"{_told(each)} of {each.stream}: an event that nobody had asked for"


def heads_were_true(run: Run) -> Iterator[str]:
    """A head is one that the stream had, and no older than what the process had been told."""
    own = _own_versions(run)
    for each in run.operations:
        if each.kind != "head" or each.told is None or not each.succeeded:
            continue
        events = run.events_of(each.stream)
        version: int = each.told["version"]
        if version < own(each) or version > len(events):
            yield f"{_told(each)} of {each.stream}: version {version}"
        elif version:
            last, first = events[version - 1], events[0]
            facts = [append_id_of(last), first.offset, last.offset]
            if each.told["facts"] != facts:
                yield f"{_told(each)} of {each.stream}: {each.told['facts']}, not {facts}"


def what_was_said_of_append_ids_is_true(run: Run) -> Iterator[str]:
    """What an id led to; the process's own successes are known to it."""
    told: dict[tuple[str, str], int] = {}
    for each in run.operations:
        if each.kind in ATTEMPTS and each.succeeded:
            key = (each.process, each.append_id)
            told[key] = min(told.get(key, ENDLESS), each.answered or 0)
    for each in run.operations:
        if each.kind != "applied" or each.told is None or not each.succeeded:
            continue
        append = run.applied.get(each.append_id)
        if each.told["version"] is None:
            if told.get((each.process, each.append_id), ENDLESS) < each.invoked:
                yield f"{_told(each)}: not applied, though this process had been told that it was"
        elif append is None:
            yield f"{_told(each)}: applied, and it is not valid"
        else:
            places = [[event.partition, event.offset] for event in append]
            version = append[-1].header.version
            if (each.told["version"], each.told["positions"]) != (version, places):
                yield f"{_told(each)}: {dict(each.told)}, and is version {version} at {places}"


def commands_decided_on_what_they_followed(run: Run) -> Iterator[str]:
    """No update is lost: the command saw all that stands before its events, and only that."""
    for each in run.operations:
        if each.kind != "execute" or each.told is None or each.told.get("seen") is None:
            continue
        version, balance = each.told["seen"]
        events = run.events_of(each.stream)
        truth = sum(amount_of(event) or 0 for event in events[:version])
        if version > len(events) or truth != balance:
            yield f"{_told(each)}: saw balance {balance} at version {version}, not {truth}"
        elif each.succeeded and not each.told["repeated"]:
            followed = each.told["version"] - len(each.told["positions"])
            if followed != version:
                yield f"{_told(each)}: decided at version {version}, and followed {followed}"


def everything_is_known_in_the_end(run: Run) -> Iterator[str]:
    """Repeating an append id told its outcome, and truly."""
    for append_id, tries in run.tries.items():
        if any(each.succeeded or each.error in FINAL for each in tries):
            continue
        last = max(tries, key=lambda each: each.invoked)
        never = last.error == "StreamNotFound" and append_id not in run.applied
        if last.error != "VersionAhead" and not never:
            yield f"{append_id} was never resolved: {[each.outcome for each in tries]}"
        elif append_id in run.applied:
            yield f"{_told(last)} in the end, and is valid"


def every_question_was_answered(run: Run) -> Iterator[str]:
    """Nobody who lived waited in vain."""
    for each in run.operations:
        if each.error == NO_ANSWER:
            yield f"{each.id} ({each.kind} of {each.stream}) was not answered"


def checkpoints_hold_what_the_log_says(run: Run) -> Iterator[str]:
    """Each stored head is the stream's as of a prefix up to the checkpoint."""
    for head in run.stored:
        offset = run.checkpoints.get(head.partition, 0)
        below = [event for event in run.events_of(head.stream) if event.offset < offset]
        found = (head.version, head.append_id, head.last_offset)
        if not below:
            yield f"the head of {head.stream} is stored, and no event of it stands below {offset}"
            continue
        last = below[-1]
        if found != (last.header.version, append_id_of(last), last.offset):
            yield f"the head of {head.stream} is stored as {found}, and is at {_where(last)}"


CHECKS: Final[Sequence[Callable[[Run], Iterator[str]]]] = (
    the_log_is_well_formed,
    nothing_is_valid_twice,
    what_is_valid_was_asked_for,
    versions_are_contiguous,
    events_are_chained,
    expected_versions_were_true,
    what_was_acknowledged_is_valid,
    what_was_refused_is_not_valid,
    repeated_is_said_of_what_was_told_before,
    conflicts_were_true,
    the_order_is_that_of_time,
    reads_were_true,
    heads_were_true,
    what_was_said_of_append_ids_is_true,
    commands_decided_on_what_they_followed,
    everything_is_known_in_the_end,
    every_question_was_answered,
    checkpoints_hold_what_the_log_says,
)


def check(run: Run) -> list[Violation]:
    """Everything that is wrong with a run."""
    return [Violation(each.__name__, what) for each in CHECKS for what in each(run)]


def kept(folder: Path) -> Run:
    """A run that was kept in a folder."""
    return Run(operations(sorted(folder.glob("history-*.jsonl"))), read(load(folder / "log.jsonl")))


def _own_versions(run: Run) -> Callable[[Operation], int]:
    """For an operation: the highest version of its stream that its process had been told of."""
    told: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for each in run.operations:
        if each.kind in ATTEMPTS and each.succeeded and each.told is not None:
            told[each.process, each.stream].append((each.answered or 0, each.told["version"]))

    def of(operation: Operation) -> int:
        before = told.get((operation.process, operation.stream), ())
        return max((version for at, version in before if at < operation.invoked), default=0)

    return of


def _ends_after(other: Operation, each: Operation) -> bool:
    return other is not each and (other.answered or ENDLESS) > (each.answered or 0)


def _told(each: Operation) -> str:
    append = f" of {each.append_id}" if "append_id" in each.asked else ""
    return f"{each.id} ({each.kind}{append}) was told {each.outcome}"


def _named(append: Sequence[Event]) -> str:
    return f"{append_id_of(append[0])} at {_where(append[0])}"


def _where(event: Event) -> str:
    return f"{event.partition}@{event.offset}"


def main(folders: Iterable[str]) -> int:
    """Judge kept runs again: ``python -m tests.faults.checker FOLDER…``."""
    wrong = [violation for folder in folders for violation in check(kept(Path(folder)))]
    for violation in wrong:
        print(f"{violation.check}: {violation.what}")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
