"""What is paid in the benchmarks of edits: the same for both sides, and who is paid."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

BOOKED: Final = datetime(2025, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


class Payment(NamedTuple):
    """One command to one account."""

    deposit: bool
    transfer: UUID
    amount: int
    booked: datetime
    text: str


def payment(n: int) -> Payment:
    """The payment number ``n``."""
    return Payment(
        deposit=n % 3 > 0,
        transfer=UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128),
        amount=n % 997 + 1,
        booked=BOOKED + n * 1_000_003 * MICROSECOND,
        text=f"payment {n % 1000}",
    )


def names(prefix: str, accounts: int) -> list[str]:
    """The accounts' names."""
    return [f"{prefix}{number}" for number in range(accounts)]


def payments(accounts: Sequence[str], edits: int) -> Iterator[tuple[str, Payment]]:
    """Who is paid what: each account once in order, then ``edits`` accounts by chance."""
    chance = random.Random(1)  # noqa: S311 - equal on both sides
    for n, name in enumerate([*accounts, *chance.choices(accounts, k=edits)]):
        yield name, payment(n)
