"""Where Kafka and PostgreSQL are, for the time of one command.

Addresses in the environment always win over the embedded stack; without either there is an error
that names `foldlog dev`.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from eventstore.errors import ConfigurationError
from foldlog.environment import DURABILITY, KAFKA, POSTGRES

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
def addresses(data: Path | None) -> Generator[Addresses]:
    """The servers' addresses; in this block they also stand in the environment, for `App`.

    ``data`` is a folder to start the embedded stack on, for what the environment does not give.

    Raises:
        ConfigurationError: There is neither an address nor a folder.
        EmbeddedError: The embedded stack did not start.
    """
    given = {name: os.environ[name] for name in (KAFKA, POSTGRES) if os.environ.get(name)}
    if data is not None and given:
        names = " and ".join(given)
        click.echo(f"Using {names} from the environment, not the servers of {data}.", err=True)
    if len(given) == len((KAFKA, POSTGRES)):
        durability = os.environ.get(DURABILITY) or "replicated"
        yield Addresses(given[KAFKA], given[POSTGRES], durability)
    elif data is None:
        raise _missing(given)
    else:
        with _embedded(data, given) as found, _in_environment(found.variables()):
            yield found


def _missing(given: Mapping[str, str]) -> ConfigurationError:
    names = " and ".join(name for name in (KAFKA, POSTGRES) if name not in given)
    return ConfigurationError(
        f"expected the addresses of Kafka and PostgreSQL; found {names} unset: set what is "
        "missing, give --data DIR to start both on that folder for this command, or run "
        "`foldlog dev` in another terminal and export the lines that it prints"
    )


@contextmanager
def _embedded(data: Path, given: Mapping[str, str]) -> Generator[Addresses]:
    from foldlog.embedded import Stack  # noqa: PLC0415 - not needed where addresses are given

    with Stack(data, say=lambda line: click.echo(line, err=True)) as stack:
        durability = os.environ.get(DURABILITY) or ("replicated" if KAFKA in given else "single")
        yield Addresses(
            given.get(KAFKA, stack.kafka), given.get(POSTGRES, stack.postgres), durability
        )


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
