"""Folding a batch into rows, in memory: the pure half of a row projection's work."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from eventstore.store import Recorded
from projections.errors import InvalidRow
from projections.projection import DELETE, RowProjection


def keys_of(
    projection: RowProjection[Any, Any], batch: Sequence[Recorded[Any]]
) -> list[Hashable | None]:
    """The key of each event, None where the event is not the projection's.

    Raises:
        InvalidRow: The projection says that its keys are streams, and one is not.
    """
    key = projection.key
    keys: list[Any] = [key(recorded) for recorded in batch]
    if projection.key_is_stream:
        streams = [recorded.stream for recorded in batch]
        if keys == streams:
            return keys
        for found, stream in zip(keys, streams, strict=True):
            if found is None or found == stream or _holds(found, stream):
                continue
            raise InvalidRow(
                projection.name,
                found,
                f"a key without the stream {stream!r}, though `key_is_stream` is set",
                "leave `key_is_stream` out, or return the stream",
            )
    return keys


def _holds(key: Any, stream: str) -> bool:
    return issubclass(type(key), tuple) and stream in key


def fold_into(
    projection: RowProjection[Any, Any],
    rows: dict[Hashable, Any],
    batch: Sequence[Recorded[Any]],
    keys: Sequence[Hashable | None],
) -> None:
    """Fold events, in order, into ``rows``; a deleted row is left as None."""
    fold = projection.fold
    get = rows.get
    for key, recorded in zip(keys, batch, strict=True):
        if key is not None:
            row = fold(get(key), recorded)
            if row is None:
                raise InvalidRow(
                    projection.name,
                    key,
                    "None from `fold`",
                    "return the row in every case, or DELETE",
                )
            rows[key] = None if row is DELETE else row


def folded(
    projection: RowProjection[Any, Any], history: Iterable[Recorded[Any]]
) -> dict[Hashable, Any]:
    """The rows that a history gives, by key: for tests of projections, without a database."""
    batch = list(history)
    rows: dict[Hashable, Any] = {}
    fold_into(projection, rows, batch, keys_of(projection, batch))
    return {key: row for key, row in rows.items() if row is not None}
