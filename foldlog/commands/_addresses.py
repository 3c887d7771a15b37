"""Where Kafka and PostgreSQL are, for the time of one command.

The application's own arguments win, then the environment, then the embedded stack; without any
there is an error that names `foldlog dev`.
"""

import os
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import click

from eventstore.errors import ConfigurationError
from foldlog.environment import DURABILITY, KAFKA, POSTGRES

SERVERS: Final = {KAFKA: "Kafka", POSTGRES: "PostgreSQL"}
"""What each variable is the address of."""

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Start Kafka and PostgreSQL on this folder for the command's time; it is used again.",
)
"""The option ``--data DIR``; hand its value to `addresses`."""


class Addresses(NamedTuple):
    """Where the servers of one application are."""

    kafka: str
    postgres: str
    durability: str
    """As `App` takes it: ``replicated``, or ``single`` for one broker."""

    def variables(self) -> dict[str, str]:
        """The environment variables that `App` reads."""
        return {KAFKA: self.kafka, POSTGRES: self.postgres, DURABILITY: self.durability}


@contextmanager
def addresses(data: Path | None, arguments: Collection[str] = ()) -> Generator[None]:
    """In this block `App` finds the addresses of its servers.

    ``arguments`` names the variables that the application needs no more, since it was given
    addresses itself (`App.given`); ``data`` is a folder to start the embedded stack on, for what
    neither they nor the environment give.

    Raises:
        ConfigurationError: There is neither an address nor a folder.
        EmbeddedError: The embedded stack did not start.
    """
    own = [name for name in SERVERS if name in arguments]
    found = [name for name in SERVERS if name not in own and os.environ.get(name)]
    missing = [name for name in SERVERS if name not in own and name not in found]
    if data is not None and (own or found):
        click.echo(f"Using {_sources(own, found)}, not the servers of {data}.", err=True)
    if not missing:
        yield
    elif data is None:
        raise _missing(missing)
    else:
        with _embedded(data, missing):
            yield


def _sources(own: Sequence[str], found: Sequence[str]) -> str:
    """Where addresses come from, by names only: an address may hold a password."""
    sources: list[str] = []
    if own:
        sources.append(f"{' and '.join(SERVERS[name] for name in own)} as given to App(…)")
    if found:
        sources.append(f"{' and '.join(found)} from the environment")
    return " and ".join(sources)


def _missing(names: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"expected the addresses of Kafka and PostgreSQL; found {' and '.join(names)} unset: set "
        "what is missing, give it to App(…), give --data DIR to start both on that folder for "
        "this command, or run `foldlog dev` in another terminal and export the lines that it "
        "prints"
    )


@contextmanager
def _embedded(data: Path, missing: Collection[str]) -> Generator[None]:
    """The stack's addresses in the environment, as far as they are missing."""
    from foldlog.embedded import Stack  # noqa: PLC0415 - not needed where addresses are given

    with Stack(data, say=lambda line: click.echo(line, err=True)) as stack:
        variables = Addresses(stack.kafka, stack.postgres, "single").variables()
        missed = {name: variables[name] for name in missing}
        if KAFKA in missing and not os.environ.get(DURABILITY):
            missed[DURABILITY] = variables[DURABILITY]
        with _in_environment(missed):
            yield


@contextmanager
def _in_environment(variables: Mapping[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
