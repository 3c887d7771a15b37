"""Write `jars.txt` anew, for maintainers: `python -m foldlog.embedded._pin`.

Resolves Kafka at KAFKA_VERSION and a log binding for its slf4j 1.7, fetches every jar, and writes
their SHA-256 sums beside their coordinates.
"""

import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

from foldlog.embedded._jars import KAFKA_VERSION, PINS, sha256_of

_HEADER = """\
# The jars of an Apache Kafka broker: SHA-256, then group:artifact:version.
# Written by `python -m foldlog.embedded._pin`.
"""


def main() -> None:
    """Resolve, fetch, and write the file."""
    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository))
        kafka = context.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")
        tops, below = context.resolver.resolve([kafka])
        wanted = [*tops, *(each for each in below if each.scope in {"compile", "runtime"})]
        log4j = next(each.version for each in wanted if each.artifactId == "log4j-core")
        binding = f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}"
        wanted.append(context.create_dependency(binding))
        pins = sorted(
            (f"{each.groupId}:{each.artifactId}:{each.version}", sha256_of(each.artifact.resolve()))
            for each in wanted
        )
    lines = [f"{sha256}  {coordinates}\n" for coordinates, sha256 in pins]
    PINS.write_text(_HEADER + "".join(lines), encoding="utf-8")
    sys.stdout.write(f"{PINS}: {len(lines)} jars\n")


if __name__ == "__main__":
    main()
