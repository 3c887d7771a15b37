"""The topics as they were when made or first seen, so that a changed one is noticed."""

from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow


class RecordedTopic(NamedTuple):
    """What the database knows of a topic."""

    topic_id: str
    """Kafka's id of the topic, as it prints it; a topic made again has another."""
    partitions: int


def recorded_topic(connection: Connection[TupleRow], topic: str) -> RecordedTopic | None:
    """What was recorded of the topic; None: nothing yet."""
    row = connection.execute(
        "SELECT topic_id, partitions FROM foldlog.topics WHERE topic = %s", (topic,)
    ).fetchone()
    return None if row is None else RecordedTopic(*row)


def record_topic(
    connection: Connection[TupleRow], topic: str, found: RecordedTopic
) -> RecordedTopic:
    """Record the topic unless it is recorded; return what then is, which the caller compares."""
    connection.execute(
        "INSERT INTO foldlog.topics (topic, topic_id, partitions) VALUES (%s, %s, %s) "
        "ON CONFLICT (topic) DO NOTHING",
        (topic, *found),
    )
    return recorded_topic(connection, topic) or found
