"""States of aggregates in PostgreSQL: a cache of folds, by the fingerprint of their shape."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.state_port import State, StateKey

_READ: Final = """
SELECT stream, version, uuid_send(append_id), state::text FROM foldlog.states
WHERE topic = %s AND fingerprint = %s AND stream = ANY(%s)"""

# Sorted, so that two processes that write the same rows wait for each other in one order.
_WRITE: Final = """
INSERT INTO foldlog.states (topic, stream, fingerprint, version, append_id, state)
SELECT topic, stream, fingerprint, version, encode(append_id, 'hex')::uuid, state::json
FROM unnest(%b::text[], %b::text[], %b::bytea[], %b::bigint[], %b::bytea[], %b::text[])
     AS q (topic, stream, fingerprint, version, append_id, state)
ORDER BY topic, stream, fingerprint
ON CONFLICT (topic, stream, fingerprint) DO UPDATE SET
    version = excluded.version,
    append_id = excluded.append_id,
    state = excluded.state
WHERE states.version < excluded.version"""

_DISCARD: Final = """
DELETE FROM foldlog.states
WHERE topic = %s AND stream = %s AND fingerprint = %s AND version = %s"""

_FORGET: Final = "DELETE FROM foldlog.states WHERE topic = %s AND fingerprint <> ALL(%s)"


def read(connection: Connection[TupleRow], key: StateKey) -> State | None:
    """The stored state; None: there is none of this shape."""
    return read_many(connection, key.topic, key.fingerprint, [key.stream]).get(key.stream)


def read_many(
    connection: Connection[TupleRow], topic: str, fingerprint: bytes, streams: Sequence[str]
) -> dict[str, State]:
    """The stored states of many streams of one topic, in one statement."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_READ, (topic, fingerprint, list(streams)), prepare=True).fetchall()
    return {stream: State(version, bytes(append), text) for stream, version, append, text in rows}


def write(connection: Connection[TupleRow], states: Mapping[StateKey, State]) -> int:
    """Store states in one statement, none over a newer one; how many were stored."""
    if not states:
        return 0
    keys, values = zip(*states, strict=True), zip(*states.values(), strict=True)
    columns = [list(column) for column in (*keys, *values)]
    return connection.execute(_WRITE, columns).rowcount


def discard(connection: Connection[TupleRow], key: StateKey, version: int) -> None:
    """Delete a state that is not of the log, unless another has replaced it."""
    connection.execute(_DISCARD, (*key, version))


def forget(connection: Connection[TupleRow], topic: str, kept: Iterable[bytes]) -> int:
    """Delete the topic's states of all other shapes; how many there were."""
    return connection.execute(_FORGET, (topic, list(kept))).rowcount
