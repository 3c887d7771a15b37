"""What the supervisor is told to run: made by the stack, sent to it as one line of JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Plan:
    """One run of both servers on one data folder; every path is absolute and resolved."""

    folder: str
    """The data folder."""
    temporary: bool
    """Whether the folder is removed at the end."""
    java: str
    """The Java launcher."""
    jars: tuple[str, ...]
    """Kafka's class path."""
    binaries: str
    """The folder of PostgreSQL's programs."""
    postgres_folder: str
    """PostgreSQL's data, mostly inside the data folder."""
    user: str | None
    """The user that PostgreSQL runs as, when we are root."""
    kafka_port: int
    controller_port: int
    postgres_port: int
    fsync: bool
    """Off: PostgreSQL may lose everything with the machine, fit for tests."""

    @property
    def logs(self) -> Path:
        """Where the servers' logs are written."""
        return Path(self.folder) / "logs"

    @property
    def run(self) -> Path:
        """Where the pid files are."""
        return Path(self.folder) / "run"

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The plan of this line."""
        fields = json.loads(line)
        return cls(**fields | {"jars": tuple(fields["jars"])})
