"""What had happened to a stream by a version, or by a time."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice, takewhile
from typing import Any, TypeVar

from eventstore.store import EPOCH, MICROSECOND, Recorded

R = TypeVar("R", bound=Recorded[Any])


def check(version: int | None, at: datetime | None) -> None:
    """Refuse what names no moment of a stream's past.

    Raises:
        ValueError: Both are given, the version is below 1, or the time has no time zone.
        TypeError: The version is not an int, or the time not a datetime.
    """
    _check_types(version, at)
    if version is not None and at is not None:
        raise ValueError("expected a version or a time; found both: give one of them")
    if version is not None and version < 1:
        raise ValueError(f"expected a version of 1 or more; found {version}")
    if at is not None and at.utcoffset() is None:
        raise ValueError(f"expected a time with a time zone; found {at.isoformat()}: add one")


def _check_types(version: Any, at: Any) -> None:
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise TypeError(
            f"expected a version as an int; found {type(version).__name__} {version!r}: "
            "count the events from 1"
        )
    if at is not None and not isinstance(at, datetime):
        raise TypeError(
            f"expected an aware datetime; found {type(at).__name__} {at!r}: make one of it, as by "
            "datetime.fromisoformat, with a time zone"
        )


def prefix(
    history: Iterable[R], *, version: int | None = None, at: datetime | None = None
) -> Iterator[R]:
    """The first ``version`` events, or the longest prefix of events at or before ``at``.

    Events may carry times of their own, in any order. An event that happened later than ``at``
    ends the prefix, whatever stands behind it: what a stream was is always a prefix of it.
    """
    check(version, at)
    if at is not None:
        micros = (at - EPOCH) // MICROSECOND
        return takewhile(lambda recorded: recorded.time <= micros, history)
    return islice(history, version)
