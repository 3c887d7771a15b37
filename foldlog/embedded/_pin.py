"""For maintainers: ``python -m foldlog.embedded._pin 4.3.1`` writes ``jars.txt`` anew.

Resolves what the broker of this Kafka version needs at run time, fetches every jar, and pins the
SHA-256 sums that were found. Compare them with what the projects publish before committing.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext

from foldlog.embedded._jars import KAFKA, PINNED, resolve, sha256

_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl"
_LOG_CORE = "org.apache.logging.log4j:log4j-core"
_HEADER = """\
# The jars of the Kafka broker and their SHA-256 sums: group:artifact:version sha256
# Written by `python -m foldlog.embedded._pin VERSION`; do not edit.
"""


def coordinates(version: str) -> list[str]:
    """What the broker needs at run time, and the log binding of its own log4j version."""
    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository))
        broker = context.create_dependency(f"{KAFKA}:{version}")
        broker.scope = "compile"
        inputs, transitive = context.resolver.resolve([broker])
    found = [
        f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
        for dependency in [*inputs, *transitive]
        if dependency.scope in {"compile", "runtime"}
    ]
    (core,) = (name for name in found if name.startswith(f"{_LOG_CORE}:"))
    return sorted([*found, core.replace(_LOG_CORE, _LOG_BINDING)])


def pin(version: str) -> str:
    """The text of ``jars.txt`` for this Kafka version."""
    names = coordinates(version)
    with tempfile.TemporaryDirectory() as repository, ThreadPoolExecutor(8) as threads:
        sums = threads.map(lambda name: sha256(resolve(name, Path(repository))), names)
        lines = [f"{name} {found}\n" for name, found in zip(names, sums, strict=True)]
    return _HEADER + "".join(lines)


if __name__ == "__main__":
    PINNED.write_text(pin(sys.argv[1]), encoding="utf-8")
