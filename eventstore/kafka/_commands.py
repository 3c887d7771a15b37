"""The commands of Kafka's own tools by which an operator mends what we only find."""

import json
from collections.abc import Mapping, Sequence


def alter_topic(bootstrap: str, topic: str, setting: str, value: str) -> str:
    """The command that gives a topic this setting."""
    return (
        f"kafka-configs.sh --bootstrap-server {bootstrap} --alter "
        f"--entity-type topics --entity-name {topic} --add-config {setting}={value}"
    )


def delete_topic(bootstrap: str, topic: str) -> str:
    """The command that deletes a topic, and all that is in it."""
    return f"kafka-topics.sh --bootstrap-server {bootstrap} --delete --topic {topic}"


def alter_brokers(bootstrap: str, setting: str, value: str, *, only: int | None = None) -> str:
    """The command that gives all brokers this setting, or one, by its id.

    Kafka goes by what is set for a broker alone, else for all brokers, else in the broker's
    server.properties.
    """
    whom = "--entity-default" if only is None else f"--entity-name {only}"
    return (
        f"kafka-configs.sh --bootstrap-server {bootstrap} --alter "
        f"--entity-type brokers {whom} --add-config {setting}={value}"
    )


def reassign(bootstrap: str, file: str) -> str:
    """The command that moves partitions as the JSON in ``file`` says (see `assignment`)."""
    return (
        f"kafka-reassign-partitions.sh --bootstrap-server {bootstrap} "
        f"--reassignment-json-file {file} --execute"
    )


def assignment(topic: str, replicas: Mapping[int, Sequence[int]]) -> str:
    """What `reassign` reads: each partition of the topic with the brokers that are to keep it."""
    partitions = [
        {"topic": topic, "partition": partition, "replicas": list(brokers)}
        for partition, brokers in replicas.items()
    ]
    return json.dumps({"version": 1, "partitions": partitions})


def who_may_write(bootstrap: str, topic: str) -> str:
    """The command that lists who may do what with a topic."""
    return f"kafka-acls.sh --bootstrap-server {bootstrap} --list --topic {topic}"


def describe_topic(bootstrap: str, topic: str) -> str:
    """The command that shows each partition's leader and replicas."""
    return f"kafka-topics.sh --bootstrap-server {bootstrap} --describe --topic {topic}"
