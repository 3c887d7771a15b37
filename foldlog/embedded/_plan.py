"""What a supervisor is told: which servers to run, from which files, on which ports."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Plan:
    """One start of the stack.

    Attributes:
        data: the data folder, absolute.
        temporary: the folder is removed at the end.
        fsync: PostgreSQL waits for its disk.
        parent: the process whose death ends the stack.
        kafka_port: Kafka's port for clients.
        controller_port: the port by which the broker finds its own controller.
        postgres_port: PostgreSQL's port.
        java: the Java to run.
        jars: the broker's class path.
        postgres_bin: the folder of PostgreSQL's programs.
        postgres_user: the user id PostgreSQL runs as; None where that is our own.
        seconds_to_start: how long a server may take until it answers.
    """

    data: Path
    temporary: bool
    fsync: bool
    parent: int
    kafka_port: int
    controller_port: int
    postgres_port: int
    java: Path
    jars: list[Path]
    postgres_bin: Path
    postgres_user: int | None
    seconds_to_start: float

    def to_json(self) -> str:
        """One line, for the pipe to the supervisor."""
        return json.dumps(asdict(self), default=str) + "\n"

    @classmethod
    def from_json(cls, line: str) -> "Plan":
        """What `to_json` wrote."""
        fields: dict[str, Any] = json.loads(line)
        for name in ("data", "java", "postgres_bin"):
            fields[name] = Path(fields[name])
        fields["jars"] = [Path(jar) for jar in fields["jars"]]
        return cls(**fields)
