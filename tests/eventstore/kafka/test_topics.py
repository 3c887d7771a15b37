"""Topics made, checked and recorded, on a real broker."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from eventstore.errors import (
    ConfigurationError,
    PartitionsChanged,
    TopicMissing,
    TopicRecreated,
    UnfitMailTopic,
    UnsafeTopic,
)
from eventstore.kafka._admin import Admin
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import CONFIG, Durability, Topics
from eventstore.postgres.address import connect
from eventstore.postgres.topics import RecordedTopic, record_topic
from tests.bank_store import SECONDS, answer, deposit, open_store, wait_until


def topics(kafka: str, durability: Durability = "single", postgres: str | None = None) -> Topics:
    return Topics(KafkaSettings(kafka), durability, 3, postgres=postgres)


def make(kafka: str, topic: str = "accounts", partitions: int = 3) -> None:
    Admin(KafkaSettings(kafka)).create(topic, partitions, 1, CONFIG)


def delete(kafka: str, topic: str = "accounts") -> None:
    admin: Any = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(SECONDS)
    asker = Admin(KafkaSettings(kafka))
    wait_until(lambda: asker.describe(topic) is None)


def test_a_topic_is_made_so_that_it_keeps_every_event_for_ever(kafka: str) -> None:
    info = topics(kafka).ensure("accounts")
    assert (info.topic, info.partitions) == ("accounts", 3)
    effective = Admin(KafkaSettings(kafka)).config("accounts")
    assert CONFIG.items() <= effective.items()
    assert effective["min.insync.replicas"] == "1"


def test_a_topic_is_made_once(kafka: str) -> None:
    assert topics(kafka).ensure("accounts") == topics(kafka).ensure("accounts")


def test_a_topic_that_another_process_makes_meanwhile_is_not_taken_for_a_deleted_one(
    kafka: str, postgres: str
) -> None:
    asked = topics(kafka, postgres=postgres)
    with ThreadPoolExecutor(1) as thread, connect(postgres) as other:
        other.execute("LOCK foldlog.topics")
        waits = thread.submit(asked.ensure, "accounts")
        waiting = (
            "SELECT 1 FROM pg_locks WHERE NOT granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        wait_until(lambda: other.execute(waiting).fetchone())
        make(kafka)
        described = Admin(KafkaSettings(kafka)).describe("accounts")
        assert described is not None
        record_topic(other, "accounts", RecordedTopic(described.topic_id, 3))
        other.commit()
        assert waits.result(SECONDS) == ("accounts", described.topic_id, 3)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "delete,compact"),
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000"),
        ("message.timestamp.type", "LogAppendTime"),
        ("message.timestamp.after.max.ms", "3600000"),
        ("message.timestamp.before.max.ms", "3600000"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "500000"),
    ],
)
def test_a_topic_that_could_lose_events_is_refused_with_the_command_that_mends_it(
    kafka: str, setting: str, value: str
) -> None:
    Admin(KafkaSettings(kafka)).create("accounts", 3, 1, {**CONFIG, setting: value})
    with pytest.raises(UnsafeTopic) as raised:
        topics(kafka).ensure("accounts")
    error = raised.value
    assert (error.topic, error.setting, error.found) == ("accounts", setting, value)
    assert error.command == (
        f"kafka-configs.sh --bootstrap-server {kafka} --alter --entity-type topics "
        f"--entity-name accounts --add-config {setting}={error.expected}"
    )


def test_a_segments_age_is_an_operators_choice(kafka: str) -> None:
    Admin(KafkaSettings(kafka)).create("accounts", 3, 1, {**CONFIG, "segment.ms": "86400000"})
    assert topics(kafka).ensure("accounts").partitions == 3


def test_a_topic_with_too_few_replicas_is_refused_unless_that_was_accepted(kafka: str) -> None:
    make(kafka)
    with pytest.raises(UnsafeTopic, match="replicas=at least 3, found 1"):
        topics(kafka, "replicated").ensure("accounts")


def test_too_few_brokers_for_a_new_topic_are_an_error_that_names_the_choice(kafka: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"expected 3 brokers .* FOLDLOG_DURABILITY=single"
    ):
        topics(kafka, "replicated").ensure("accounts")


def test_a_topic_is_recorded_when_it_is_made_or_first_seen(kafka: str, postgres: str) -> None:
    make(kafka, "seen", partitions=5)
    made, seen = (topics(kafka, postgres=postgres).ensure(each) for each in ("accounts", "seen"))
    with connect(postgres) as connection:
        rows = connection.execute("SELECT * FROM foldlog.topics ORDER BY topic").fetchall()
    assert rows == [tuple(made), tuple(seen)]
    assert seen.partitions == 5


def test_a_topic_that_was_made_again_is_not_the_one_that_was_recorded(
    kafka: str, postgres: str
) -> None:
    before = topics(kafka, postgres=postgres).ensure("accounts")
    delete(kafka)
    make(kafka)
    with pytest.raises(TopicRecreated) as raised:
        topics(kafka, postgres=postgres).ensure("accounts")
    assert raised.value.expected == before.topic_id
    assert raised.value.found != before.topic_id


def test_a_topic_that_was_made_again_is_told_as_that_before_its_settings_are(
    kafka: str, postgres: str
) -> None:
    asked = topics(kafka, postgres=postgres)
    asked.ensure("accounts")
    delete(kafka)
    Admin(KafkaSettings(kafka)).create("accounts", 3, 1, {**CONFIG, "retention.ms": "604800000"})
    with pytest.raises(TopicRecreated):
        asked.check("accounts")
    delete(kafka)
    Admin(KafkaSettings(kafka)).create("accounts", 4, 1, {**CONFIG, "retention.ms": "604800000"})
    with pytest.raises(TopicRecreated):
        topics(kafka, "replicated", postgres).check("accounts")


def test_a_topic_that_could_lose_events_is_not_recorded(kafka: str, postgres: str) -> None:
    Admin(KafkaSettings(kafka)).create("accounts", 3, 1, {**CONFIG, "retention.ms": "604800000"})
    asked = topics(kafka, postgres=postgres)
    with pytest.raises(UnsafeTopic):
        asked.ensure("accounts")
    delete(kafka)
    assert asked.ensure("accounts").partitions == 3


def test_a_request_topic_of_another_size_is_mended_by_deleting_it(kafka: str) -> None:
    asked = topics(kafka)
    info = asked.ensure("accounts")
    make(kafka, "accounts.requests", partitions=2)
    with pytest.raises(UnfitMailTopic) as raised:
        asked.ensure_mail(info)
    error = raised.value
    assert (error.topic, error.expected, error.found) == ("accounts.requests", 3, 2)
    assert error.command == (
        f"kafka-topics.sh --bootstrap-server {kafka} --delete --topic accounts.requests"
    )
    delete(kafka, "accounts.requests")
    assert asked.ensure_mail(info) == {0: 0, 1: 0, 2: 0}


def test_a_topic_that_is_gone_is_not_made_again(kafka: str, postgres: str) -> None:
    topics(kafka, postgres=postgres).ensure("accounts")
    delete(kafka)
    with pytest.raises(TopicMissing, match="it was deleted"):
        topics(kafka, postgres=postgres).ensure("accounts")
    assert Admin(KafkaSettings(kafka)).describe("accounts") is None


def test_another_number_of_partitions_than_recorded_is_refused(kafka: str, postgres: str) -> None:
    topics(kafka, postgres=postgres).ensure("accounts")
    with connect(postgres) as connection:
        connection.execute("UPDATE foldlog.topics SET partitions = 2")
    with pytest.raises(PartitionsChanged, match="with 2 partitions; found 3"):
        topics(kafka, postgres=postgres).ensure("accounts")


def written_then_grown(kafka: str) -> None:
    """A stream in a topic of 3 partitions, which then has 4: the stream's key may have moved."""
    with open_store(kafka) as store:
        answer(store, deposit("a"))
    admin: Any = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions("accounts", 4)])["accounts"].result()
    asker = Admin(KafkaSettings(kafka))

    def grown() -> bool:
        found = asker.describe("accounts")
        return found is not None and found.partitions == 4 and found.led

    wait_until(grown)


def test_a_grown_topic_is_refused_by_its_claims_where_no_database_remembers_it(
    kafka: str, postgres: str
) -> None:
    written_then_grown(kafka)
    for asked in (topics(kafka), topics(kafka, postgres=postgres)):
        for _ in range(2):
            with pytest.raises(PartitionsChanged, match="with 3 partitions; found 4"):
                asked.check("accounts")
    with connect(postgres) as connection:
        assert not connection.execute("SELECT 1 FROM foldlog.topics").fetchall()


def test_an_append_to_a_grown_topic_is_refused_without_a_database(kafka: str) -> None:
    written_then_grown(kafka)
    with open_store(kafka) as store, pytest.raises(PartitionsChanged):
        store.head("accounts", "a")
    with open_store(kafka) as store, pytest.raises(PartitionsChanged):
        store.submit(deposit("a"))


def test_a_topic_that_was_written_is_seen_first_by_a_new_database(
    kafka: str, postgres: str
) -> None:
    with open_store(kafka) as store:
        answer(store, deposit("a"))
    assert topics(kafka, postgres=postgres).check("accounts").partitions == 3


def test_a_topic_without_a_claim_is_seen_first_as_it_is(kafka: str, postgres: str) -> None:
    make(kafka)
    producer = KafkaSettings(kafka).producer(idempotent=False)
    producer.produce("accounts", b"a stranger's", b"", partition=1)
    assert not producer.flush(30)
    assert topics(kafka, postgres=postgres).check("accounts").partitions == 3
    assert topics(kafka).check("accounts").partitions == 3


def test_looking_for_a_topic_never_makes_it(kafka: str, postgres: str) -> None:
    asked = topics(kafka, postgres=postgres)
    assert asked.find("accounts") is None
    with pytest.raises(TopicMissing, match="foldlog topics plan"):
        asked.check("accounts")
    assert Admin(KafkaSettings(kafka)).describe("accounts") is None


def test_a_plan_is_the_command_that_makes_the_topic_as_we_would() -> None:
    command, *mail = topics("broker:9092", "replicated").plan({"accounts": None})
    assert command.startswith(
        "kafka-topics.sh --bootstrap-server broker:9092 --create --if-not-exists --topic accounts "
        "--partitions 3 --replication-factor 3 --config cleanup.policy=delete "
    )
    assert "--config min.insync.replicas=2" in command
    for name, value in CONFIG.items():
        assert f"--config {name}={value}" in command
    for line, name in zip(mail, ("requests", "replies"), strict=True):
        assert f"--topic accounts.{name} --partitions 3 --replication-factor 3" in line
        assert "--config retention.ms=3600000 " in line


def test_the_ends_and_starts_of_a_new_topic_are_zero(kafka: str) -> None:
    topics(kafka).ensure("accounts")
    admin = Admin(KafkaSettings(kafka))
    assert admin.ends("accounts") == admin.starts("accounts") == {0: 0, 1: 0, 2: 0}
    with pytest.raises(TopicMissing):
        admin.ends("nowhere")
