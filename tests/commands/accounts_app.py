"""Applications of the accounts: as they are, and as a later release would fold them."""

from typing import assert_never

from eventstore import Aggregate
from foldlog import App
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn


class Statement(Aggregate[AccountEvent], topic="accounts"):
    """The same streams in another shape, which refuses one of them and cannot store another."""

    movements: tuple[int, ...] = ()
    share: float = 0.0

    def apply(self, event: AccountEvent) -> None:
        match event:
            case AccountOpened(owner=owner):
                if owner == "Mallory":
                    raise ValueError("an owner that nobody trusts")
                self.share = float("nan") if owner == "Nan" else 0.5
            case MoneyDeposited(amount=amount):
                self.movements = (*self.movements, amount)
            case MoneyWithdrawn(amount=amount):
                self.movements = (*self.movements, -amount)
            case _:
                assert_never(event)


app = App(aggregates=[Account], durability="single", partitions=3)
later = App(aggregates=[Statement], durability="single", partitions=3)
