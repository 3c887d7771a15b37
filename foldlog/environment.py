"""What an application is told by its arguments, else by the environment, and read on entering."""

import os
from typing import Final, Literal, TypeAlias, cast, get_args

from eventstore.errors import ConfigurationError
from eventstore.kafka.topics import Durability

KAFKA: Final = "FOLDLOG_KAFKA"
POSTGRES: Final = "FOLDLOG_POSTGRES"
DURABILITY: Final = "FOLDLOG_DURABILITY"
ROLE: Final = "FOLDLOG_ROLE"

Role: TypeAlias = Literal["writer", "client"]
"""What a process is to the topics that it appends to."""


def address(variable: str, given: str | None) -> str:
    """The address ``given``, else that in the environment.

    Raises:
        ConfigurationError: There is none.
    """
    found = given or os.environ.get(variable)
    if not found:
        raise ConfigurationError(
            f"expected an address in {variable} or as an argument; found none: set it, or run "
            "`foldlog dev` for servers of your own and export the lines that it prints"
        )
    return found


def check_arguments(kafka: object, postgres: object, partitions: object) -> None:
    """Refuse what cannot be an address, or a number of partitions; addresses are not shown.

    Raises:
        ConfigurationError: One of them is of another type, or there is no partition.
    """
    for name, given in (("kafka", kafka), ("postgres", postgres)):
        if not (given is None or isinstance(given, str)):
            raise ConfigurationError(
                f"expected the address {name} as text; found a {type(given).__name__}: give one "
                "text, several brokers with commas between them"
            )
    if not isinstance(partitions, int) or isinstance(partitions, bool) or partitions < 1:
        raise ConfigurationError(
            f"expected partitions to be a whole number from 1 on; found {partitions!r}: a topic "
            "keeps the number that it is made with, so give as many as there may ever be writers"
        )


def durability(given: Durability | None) -> Durability:
    """The durability ``given``, else that in the environment, else ``"replicated"``.

    Raises:
        ConfigurationError: The environment holds another word.
    """
    return cast("Durability", _one_of(DURABILITY, given, get_args(Durability)))


def role(given: Role | None) -> Role:
    """The role ``given``, else that in the environment, else ``"writer"``.

    Raises:
        ConfigurationError: The environment holds another word.
    """
    return cast("Role", _one_of(ROLE, given, get_args(Role)))


def _one_of(variable: str, given: str | None, words: tuple[str, ...]) -> str:
    """The first of the words is the default."""
    found = given or os.environ.get(variable) or words[0]
    if found not in words:
        raise ConfigurationError(
            f"expected {' or '.join(words)} in {variable} or as an argument; found {found!r}: "
            "use one of them"
        )
    return found
