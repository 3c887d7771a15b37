"""What PostgreSQL remembers of topics and checkpoints, read and never changed."""

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.kafka.doctor.facts import CheckpointFacts
from eventstore.log import LogPosition
from eventstore.postgres.address import connect
from eventstore.postgres.topics import RecordedTopic, recorded_topic

_CHECKPOINTS = """
SELECT partition, topic_id, next_offset, epoch, writer, next_sequence
FROM foldlog.checkpoints WHERE topic = %s ORDER BY partition"""


class Database:
    """One read-only connection; a database that holds none of our tables remembers nothing.

    Raises:
        psycopg.OperationalError: It cannot be reached.
    """

    def __init__(self, postgres: str) -> None:
        self._connection: Connection[TupleRow] = connect(postgres, autocommit=True)
        self._connection.read_only = True

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def recorded(self, topic: str) -> RecordedTopic | None:
        """What was recorded of the topic; None: nothing."""
        try:
            return recorded_topic(self._connection, topic)
        except psycopg.errors.UndefinedTable:
            return None

    def checkpoints(self, topic: str) -> list[CheckpointFacts]:
        """The topic's checkpoints, not compared with the log yet."""
        try:
            rows = self._connection.execute(_CHECKPOINTS, (topic,)).fetchall()
        except psycopg.errors.UndefinedTable:
            return []
        return [
            CheckpointFacts(
                topic,
                partition,
                topic_id,
                LogPosition(next_offset, epoch, bytes(writer), next_sequence),
                meets=None,
            )
            for partition, topic_id, next_offset, epoch, writer, next_sequence in rows
        ]
