"""Addresses of PostgreSQL: understood, or refused without showing what they hold."""

import pytest

from eventstore.errors import ConfigurationError
from eventstore.postgres import address

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    "postgres",
    [
        f"postgresql://app:{CANARY}@host:port/db",
        f"postgresql://app:{CANARY}%00x@127.0.0.1/db",
        f"postgresql://app:x@{CANARY}@127.0.0.1/db",
        f"postgresql://app@127.0.0.1/db?password={CANARY}",
        f"mysql://app:{CANARY}@127.0.0.1/db",
        f"{CANARY}",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(postgres: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        address.reach(postgres)
    assert CANARY not in str(raised.value)
    assert raised.value.__cause__ is None


def test_where_nobody_answers_the_error_names_the_place_and_not_the_password() -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:1") as raised:
        address.reach(f"postgres://app:{CANARY}@127.0.0.1:1/db")
    assert CANARY not in str(raised.value)
    assert CANARY not in repr(address.parse(f"postgres://app:{CANARY}@127.0.0.1:1/db"))
