"""The servers in Docker have the names, ports and variables that the code reads."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml  # type: ignore[import-untyped]
from sqlalchemy import make_url

from eventstore.kafka.topics import Durability
from foldlog.embedded._jars import KAFKA_VERSION
from foldlog.environment import DURABILITY, KAFKA, POSTGRES

FILE = Path(__file__).parent.parent / "docker-compose.yml"
VARIABLES = {KAFKA, POSTGRES, DURABILITY}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return found


@pytest.fixture(scope="module")
def on_the_host() -> dict[str, str]:
    return dict(re.findall(r"^# +export (\w+)=(\S+)$", FILE.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def in_a_container(services: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = services["shell"]["environment"]
    return found


def _listeners(services: dict[str, Any], setting: str) -> dict[str, str]:
    pairs = services["kafka"]["environment"][setting].split(",")
    return dict(pair.split("://" if "://" in pair else ":") for pair in pairs)


def test_host_and_containers_are_told_the_variables_that_the_code_reads(
    on_the_host: dict[str, str], in_a_container: dict[str, str]
) -> None:
    assert set(on_the_host) == VARIABLES
    assert set(in_a_container) == VARIABLES
    assert {on_the_host[DURABILITY], in_a_container[DURABILITY]} <= set(get_args(Durability))


def test_kafka_is_the_version_that_the_embedded_stack_runs(services: dict[str, Any]) -> None:
    assert services["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_kafka_advertises_to_each_side_the_address_that_it_is_told(
    services: dict[str, Any], on_the_host: dict[str, str], in_a_container: dict[str, str]
) -> None:
    advertised = _listeners(services, "KAFKA_ADVERTISED_LISTENERS")
    assert advertised == {"HOST": on_the_host[KAFKA], "CONTAINERS": in_a_container[KAFKA]}
    listening = _listeners(services, "KAFKA_LISTENERS")
    for name, address in advertised.items():
        assert listening[name] == ":" + address.partition(":")[2]
    assert set(_listeners(services, "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP")) == set(listening)


def test_the_ports_are_open_on_the_loopback_only(
    services: dict[str, Any], on_the_host: dict[str, str]
) -> None:
    kafka = on_the_host[KAFKA].partition(":")[2]
    postgres = make_url(on_the_host[POSTGRES]).port
    assert services["kafka"]["ports"] == [f"127.0.0.1:{kafka}:{kafka}"]
    assert services["postgres"]["ports"] == [f"127.0.0.1:{postgres}:{postgres}"]


def test_postgresql_makes_the_database_and_the_role_that_the_addresses_name(
    services: dict[str, Any], on_the_host: dict[str, str], in_a_container: dict[str, str]
) -> None:
    made = services["postgres"]["environment"]
    for address in (on_the_host[POSTGRES], in_a_container[POSTGRES]):
        url = make_url(address)
        assert url.database == made["POSTGRES_DB"]
        assert url.username == made["POSTGRES_USER"]
        assert url.password == made["POSTGRES_PASSWORD"]
    assert make_url(in_a_container[POSTGRES]).host in services


def test_both_servers_say_when_they_are_ready_and_the_shell_waits_for_it(
    services: dict[str, Any],
) -> None:
    servers = set(services) - {"shell"}
    assert servers == {"kafka", "postgres"}
    assert all("healthcheck" in services[name] for name in servers)
    waited = services["shell"]["depends_on"]
    assert waited == {name: {"condition": "service_healthy"} for name in servers}


def test_what_they_store_is_kept_in_volumes(services: dict[str, Any]) -> None:
    declared = yaml.safe_load(FILE.read_text())["volumes"]
    for name in ("kafka", "postgres"):
        (mount,) = services[name]["volumes"]
        assert mount.partition(":")[0] in declared
    logs = services["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert services["kafka"]["volumes"] == [f"kafka:{logs}"]
