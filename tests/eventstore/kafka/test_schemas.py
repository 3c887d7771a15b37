"""The schemas topic on a real broker."""

import hashlib
import threading
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from eventstore import Event
from eventstore.errors import PartitionsChanged, SchemaNotFound, SchemasLost
from eventstore.kafka.schemas import SCHEMAS_TOPIC, SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Topics
from tests.bank import AccountOpened, MoneyDeposited, MoneyWithdrawn

CODECS = [each.codec for each in (AccountOpened, MoneyDeposited, MoneyWithdrawn)]


def registry(kafka: str) -> SchemaRegistry:
    settings = KafkaSettings(kafka)
    return SchemaRegistry(settings, Topics(settings, "single"))


def test_a_schema_is_registered_once_and_its_id_stays(kafka: str) -> None:
    first = registry(kafka)
    first.register(CODECS[:1])
    first.register(CODECS)
    again = registry(kafka)
    again.register(reversed(CODECS))
    ids = [again.id_of(codec.sha256) for codec in CODECS]
    assert ids == [first.id_of(codec.sha256) for codec in CODECS] == [1, 2, 3]
    assert Topics(KafkaSettings(kafka), "single").check(SCHEMAS_TOPIC).partitions == 1


def test_processes_that_register_at_once_agree(kafka: str) -> None:
    registries = [registry(kafka) for _ in range(4)]
    threads = [
        threading.Thread(target=each.register, args=(CODECS[:: (-1) ** at],))
        for at, each in enumerate(registries)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {tuple(each.id_of(codec.sha256) for codec in CODECS) for each in registries}
    assert len(ids) == 1
    assert len(set(ids.pop())) == len(CODECS)


def test_a_schema_that_another_process_registered_later_is_found_by_its_fingerprint(
    kafka: str,
) -> None:
    early, late = registry(kafka), registry(kafka)
    early.register(CODECS[:1])
    late.register(CODECS)
    found = early.by_fingerprint(MoneyDeposited.codec.fingerprint)
    assert found == (2, MoneyDeposited.codec.sha256, MoneyDeposited.codec.canonical)


def test_a_schema_that_nobody_registered_is_not_found(kafka: str) -> None:
    class Unknown(Event, name="unknown"):
        pass

    found = registry(kafka)
    found.register(CODECS)
    with pytest.raises(SchemaNotFound, match=Unknown.codec.fingerprint.hex()):
        found.by_fingerprint(Unknown.codec.fingerprint)
    with pytest.raises(SchemaNotFound):
        found.id_of(Unknown.codec.sha256)


def test_a_record_whose_key_does_not_match_its_value_takes_no_id(kafka: str) -> None:
    registry(kafka).register([])
    producer = KafkaSettings(kafka).producer(idempotent=False)
    producer.produce(SCHEMAS_TOPIC, b"{}", MoneyDeposited.codec.sha256, partition=0)
    producer.produce(SCHEMAS_TOPIC, None, MoneyDeposited.codec.sha256, partition=0)
    assert not producer.flush(30)
    found = registry(kafka)
    found.register(CODECS)
    assert found.id_of(AccountOpened.codec.sha256) == 3


def test_a_record_that_is_no_schema_stops_nobody(kafka: str) -> None:
    early = registry(kafka)
    early.register(CODECS[:1])
    poison = b"\xff"
    producer = KafkaSettings(kafka).producer(idempotent=False)
    producer.produce(SCHEMAS_TOPIC, poison, hashlib.sha256(poison).digest(), partition=0)
    assert not producer.flush(30)
    late = registry(kafka)
    late.register(CODECS)
    assert late.id_of(MoneyDeposited.codec.sha256) == 3
    assert early.by_fingerprint(MoneyDeposited.codec.fingerprint).id == 3


def test_a_schemas_topic_with_more_than_one_partition_is_refused(kafka: str) -> None:
    Topics(KafkaSettings(kafka), "single").ensure(SCHEMAS_TOPIC, partitions=2)
    with pytest.raises(PartitionsChanged):
        registry(kafka).register(CODECS)


@pytest.mark.parametrize("gone", [2, -1])
def test_schemas_that_were_deleted_are_missed_and_not_registered_anew(
    kafka: str, gone: int
) -> None:
    registry(kafka).register(CODECS)
    admin: Any = AdminClient({"bootstrap.servers": kafka})
    where = TopicPartition(SCHEMAS_TOPIC, 0, gone)
    admin.delete_records([where])[where].result()
    with pytest.raises(SchemasLost, match=r"it begins at offset [23]: .*restore the topic"):
        registry(kafka).register(CODECS)
