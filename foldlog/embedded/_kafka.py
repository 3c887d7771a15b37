"""Apache Kafka: one node that is broker and controller, set for development and tests."""

import base64
import shutil
import socket
import struct
import uuid
from pathlib import Path

from foldlog.embedded._plan import Plan
from foldlog.embedded._server import Server

HOST = "127.0.0.1"
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
_LOGGING = Path(__file__).with_name("log4j2.properties")
_METADATA, _VERSION, _CORRELATION = 3, 4, 1


def settings(plan: Plan, logs: Path) -> str:
    """``server.properties``, with the log in this folder."""
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{plan.controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{HOST}:{plan.kafka_port},CONTROLLER://{HOST}:{plan.controller_port}
advertised.listeners=PLAINTEXT://{HOST}:{plan.kafka_port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=8388608
log.segment.delete.delay.ms=1000
metric.reporters=
"""


def start(plan: Plan, server: Server) -> None:
    """Format the log folder if it is new, start the broker, wait until it serves."""
    folder = Path(plan.folder) / "kafka"
    folder.mkdir(exist_ok=True)
    server.open_log()
    java = [plan.java, *_JVM, f"-Dlog4j2.configurationFile={_LOGGING}", "-cp", ":".join(plan.jars)]
    _format(plan, server, java, folder)
    properties = folder / "server.properties"
    properties.write_text(settings(plan, folder / "log"), encoding="utf-8")
    server.start([*java, "kafka.Kafka", str(properties)], marker=str(properties))
    cluster = _cluster_id(folder / "log")
    server.wait_ready(lambda: _serving(plan.kafka_port, cluster))


def _format(plan: Plan, server: Server, java: list[str], folder: Path) -> None:
    """Formatted beside its place and then renamed, so that half a format is never started."""
    if (folder / "log").exists():
        return
    new, properties = folder / "log.new", folder / "format.properties"
    shutil.rmtree(new, ignore_errors=True)
    properties.write_text(settings(plan, new), encoding="utf-8")
    tool = [*java, "kafka.tools.StorageTool", "format"]
    server.run([*tool, "-t", _new_cluster_id(), "-c", str(properties)], "the format of its log")
    properties.unlink()
    new.rename(folder / "log")


def _new_cluster_id() -> str:
    """A random UUID as Kafka writes it; a leading dash would look like an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()).startswith("-"):
        pass
    return text


def _cluster_id(log: Path) -> str:
    lines = (log / "meta.properties").read_text(encoding="utf-8").splitlines()
    (found,) = (line.partition("=")[2] for line in lines if line.startswith("cluster.id="))
    return found


def _serving(port: int, cluster: str) -> bool:
    """Whether this cluster answers there with a broker that takes requests."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(_metadata_request())
            return _has_broker(_response(connection), cluster)
    except (OSError, struct.error):
        return False


def _metadata_request() -> bytes:
    client = b"foldlog"
    header = struct.pack(f">hhih{len(client)}s", _METADATA, _VERSION, _CORRELATION, 7, client)
    body = struct.pack(">ib", 0, 0)  # no topics, and none to be created
    return struct.pack(">i", len(header + body)) + header + body


def _response(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        (size,) = struct.unpack(">i", stream.read(4))
        return stream.read(size)


def _has_broker(response: bytes, cluster: str) -> bool:
    """Brokers are listed only once they are unfenced; the cluster id follows them."""
    _correlation, _throttled, brokers = struct.unpack_from(">iii", response)
    name = cluster.encode()
    return brokers > 0 and struct.pack(">h", len(name)) + name in response
