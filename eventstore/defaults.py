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

BYTES_OF_METADATA: Final = 4_096
"""Bytes of an append's metadata at most, as headers: each of its events carries them."""

APPENDS_IN_FLIGHT: Final = 512
"""Appends submitted and not yet answered, per store: `submit` blocks at this number."""

ANSWER_SECONDS: Final = 30.0
"""Seconds until an append that nobody could answer is told to be of unknown outcome; longer than
a writer that was killed needs to be replaced (12)."""

REQUESTS_QUEUED: Final = 4_096
"""Requests of other processes that a writer holds unanswered, per topic; more get `Busy`. Eight
processes can have all their appends in flight at one writer."""

REQUEST_BYTES_QUEUED: Final = 64_000_000
"""Bytes of memory that other processes' requests may take at a writer, per topic, before it reads
on: the others wait in the request topic, which is a queue on disk. Some 280 appends of 1,000 small
events, or 29,000 of one, which is more than are not told `Busy`."""

REQUESTS_KEPT_SECONDS: Final = 3_600
"""Seconds that request and reply topics keep their records: far beyond any deadline."""

HEADS_CACHED: Final = 200_000
"""Heads, and as many append ids, that a process keeps in memory per topic, divided among its
partitions; older ones are looked up in PostgreSQL. What no checkpoint holds yet is kept beyond
this, so without PostgreSQL everything is. A partition that is only read begins again, when it is
full, from a checkpoint that has moved."""

HEADS_LOADED: Final = 5_000
"""Heads of a partition that are all loaded before it is claimed, if there are not more: some 10 ms,
and none of them is looked up later. Of a partition that has more, none is loaded ahead."""

AGGREGATES_CACHED: Final = 10_000
"""Aggregates whose state a repository keeps in memory, the last used: some 10 MB of small ones.
A load of one of these reads its stream's head, and no event that it has seen."""

EVENTS_NOTED: Final = 100
"""Events of a stream that were submitted and acknowledged, and are kept until its next load folds
them; after more, that load reads them from the log."""

EVENTS_PER_STATE: Final = 50
"""Events by which a stream moves on before its state is stored anew in PostgreSQL: reading so many
back from the log takes about as long as looking a state up and reading what follows it."""

STATES_SECONDS: Final = 1.0
"""Seconds between two writes of states to PostgreSQL, all that came meanwhile in one statement."""

STATES_WAITING: Final = 10_000
"""States that wait to be stored, at most: beyond it they are not stored, and made again later."""

REFILL_EVENTS: Final = 20_000
"""Events that a refill folds at once: some 70 MB of small ones, and enough that a query and a
statement for each batch cost little beside the folding."""

CHECKPOINT_SECONDS: Final = 1.0
"""Seconds between two checkpoints of a partition that is being written."""

APPEND_IDS_KEPT_DAYS: Final = 7
"""Days that an append id is remembered, so that a repeated append gets its first answer."""

CONNECT_SECONDS: Final = 10.0
"""Seconds to wait for Kafka or PostgreSQL to answer when an application is opened."""
