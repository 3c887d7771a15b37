"""Every default of the read side, with its unit and its reason; the docs quote this file."""

from typing import Final

READ_SCHEMA: Final = "public"
"""The PostgreSQL schema in which readers see the views."""

BATCH_EVENTS: Final = 10_000
"""Events in a batch at most: the commit and its statements cost little per event."""

BATCH_EVENTS_SQL: Final = 1_000
"""The same for SQL projections, at up to 600 µs an event: a batch stays below a second."""

READ_SECONDS: Final = 0.5
"""Seconds to wait for events; those that are there are taken at once, so live batches are small."""

ROWS_BY_ARRAY: Final = 200
"""Rows written by `unnest` at most; more go by COPY and merge, which is quicker per row."""

OWNER_SEEN_SECONDS: Final = 10.0
"""Seconds after which an owner that was not seen counts as gone."""

HEARTBEAT_SECONDS: Final = 2.0
"""Seconds between two signs of life of an owner that has nothing to commit."""

LOCK_SECONDS: Final = 2.0
"""Seconds to wait for a row that a former owner may hold, before its session is ended."""

TRANSACTION_SECONDS: Final = 60
"""Seconds that a projector's transaction may take or idle before the server ends it."""

RETRIES: Final = 8
"""Tries of a batch that a deadlock, a timeout or a lost connection ended, before it counts."""

RECONNECT_SECONDS: Final = 60.0
"""Seconds to go on trying when PostgreSQL is away."""

SWITCH_LOCK_SECONDS: Final = 0.5
"""Seconds a switch waits for a lock: below PostgreSQL's `deadlock_timeout` of 1 s."""

SWITCH_WAIT_SECONDS: Final = 1.0
"""Seconds that a switch holds the live positions while the new generation catches up."""

SWITCH_TRIES: Final = 20
"""Tries of a switch that met a lock or a generation that was behind."""
