"""The broker: Apache Kafka, unmodified, each node both broker and controller, in KRaft mode."""

import base64
import shutil
import signal
import socket
import struct
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from foldlog.embedded._folder import marker
from foldlog.embedded._jars import KAFKA_VERSION
from foldlog.embedded._plan import Plan
from foldlog.embedded._server import Command

_LOGGING = Path(__file__).with_name("log4j2.properties")

# Names are relative to the data folder, where the broker stands: a comma or a letter beyond ASCII
# in its path would break the properties file.
_PROPERTIES_NAME = "server.properties"
_LOGGING_NAME = "log4j2.properties"

# For development and tests: no group waits for more members, and internal topics are small. A
# broker that was killed may register again once its session is over: 9 s by default. Topics of
# events carry their own settings.
_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{kafka_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={log_dirs}
auto.create.topics.enable=false
default.replication.factor={replicas}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
log.segment.delete.delay.ms=1000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
"""

# Compiling less saves nearly half of what a start costs the processor; a broker that lives for
# longer than tests do is better off with all of it.
_QUICK_TO_START = "-XX:TieredStopAtLevel=1"


class Kafka:
    """The broker of one data folder."""

    name = "Kafka"
    stop_signal = signal.SIGTERM
    discard_signal = signal.SIGKILL

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._data = plan.data / "kafka"

    def prepare(self, run: Callable[[Command], None]) -> None:
        """Format a new log folder with a new cluster id; a half-made one is made again."""
        if not self._data.exists():
            new = self._data.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            self._write_properties(new.name)
            run(self._java(*formatting(), brief=True))
            new.rename(self._data)
        self._write_properties(self._data.name)

    def command(self) -> Command:
        """The broker itself; where data may be lost it is there for some tests, and ends soon."""
        return self._java(*SERVING, brief=not self._plan.fsync)

    def answer(self) -> str | None:
        """The version once the broker answers with itself as a member of its cluster."""
        try:
            brokers = count_brokers(self._plan.kafka_port)
        except OSError:
            return None
        return KAFKA_VERSION if brokers else None

    def clean_up(self) -> None:
        """Nothing is left."""

    def _write_properties(self, log_dirs: str) -> None:
        plan = self._plan
        ports = [plan.controller_port]
        write_settings(
            plan.data, node=1, port=plan.kafka_port, controller_ports=ports, log_dirs=log_dirs
        )

    def _java(self, *arguments: str, brief: bool) -> Command:
        plan = self._plan
        program, *rest = java_command(plan.java, plan.jars, marker(plan.data), *arguments)
        return Command([program, *[_QUICK_TO_START] * brief, *rest])


SERVING = ("kafka.Kafka", _PROPERTIES_NAME)
"""What Java runs to serve."""


def formatting() -> tuple[str, ...]:
    """What Java runs to format the log folder of a new cluster."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().strip("=")
    return ("kafka.tools.StorageTool", "format", f"-t={cluster}", "-c", _PROPERTIES_NAME)


def write_settings(
    folder: Path, *, node: int, port: int, controller_ports: Sequence[int], log_dirs: str
) -> None:
    """Write what one node reads when it starts, into the folder where it stands.

    The nodes of a cluster are numbered from 1; ``controller_ports`` has one for each of them.
    """
    voters = enumerate(controller_ports, 1)
    text = _PROPERTIES.format(
        node=node,
        kafka_port=port,
        controller_port=controller_ports[node - 1],
        voters=",".join(f"{each}@127.0.0.1:{its_port}" for each, its_port in voters),
        replicas=len(controller_ports),
        in_sync=max(1, len(controller_ports) - 1),
        log_dirs=log_dirs,
    )
    (folder / _PROPERTIES_NAME).write_text(text, encoding="ascii")
    shutil.copyfile(_LOGGING, folder / _LOGGING_NAME)


def java_command(java: Path, jars: Sequence[Path], mark: str, *arguments: str) -> list[str]:
    """Java with Kafka's jars; ``mark`` stands on the command line, to find the process by."""
    options = [
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_LOGGING_NAME}",
        f"-Dfoldlog={mark}",
    ]
    return [str(java), *options, "-cp", ":".join(str(jar) for jar in jars), *arguments]


def count_brokers(port: int) -> int:
    """Ask for the cluster's metadata without topics (request 3, version 1), count its brokers."""
    request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(struct.pack(">i", len(request)) + request)
        answer = link.recv(12, socket.MSG_WAITALL)
    _size, _correlation, brokers = struct.unpack(">iii", answer) if len(answer) == 12 else (0, 0, 0)  # noqa: PLR2004
    return int(brokers)
