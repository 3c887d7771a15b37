"""Every default of the write side, with its unit and its reason; the docs quote this file."""

from typing import Final

PARTITIONS: Final = 12
"""Partitions of a topic; they bound how many writers and workers share the work."""

BYTES_PER_EVENT: Final = 79
"""Bytes of an event's record beside its key and its Avro body: the header, and the schema's id."""

EVENTS_PER_APPEND: Final = 1_000
"""Events in one append at most: an append is the smallest unit of every batch."""

BYTES_PER_APPEND: Final = 900_000
"""Bytes of one append's records at most: below the client's 1,000,000 per message."""

APPENDS_IN_FLIGHT: Final = 512
"""Appends submitted and not yet answered, per store: `submit` blocks at this number."""

HEADS_CACHED: Final = 200_000
"""Heads, and as many append ids, that a writer keeps in memory per topic, divided among its
partitions; older ones are looked up in PostgreSQL. What no checkpoint holds yet is kept beyond
this, so without PostgreSQL everything is. A partition that is only read keeps this many by
itself, then begins again from a checkpoint that has moved."""

CHECKPOINT_SECONDS: Final = 1.0
"""Seconds between two checkpoints of a partition that is being written."""

APPEND_IDS_KEPT_DAYS: Final = 7
"""Days that an append id is remembered, so that a repeated append gets its first answer."""

CONNECT_SECONDS: Final = 10.0
"""Seconds to wait for Kafka or PostgreSQL to answer when an application is opened."""
