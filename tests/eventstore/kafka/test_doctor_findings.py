"""Each judgement of the doctor, over plain facts."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eventstore.kafka.doctor._log import judge_log, judge_schemas, judge_schemas_topic
from eventstore.kafka.doctor._scanner import scan
from eventstore.kafka.doctor._topic import (
    judge_cluster,
    judge_identity,
    judge_mail,
    judge_missing,
    judge_topic,
)
from eventstore.kafka.doctor._writers import (
    FAR_BEHIND,
    judge_checkpoint,
    judge_claims,
    judge_waiting,
)
from eventstore.kafka.doctor.facts import (
    CheckpointFacts,
    Claim,
    Cluster,
    Known,
    LogFacts,
    Member,
    Purpose,
    Replication,
    Rivalry,
    Schema,
    Stranger,
    TopicFacts,
    Wanted,
    WritersFacts,
)
from eventstore.kafka.doctor.findings import Diagnosis, Finding, Severity, in_order
from eventstore.kafka.rule import Dead
from eventstore.kafka.schemas import SchemaTable
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import MAIL_CONFIG, Durability, config_of
from eventstore.log import LogPosition
from eventstore.postgres.topics import RecordedTopic
from tests.bank import MoneyDeposited

ERROR, WARNING, NOTE = Severity
CLUSTER = Cluster((1, 2, 3), dict.fromkeys((1, 2, 3), 1_048_588), auto_create=False)
REPLICATED = Wanted("broker:9092", "replicated")
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CLAIM = Claim(10, 4, "host:17", AT)
LOG = LogFacts(
    "accounts", 0, start=0, first=0, end=100, ruled_from=0, claim=CLAIM, position=LogPosition(
        100, 4, b"writer 4", 90
    )
)  # fmt: skip


def a_topic(
    durability: Durability = "replicated",
    *,
    purpose: Purpose = Purpose.EVENTS,
    replicas: tuple[int, ...] = (1, 2, 3),
    in_sync: tuple[int, ...] | None = None,
    leader: int | None = 1,
    **changed: str,
) -> TopicFacts:
    config = {} if purpose.kept else dict(MAIL_CONFIG)
    settings = {"max.message.bytes": "1048588", **config_of(durability), **config}
    settings |= {name.replace("_", "."): value for name, value in changed.items()}
    partition = Replication(0, leader, replicas, replicas if in_sync is None else in_sync)
    return TopicFacts("accounts", purpose, "id-1", (partition,), settings)


def judged(facts: TopicFacts, wanted: Wanted = REPLICATED) -> list[Finding]:
    return list(judge_topic(facts, CLUSTER, wanted))


def told(findings: list[Finding]) -> list[tuple[Severity, str]]:
    return [(each.severity, each.subject) for each in findings]


def test_a_topic_that_keeps_everything_on_three_brokers_is_sound() -> None:
    assert judged(a_topic()) == []
    for purpose in Purpose:
        assert judged(a_topic(purpose=purpose)) == []


@pytest.mark.parametrize(
    ("setting", "value", "subject"),
    [
        ("cleanup.policy", "compact", "compaction"),
        ("message.timestamp.type", "LogAppendTime", "timestamps"),
        ("message.timestamp.after.max.ms", "3600000", "timestamps"),
        ("retention.ms", "604800000", "retention"),
        ("retention.bytes", "1", "retention"),
        ("unclean.leader.election.enable", "true", "unclean election"),
        ("min.insync.replicas", "1", "replicas in sync"),
        ("max.message.bytes", "500000", "message size"),
    ],
)
def test_a_setting_that_could_lose_events_is_an_error_with_the_command_that_mends_it(
    setting: str, value: str, subject: str
) -> None:
    facts = a_topic()
    (finding,) = judged(replace(facts, config={**facts.config, setting: value}))
    assert (finding.severity, finding.subject, finding.found) == (ERROR, subject, value)
    expected = finding.expected.removeprefix("at least ")
    assert finding.command == (
        "kafka-configs.sh --bootstrap-server broker:9092 --alter --entity-type topics "
        f"--entity-name accounts --add-config {setting}={expected}"
    )


def test_a_segments_age_costs_speed_only() -> None:
    (finding,) = judged(a_topic(segment_ms="1000"))
    assert (finding.severity, finding.subject) == (NOTE, "segments")


def test_too_few_replicas_are_mended_by_a_command_that_names_the_brokers() -> None:
    (finding,) = judged(a_topic(replicas=(2,)))[:1]
    assert (finding.severity, finding.subject) == (ERROR, "replicas")
    assert finding.command is not None
    written, _, run = finding.command.partition(" > accounts.replicas.json && ")
    moved = json.loads(written.removeprefix("echo '").removesuffix("'"))
    assert moved == {
        "version": 1,
        "partitions": [{"topic": "accounts", "partition": 0, "replicas": [2, 1, 3]}],
    }
    assert run.endswith("--reassignment-json-file accounts.replicas.json --execute")


def test_too_few_brokers_are_said_and_one_copy_is_noted_where_it_was_accepted() -> None:
    small = Cluster((1,), {1: 1_048_588}, auto_create=False)
    finding = next(judge_topic(a_topic(replicas=(1,)), small, REPLICATED))
    assert (finding.severity, finding.command) == (ERROR, None)
    assert finding.mend.startswith("add brokers: there are 1")
    single = Wanted("broker:9092", "single")
    assert told(list(judge_topic(a_topic("single", replicas=(1,)), small, single))) == [
        (NOTE, "replicas")
    ]


def test_as_many_in_sync_as_replicas_stop_appends_at_the_first_outage() -> None:
    (finding,) = judged(a_topic(min_insync_replicas="3"))
    assert (finding.severity, finding.subject) == (WARNING, "replicas in sync")
    assert finding.command is not None
    assert finding.command.endswith("min.insync.replicas=2")
    (more, *_) = judged(a_topic(min_insync_replicas="4"))
    assert more.severity is ERROR


def test_offline_and_under_replicated_partitions_are_told_by_partition_and_broker() -> None:
    (offline,) = judged(a_topic(leader=None, in_sync=(1,)))
    assert (offline.severity, offline.subject) == (ERROR, "offline partition")
    (behind,) = judged(a_topic(in_sync=(1, 2)))
    assert (behind.severity, behind.partition) == (WARNING, 0)
    assert behind.mend.startswith("start broker 3")
    (stopped,) = judged(a_topic(in_sync=(1,)))
    assert stopped.severity is ERROR


def test_another_topic_id_and_another_number_of_partitions_are_errors() -> None:
    known = Known(RecordedTopic("id-0", 3), 2)
    findings = list(judge_identity(a_topic(), known))
    assert told(findings) == [(ERROR, "topic id"), (ERROR, "partitions"), (ERROR, "partitions")]
    assert [each.expected for each in findings[1:]] == [
        "3, as PostgreSQL recorded it",
        "2, as its first claim says",
    ]
    assert list(judge_identity(a_topic(), Known(RecordedTopic("id-1", 1), 1))) == []
    assert list(judge_identity(a_topic(), Known(None, None))) == []


def test_a_topic_that_is_gone_is_an_error_and_one_that_never_was_a_note() -> None:
    assert judge_missing("accounts", Known(None, None), "make it").command == "make it"
    gone = judge_missing("accounts", Known(RecordedTopic("id-1", 1), None), "make it")
    assert (gone.severity, gone.command) == (ERROR, None)


def test_request_topics_must_last_and_have_the_partitions_of_their_topic() -> None:
    requests = a_topic(purpose=Purpose.REQUESTS)
    assert list(judge_mail(requests, 1, REPLICATED)) == []
    (unfit,) = judge_mail(requests, 3, REPLICATED)
    assert (unfit.severity, unfit.subject) == (ERROR, "partitions")
    assert unfit.command == (
        "kafka-topics.sh --bootstrap-server broker:9092 --delete --topic accounts"
    )
    for value, severity in (("1", WARNING), ("-1", NOTE)):
        assert told(judged(a_topic(purpose=Purpose.REQUESTS, retention_ms=value))) == [
            (severity, "retention")
        ]


@pytest.mark.parametrize(
    ("setting", "value", "severity", "subject"),
    [
        ("cleanup.policy", "compact", ERROR, "compaction"),
        ("max.message.bytes", "1", ERROR, "message size"),
        ("message.timestamp.type", "CreateTime", WARNING, "timestamps"),
        ("min.insync.replicas", "1", WARNING, "replicas in sync"),
        ("retention.bytes", "1000", WARNING, "retention"),
        ("segment.ms", "1", NOTE, "segments"),
    ],
)
def test_each_setting_by_which_mail_could_be_lost_is_told_with_the_command_that_mends_it(
    setting: str, value: str, severity: Severity, subject: str
) -> None:
    for purpose in (Purpose.REQUESTS, Purpose.REPLIES):
        facts = a_topic(purpose=purpose)
        (finding,) = judged(replace(facts, config={**facts.config, setting: value}))
        assert (finding.severity, finding.subject, finding.setting) == (severity, subject, setting)
        assert finding.command is not None
        expected = finding.expected.removeprefix("at least ")
        assert finding.command.endswith(f"--add-config {setting}={expected}")
        assert "event" not in finding.mend


def test_every_setting_that_mail_topics_are_made_with_is_judged() -> None:
    facts = a_topic(purpose=Purpose.REQUESTS)
    for setting in MAIL_CONFIG:
        other = {**facts.config, setting: "1"}
        assert [each.setting for each in judged(replace(facts, config=other))] == [setting]


def test_brokers_that_take_small_messages_or_make_topics_by_themselves_are_told() -> None:
    found = list(judge_cluster(Cluster((1,), {1: 1_000}, auto_create=True), REPLICATED))
    assert told(found) == [(WARNING, "message size"), (NOTE, "automatic topics")]
    assert found[0].command is not None
    assert "--entity-type brokers --entity-default" in found[0].command
    assert list(judge_cluster(CLUSTER, REPLICATED)) == []


def test_a_setting_that_a_broker_has_alone_is_mended_at_that_broker() -> None:
    bytes_of = {1: 1_000, 2: 2_000, 3: 1_048_588}
    cluster = Cluster((1, 2, 3), bytes_of, auto_create=False, set_alone=frozenset({2, 3}))
    alone, default = judge_cluster(cluster, REPLICATED)
    assert (alone.found, default.found) == ("2000, which broker 2 alone is set to", "1000")
    assert alone.command is not None
    assert "--entity-type brokers --entity-name 2 " in alone.command
    assert default.command is not None
    assert "--entity-type brokers --entity-default " in default.command


def test_a_sound_log_has_no_findings() -> None:
    assert list(judge_log(LOG, REPLICATED)) == []


def test_a_log_that_begins_above_zero_has_lost_events() -> None:
    (finding,) = judge_log(replace(LOG, start=7), REPLICATED)
    assert (finding.severity, finding.subject) == (ERROR, "lost events")
    assert "offset 7" in finding.found


def test_a_record_of_a_newer_release_is_an_error() -> None:
    assert told(list(judge_log(replace(LOG, unknown="layout 2"), REPLICATED))) == [
        (ERROR, "unknown record")
    ]


def test_an_intruder_is_named_by_its_key_its_headers_and_its_time() -> None:
    strangers = (Stranger(5, "order-7", ("source", "trace"), AT), Stranger(6, "none", (), None))
    (finding,) = judge_log(replace(LOG, foreign=9, strangers=strangers), REPLICATED)
    assert finding.severity is WARNING
    assert finding.found == (
        "9 without our header: offset 5 of 2026-03-02 09:30:00 UTC, key order-7, headers source, "
        "trace; offset 6, key none, no headers; …"
    )
    assert finding.command == "kafka-acls.sh --bootstrap-server broker:9092 --list --topic accounts"


@pytest.mark.parametrize(
    ("age", "severity"),
    [
        (None, WARNING),
        (timedelta(0), WARNING),
        (timedelta(days=6), WARNING),
        (timedelta(days=8), NOTE),
        (timedelta(days=-8), WARNING),
    ],
)
def test_an_intruder_of_long_ago_is_a_note_since_nothing_mends_it(
    age: timedelta | None, severity: Severity
) -> None:
    strangers = (Stranger(5, "order-7", (), AT),)
    log = replace(LOG, foreign=1, strangers=strangers, foreign_age=age)
    (finding,) = judge_log(log, REPLICATED)
    assert (finding.severity, finding.subject) == (severity, "foreign records")
    assert finding.command is not None
    (of_schemas,) = judge_schemas_topic(1, 5, REPLICATED, age)
    assert of_schemas.severity is severity


@pytest.mark.parametrize("reason", [each for each in Dead if each is not Dead.FOREIGN])
def test_dead_records_are_counted_per_reason(reason: Dead) -> None:
    (finding,) = judge_log(replace(LOG, dead={reason: 3}), REPLICATED)
    worse = {Dead.BROKEN: ERROR, Dead.SEALED: WARNING, Dead.STALE_SEAL: WARNING}
    assert finding.severity is worse.get(reason, NOTE)
    assert finding.found.startswith(f"3 {reason.value}: ")


def test_events_without_a_schema_or_a_class_stop_readers() -> None:
    codec = MoneyDeposited.codec
    table = SchemaTable()
    log = replace(LOG, schemas={codec.fingerprint: Schema(3, 7)})
    (unknown,) = judge_schemas(log, table, {"money_deposited"})
    assert (unknown.severity, unknown.subject) == (ERROR, "unknown schema")
    assert "first at offset 7" in unknown.found
    table.learn(0, codec.sha256, codec.canonical.encode())
    assert list(judge_schemas(log, table, {"money_deposited"})) == []
    (unnamed,) = judge_schemas(log, table, {"account_opened"})
    assert (unnamed.severity, unnamed.subject) == (ERROR, "unknown event")


def test_strangers_in_the_schemas_topic_are_told() -> None:
    assert told(list(judge_schemas_topic(2, 5, REPLICATED, None))) == [(WARNING, "foreign records")]
    assert list(judge_schemas_topic(0, None, REPLICATED, None)) == []


def writers(*members: Member, waiting: int = 0) -> WritersFacts:
    return WritersFacts("accounts", "foldlog.accounts.writers", members, {0: waiting, 1: 0})


def member(by: str, *partitions: int) -> Member:
    return Member(f"foldlog {by}", "/10.0.0.1", frozenset(partitions))


def test_a_claim_is_stale_where_its_process_is_gone_or_not_assigned_the_partition() -> None:
    assert list(judge_claims(LOG, writers(member("host:17", 0)))) == []
    assert list(judge_claims(LOG, writers())) == list(judge_claims(LOG, None)) == []
    unnamed = Member("payments", "/10.0.0.1", frozenset({0}))
    assert list(judge_claims(LOG, writers(unnamed))) == []
    (gone,) = judge_claims(LOG, writers(member("host:18", 0)))
    assert (gone.severity, gone.subject) == (NOTE, "stale claim")
    assert "claimed at offset 10 by host:17" in gone.found
    assert gone.mend.startswith("foldlog host:18 claims it")
    (moved,) = judge_claims(LOG, writers(member("host:17", 1), member("host:18", 0)))
    assert "not assigned it" in moved.found


def test_many_claims_with_few_events_are_a_fight_and_a_busy_or_quiet_partition_is_none() -> None:
    fight = Rivalry(12, 41.0, 3, frozenset({"a:1", "b:2"}))
    (finding,) = judge_claims(replace(LOG, rivalry=fight), None)
    assert (finding.severity, finding.subject) == (WARNING, "many claims")
    assert finding.found == "12 claims within 41 s, 3 events between them, by a:1, b:2"
    assert "take the partition from each other" in finding.mend
    (alone,) = judge_claims(replace(LOG, rivalry=fight._replace(by=frozenset({"a:1"}))), None)
    assert "loses its claim again and again" in alone.mend
    for calm in (fight._replace(events=100_000), fight._replace(claims=2)):
        assert list(judge_claims(replace(LOG, rivalry=calm), None)) == []


def checkpoint(next_offset: int = 100, epoch: int = 4) -> CheckpointFacts:
    position = LogPosition(next_offset, epoch, b"writer 4", 90)
    return CheckpointFacts("accounts", 0, "id-1", position, meets=True)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (replace(checkpoint(), topic_id="id-0"), "one of a topic with id id-0"),
        (checkpoint(101), "offset 101: the log was longer once"),
        (replace(checkpoint(), meets=False), "another record, or none"),
        (checkpoint(epoch=5), "epoch 5"),
    ],
)
def test_a_checkpoint_of_another_log_is_an_error(found: CheckpointFacts, says: str) -> None:
    (finding,) = judge_checkpoint(found, a_topic(), LOG)
    assert (finding.severity, finding.subject, finding.found) == (ERROR, "checkpoint", says)


def test_a_checkpoint_far_behind_is_noted() -> None:
    assert list(judge_checkpoint(checkpoint(), a_topic(), LOG)) == []
    assert list(judge_checkpoint(None, a_topic(), LOG)) == []
    long = replace(LOG, end=FAR_BEHIND + 101)
    for found in (checkpoint(), None):
        assert told(list(judge_checkpoint(found, a_topic(), long))) == [(NOTE, "checkpoint")]


def test_requests_that_nobody_takes_are_told() -> None:
    assert list(judge_waiting(writers())) == []
    (nobody,) = judge_waiting(writers(waiting=3))
    assert nobody.found == "3 requests in partition 0, and no writer"
    assert list(judge_waiting(writers(member("a:1"), waiting=3))) == []
    (slow,) = judge_waiting(writers(member("a:1"), waiting=5_000))
    assert slow.severity is WARNING


def test_the_worst_findings_come_first() -> None:
    found = [
        Finding(severity, topic, "x", "", "", "", partition=partition)
        for severity, topic, partition in (
            (NOTE, "a", None),
            (ERROR, "b", 1),
            (ERROR, "b", None),
            (WARNING, "a", 0),
        )
    ]
    ordered = in_order(found)
    assert [(each.severity, each.partition) for each in ordered] == [
        (ERROR, None),
        (ERROR, 1),
        (WARNING, 0),
        (NOTE, None),
    ]
    assert Diagnosis(ordered, (), ()).worst() is ERROR
    assert Diagnosis((), (), ()).worst() is None


def test_nothing_to_read_asks_nobody() -> None:
    assert scan(KafkaSettings("nobody:1"), {}, lambda _done, _total: None) == {}
