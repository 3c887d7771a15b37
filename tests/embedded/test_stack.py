"""A stack from its start to its end, and what its folder keeps."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from foldlog.embedded import FolderInUse, Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack") / "data, with a comma and dïacritics") as running:
        yield running


def ask(stack: Stack, query: str) -> object:
    with psycopg.connect(stack.postgres) as link:
        row = link.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def test_kafka_answers_and_makes_no_topic_by_itself(stack: Stack) -> None:
    metadata = AdminClient({"bootstrap.servers": stack.kafka}).list_topics("accounts", timeout=10)
    assert len(metadata.brokers) == 1
    assert metadata.topics["accounts"].error is not None


def test_the_database_holds_text_as_utf8_and_syncs(stack: Stack) -> None:
    assert stack.postgres.endswith("/foldlog")
    assert ask(stack, "SELECT current_setting('server_encoding')") == "UTF8"
    assert ask(stack, "SELECT current_setting('fsync')") == "on"


def test_both_tell_their_versions(stack: Stack) -> None:
    assert stack.kafka_version == "4.3.1"
    assert ask(stack, "SELECT current_setting('server_version')") == stack.postgres_version


def test_both_listen_on_the_loopback_address_alone(stack: Stack) -> None:
    assert stack.kafka.startswith("127.0.0.1:")
    assert ask(stack, "SELECT current_setting('listen_addresses')") == "127.0.0.1"


def test_a_second_stack_on_a_folder_in_use_is_refused_with_the_pid_of_the_first(
    stack: Stack,
) -> None:
    with pytest.raises(FolderInUse, match=f"process {os.getpid()}") as refused, Stack(stack.data):
        pass
    assert refused.value.pid == os.getpid()
    stack.check()


def test_settings_meant_for_clients_do_not_reach_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PGOPTIONS", "-c nothing=at_all")
    with Stack(fsync=False) as stack:
        folder = stack.data
        monkeypatch.delenv("PGHOSTADDR")
        monkeypatch.delenv("PGOPTIONS")
        assert ask(stack, "SELECT current_setting('fsync')") == "off"
    assert not folder.exists(), "a temporary folder goes with its stack"


def test_a_data_folder_keeps_topics_and_tables_for_the_next_stack(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Stack(data) as stack:
        first: Any = AdminClient({"bootstrap.servers": stack.kafka})  # futures of unknown types
        wanted = [NewTopic("accounts", num_partitions=3)]
        first.create_topics(wanted)["accounts"].result(timeout=30)
        cluster = first.list_topics(timeout=10).cluster_id
        with psycopg.connect(stack.postgres) as link:
            link.execute("CREATE TABLE balances AS SELECT 'alice' AS account, 70 AS balance")
    with Stack(data) as stack:
        again = AdminClient({"bootstrap.servers": stack.kafka}).list_topics(timeout=10)
        assert again.cluster_id == cluster
        assert len(again.topics["accounts"].partitions) == 3
        assert ask(stack, "SELECT balance FROM balances") == 70
