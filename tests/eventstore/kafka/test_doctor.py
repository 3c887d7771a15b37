"""The doctor on a real broker: topics altered, strangers, fights, and what mends each."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from eventstore.kafka._admin import Admin
from eventstore.kafka._admin import kafka as admin_module
from eventstore.kafka.doctor import Diagnosis, Doctor, Finding, Severity
from eventstore.kafka.doctor._brokers import Brokers
from eventstore.kafka.header import HEADER
from eventstore.kafka.records import BY, claim_header
from eventstore.kafka.rule import Dead
from eventstore.kafka.schemas import SCHEMAS_TOPIC
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import MAIL_CONFIG, Topics, config_of, requests_topic
from eventstore.postgres import checkpoints
from eventstore.postgres.address import connect
from eventstore.postgres.checkpoints import PartitionKey
from eventstore.postgres.topics import RecordedTopic, record_topic
from foldlog.commands import main
from tests.bank import Account, MoneyDeposited
from tests.bank_store import answer, deposit, open_store
from tests.scripted_log import ScriptedLog

TOPIC = Account.topic
ALTERED = {
    "cleanup.policy": "compact",
    "max.message.bytes": "500000",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": "3600000",
    "message.timestamp.type": "LogAppendTime",
    "min.insync.replicas": "2",
    "retention.bytes": "1000000",
    "retention.ms": "604800000",
    "segment.ms": "86400000",
    "unclean.leader.election.enable": "true",
}
"""Settings that lose events, refuse them or, one of them, only cost speed."""


@dataclass
class Ward:
    """The servers, and who examines what is on them."""

    kafka: str
    postgres: str

    def examine(self, records: int | None = None) -> Diagnosis:
        settings = KafkaSettings(self.kafka)
        events = {TOPIC: Account.event_types}
        doctor = Doctor(
            settings,
            events,
            topics=Topics(settings, "single", 1),
            durability="single",
            postgres=self.postgres,
        )
        return doctor.examine(records)

    def alter(self, setting: str, value: str) -> None:
        """What `kafka-configs.sh --alter --entity-type topics --add-config` does."""
        alter(self.kafka, "TOPIC", TOPIC, setting, value)

    def wait_for(self, setting: str, value: str) -> None:
        asker = Admin(KafkaSettings(self.kafka))
        while asker.config(TOPIC)[setting] != value:
            time.sleep(0.01)


def alter(kafka: str, kind: str, name: str, setting: str, value: str | None) -> None:
    """What `kafka-configs.sh --alter` does; None deletes the setting."""
    client: Any = AdminClient({"bootstrap.servers": kafka})
    operation = admin_module.AlterConfigOpType
    entry = admin_module.ConfigEntry(
        setting, value, incremental_operation=operation.DELETE if value is None else operation.SET
    )
    resource = admin_module.ConfigResource(
        admin_module.ResourceType[kind], name, incremental_configs=[entry]
    )
    client.incremental_alter_configs([resource])[resource].result()


@pytest.fixture
def ward(kafka: str, postgres: str) -> Ward:
    return Ward(kafka, postgres)


def worse(found: Diagnosis) -> list[Finding]:
    return [each for each in found.findings if each.severity is not Severity.NOTE]


def of(found: Diagnosis, subject: str) -> list[Finding]:
    return [each for each in found.findings if each.subject == subject]


def mended_by(command: str | None) -> Iterator[tuple[str, str]]:
    """The settings that a printed command gives to the topic."""
    assert command is not None
    words = command.split()
    assert words[0] == "kafka-configs.sh"
    assert words[words.index("--entity-type") + 1] == "topics"
    assert words[words.index("--entity-name") + 1] == TOPIC
    setting, _, value = words[words.index("--add-config") + 1].partition("=")
    yield setting, value


def test_a_sound_topic_has_nothing_worse_than_notes_and_nothing_is_made(ward: Ward) -> None:
    missing = ward.examine()
    assert {each.subject for each in missing.findings} == {"missing topic"}
    assert all(each.command for each in missing.findings)
    assert Admin(KafkaSettings(ward.kafka)).describe(TOPIC) is None
    log = ScriptedLog(ward.kafka, TOPIC)
    writer = log.claim()
    log.append(writer, "alice", [MoneyDeposited(amount=1)] * 3)
    found = ward.examine()
    assert worse(found) == []
    assert found.unchecked == ()
    (read,) = found.read
    assert (read.records, read.events, read.dead) == (4, 3, {})
    with connect(ward.postgres) as connection:
        assert not connection.execute("SELECT 1 FROM foldlog.topics").fetchall()


def test_each_printed_command_mends_its_finding(ward: Ward) -> None:
    ScriptedLog(ward.kafka, TOPIC)
    for setting, value in ALTERED.items():
        ward.alter(setting, value)
    for setting, value in ALTERED.items():
        ward.wait_for(setting, value)
    found = ward.examine()
    about = {each.setting: each for each in found.findings if each.setting is not None}
    assert about.keys() == ALTERED.keys()
    for setting, finding in about.items():
        assert setting is not None
        assert finding.found == ALTERED[setting]
        harmless = setting == "segment.ms"
        assert finding.severity is (Severity.NOTE if harmless else Severity.ERROR)
        for name, value in mended_by(finding.command):
            assert name == setting
            ward.alter(name, value)
            ward.wait_for(name, value)
    assert [each for each in ward.examine().findings if each.setting is not None] == []


def test_what_strangers_zombies_and_rivals_left_in_the_log_is_told(ward: Ward) -> None:
    log = ScriptedLog(ward.kafka, TOPIC)
    first = log.claim(1)
    log.append(first, "alice", [MoneyDeposited(amount=1)] * 2)
    now = time.time_ns() // 1_000
    stranger = log.put(b"order-7", b"secret", [("source", b"secret")], now)
    second = log.claim(2)
    log.append(first, "alice", [MoneyDeposited(amount=5)])  # a zombie
    log.claim(2)  # too late
    log.append(second, "bob", [MoneyDeposited(amount=1)])
    rivals = [log.claim(epoch) for epoch in range(3, 9)]
    log.append(rivals[-1], "carol", [MoneyDeposited(amount=1)] * 3, only=2)
    found = ward.examine()
    (foreign,) = of(found, "foreign records")
    assert foreign.severity is Severity.WARNING
    assert f"offset {stranger}" in foreign.found
    assert "key order-7, headers source" in foreign.found
    assert "secret" not in foreign.found
    assert foreign.command is not None
    assert foreign.command.startswith("kafka-acls.sh")
    dead = " ".join(each.found for each in of(found, "dead records"))
    assert "1 stale writer" in dead
    assert "1 stale claim" in dead
    (incomplete,) = of(found, "incomplete append")
    assert incomplete.found.startswith("2 events")
    (fight,) = of(found, "many claims")
    assert fight.found.startswith("9 claims within 0 s, 3 events")
    assert {each.severity for each in worse(found)} == {Severity.WARNING}
    (read,) = found.read
    assert read.events == 3


def test_a_stranger_of_long_ago_leaves_nothing_to_be_mended(ward: Ward) -> None:
    log = ScriptedLog(ward.kafka, TOPIC)
    log.append(log.claim(), "alice", [MoneyDeposited(amount=1)])
    log.put(b"order-7", b"of another age")
    found = ward.examine()
    assert worse(found) == []
    assert len(of(found, "foreign records")) == 1


def test_the_end_of_a_long_log_is_judged_as_the_whole_would_be(ward: Ward) -> None:
    log = ScriptedLog(ward.kafka, TOPIC)
    writer = log.claim()
    log.append(writer, "alice", [MoneyDeposited(amount=1)] * 20)
    zombie, writer = writer, log.claim(2)
    log.append(writer, "bob", [MoneyDeposited(amount=1)] * 10)
    log.append(zombie, "bob", [MoneyDeposited(amount=1)])
    found = ward.examine(records=13)
    assert found.unchecked == ()
    (read,) = found.read
    assert (read.records, read.events, read.dead) == (13, 10, {Dead.STALE_WRITER: 1})
    (unknown,) = ward.examine(records=8).unchecked  # bob's append began before these
    assert unknown.what == "dead records and events of partition 0"


def test_a_topic_made_again_and_checkpoints_of_another_log_are_errors(ward: Ward) -> None:
    log = ScriptedLog(ward.kafka, TOPIC)
    log.append(log.claim(), "alice", [MoneyDeposited(amount=1)])
    described = Admin(log.settings).describe(TOPIC)
    assert described is not None
    with connect(ward.postgres) as connection:
        record_topic(connection, TOPIC, RecordedTopic("another", 2))
        checkpoints.create(connection, PartitionKey(TOPIC, described.topic_id, 0))
        connection.execute("UPDATE foldlog.checkpoints SET next_offset = 900, epoch = 1")
    found = ward.examine()
    assert {each.subject for each in found.findings if each.severity is Severity.ERROR} == {
        "topic id",
        "partitions",
        "checkpoint",
    }
    (beyond,) = of(found, "checkpoint")
    assert beyond.found.startswith("offset 900")
    with connect(ward.postgres) as connection:
        connection.execute("UPDATE foldlog.checkpoints SET next_offset = 2, next_sequence = 9")
    (other,) = of(ward.examine(), "checkpoint")
    assert other.found == "another record, or none"


def test_schemas_that_were_deleted_are_missed(ward: Ward) -> None:
    with open_store(ward.kafka, ward.postgres, partitions=1) as store:
        answer(store, deposit("alice"))
    admin: Any = AdminClient({"bootstrap.servers": ward.kafka})
    where = TopicPartition(SCHEMAS_TOPIC, 0, -1)
    admin.delete_records([where])[where].result()
    found = {
        each.subject: each for each in ward.examine().findings if each.severity is Severity.ERROR
    }
    assert set(found) == {"lost schemas", "unknown schema"}
    assert found["lost schemas"].found.startswith("it begins at offset 3")
    assert "restore foldlog.schemas from a backup" in found["unknown schema"].mend


def test_request_topics_are_not_to_be_deleted_for_what_became_of_their_topic_of_events(
    ward: Ward,
) -> None:
    log = ScriptedLog(ward.kafka, TOPIC)
    log.append(log.claim(), "alice", [MoneyDeposited(amount=1)])
    admin = Admin(log.settings)
    admin.create(requests_topic(TOPIC), 2, 1, config_of("single", MAIL_CONFIG))
    (unfit,) = worse(ward.examine())
    assert (unfit.topic, unfit.subject) == (requests_topic(TOPIC), "partitions")
    assert unfit.command is not None
    assert unfit.command.endswith(f"--delete --topic {requests_topic(TOPIC)}")
    described = admin.describe(TOPIC)
    assert described is not None
    with connect(ward.postgres) as connection:
        record_topic(connection, TOPIC, RecordedTopic(described.topic_id, 2))
    (grown,) = worse(ward.examine())
    assert (grown.topic, grown.subject) == (TOPIC, "partitions")


def test_a_command_that_lets_a_broker_take_more_reaches_the_setting_of_that_broker_alone(
    ward: Ward,
) -> None:
    def small() -> list[Finding]:
        return [each for each in of(ward.examine(), "message size") if each.topic == "(brokers)"]

    (broker,) = Brokers(KafkaSettings(ward.kafka)).cluster().brokers
    alter(ward.kafka, "BROKER", str(broker), "message.max.bytes", "500000")
    try:
        while not (found := small()):
            time.sleep(0.01)
        assert found[0].severity is Severity.WARNING
        assert found[0].command is not None
        command, _, value = found[0].command.rpartition("message.max.bytes=")
        assert command.endswith(f"--entity-type brokers --entity-name {broker} --add-config ")
        alter(ward.kafka, "BROKER", str(broker), "message.max.bytes", value)
        while small():
            time.sleep(0.01)
    finally:
        alter(ward.kafka, "BROKER", str(broker), "message.max.bytes", None)


def test_claims_tell_who_fought_for_a_partition(ward: Ward) -> None:
    log = ScriptedLog(ward.kafka, TOPIC)
    for epoch in range(1, 7):
        claim = claim_header(epoch=epoch, writer=os.urandom(8), partitions=1)
        log.put(b"", None, [(HEADER, claim), (BY, f"host:{epoch % 2}".encode())])
    (fight,) = of(ward.examine(), "many claims")
    assert fight.found.endswith("by host:0, host:1")


def test_writers_that_serve_are_sound_and_requests_without_writers_are_told(ward: Ward) -> None:
    with open_store(ward.kafka, ward.postgres, partitions=1, role="writer") as store:
        answer(store, deposit("alice"))
        served = ward.examine()
        assert worse(served) == []
        assert served.unchecked == ()
        assert of(served, "stale claim") == []
    producer = KafkaSettings(ward.kafka).producer(idempotent=False)
    producer.produce(requests_topic(TOPIC), b"anything", b"alice", partition=0)
    assert not producer.flush(30)
    (waiting,) = of(ward.examine(), "waiting requests")
    assert waiting.found == "1 requests in partition 0, and no writer"


def test_the_command_tells_by_its_exit_code_and_shows_each_command_whole(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", ward.kafka)
    monkeypatch.setenv("FOLDLOG_POSTGRES", ward.postgres)
    monkeypatch.setenv("FOLDLOG_DURABILITY", "single")
    run = CliRunner().invoke
    arguments = ["doctor", "--app", "tests.eventstore.kafka.doctored:app"]
    ScriptedLog(ward.kafka, TOPIC)
    assert run(main, arguments).exit_code == 0
    ward.alter("retention.ms", "604800000")
    ward.wait_for("retention.ms", "604800000")
    shown = run(main, arguments)
    assert shown.exit_code == 1
    command = f"--entity-name {TOPIC} --add-config retention.ms=-1\n"
    assert command in shown.stdout
    told = json.loads(run(main, [*arguments, "--json", "--whole"]).stdout)
    (error,) = [each for each in told["findings"] if each["severity"] == "error"]
    assert (error["setting"], error["found"], told["exit_code"]) == (
        "retention.ms",
        "604800000",
        1,
    )
    monkeypatch.setenv("FOLDLOG_POSTGRES", "postgresql://nobody@127.0.0.1:1/none")
    without = run(main, arguments)
    assert without.exit_code == 1
    assert "Could not check topic ids" in without.stdout
    monkeypatch.delenv("FOLDLOG_KAFKA")
    assert run(main, arguments).exit_code == 2
