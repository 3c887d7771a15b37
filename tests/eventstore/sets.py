"""An aggregate whose code and defaults hold sets, whose order differs from process to process."""

from eventstore import Aggregate
from tests.bank import MoneyDeposited

RICH = {"Alice", "Bob", "Carol", "Dave"}


class Sorted(Aggregate[MoneyDeposited], topic="sorted"):
    seen: frozenset[str] = frozenset({"one", "two", "three", "four"})
    rich: bool = False

    def apply(self, event: MoneyDeposited) -> None:
        self.rich = self.id in RICH or self.id in {"Erin", "Frank", "Grace", "Heidi"}
        self.seen = self.seen | {str(event.amount)}
