import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SkipValidation

from eventstore import Aggregate, Event
from eventstore.aggregates import copied, restore
from eventstore.errors import UnstorableState
from eventstore.states import StateForm
from tests.bank import Account, AccountOpened, MoneyDeposited


class Currency(Enum):
    EUR = "€"
    JPY = "¥"


class Movement(BaseModel, frozen=True):
    amount: Decimal
    currency: Currency = Currency.EUR


@dataclass(frozen=True)
class Note:
    text: str


class Ledger(Aggregate[MoneyDeposited], topic="ledgers"):
    movements: list[Movement] = []  # noqa: RUF012 - each has a copy of its own
    by_day: dict[int, tuple[int, ...]] = {}  # noqa: RUF012 - each has a copy of its own
    receipts: set[UUID] = set()  # noqa: RUF012 - each has a copy of its own
    queue: deque[str] = deque()  # noqa: RUF012 - each has a copy of its own
    note: Note | None = None
    rate: float = 0.0
    _seen: frozenset[str] = frozenset()

    def apply(self, event: MoneyDeposited) -> None:
        self.movements = [*self.movements, Movement(amount=Decimal(event.amount))]


def ledger(**fields: Any) -> Ledger:
    made = Ledger("one")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def there_and_back(aggregate: Ledger) -> Ledger:
    form = StateForm(Ledger)
    back = Ledger(aggregate.id)
    restore(back, aggregate.version, form.loaded(form.dumped(aggregate)))
    return back


states = st.builds(
    ledger,
    movements=st.lists(
        st.builds(Movement, amount=st.decimals(allow_nan=False, allow_infinity=False, places=2))
    ),
    by_day=st.dictionaries(st.integers(), st.lists(st.integers()).map(tuple)),
    receipts=st.sets(st.uuids()),
    queue=st.lists(st.text(st.characters(codec="utf-8"))).map(deque),
    note=st.none() | st.builds(Note, st.text(st.characters(codec="utf-8"))),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    _seen=st.frozensets(st.text(st.characters(codec="utf-8"))),
)


@given(states)
def test_a_state_comes_back_from_json_as_it_was_with_its_dicts_in_order(state: Ledger) -> None:
    back = there_and_back(state)
    assert vars(back) == vars(state)
    assert list(back.by_day) == list(state.by_day)


@given(states)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(state: Ledger) -> None:
    copy = copied(state)
    assert (vars(copy), copy.version, copy.id) == (vars(state), state.version, state.id)
    before = repr(vars(state))
    copy.movements.append(Movement(amount=Decimal(1)))
    copy.by_day[0] = ()
    copy.receipts.clear()
    copy.queue.append("more")
    assert repr(vars(state)) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_would_not_come_back_is_refused(value: float) -> None:
    with pytest.raises(UnstorableState, match="Ledger"):
        StateForm(Ledger).dumped(ledger(rate=value))


def test_a_value_that_comes_back_as_another_type_is_refused_by_its_field() -> None:
    class Loose(Aggregate[MoneyDeposited], topic="loose"):
        value: Any = None

        def apply(self, event: MoneyDeposited) -> None:
            self.value = (event.amount,)

    loose = Loose("one")
    loose.record(MoneyDeposited(amount=1))
    with pytest.raises(UnstorableState, match="field value, a tuple, changed by it") as caught:
        StateForm(Loose).dumped(loose)
    assert caught.value.aggregate == "Loose"


def test_a_type_without_a_json_form_is_refused_with_the_shape() -> None:
    class Calling(Aggregate[MoneyDeposited], topic="calling"):
        call: Annotated[Any, SkipValidation] = None
        kind: type = int

        def apply(self, event: MoneyDeposited) -> None:
            pass

    with pytest.raises(UnstorableState, match="Calling"):
        StateForm(Calling)


def test_what_was_stored_of_another_shape_is_refused_without_its_values() -> None:
    with pytest.raises(UnstorableState, match="balance") as caught:
        StateForm(Account).loaded('{"owner": "Alice", "balance": "secret"}')
    assert "secret" not in str(caught.value)


RATE = 1


def twice(amount: int) -> int:
    return 2 * amount


def thrice(amount: int) -> int:
    return 3 * amount


def a_fold(
    *, default: int = 0, version: int = 1, helper: bool = False, rated: bool = False
) -> type[Aggregate[Any]]:
    class Folded(Aggregate[AccountOpened | MoneyDeposited], topic="folded", state_version=version):
        balance: int = default

        def apply(self, event: Event) -> None:
            if isinstance(event, MoneyDeposited):
                self.add(event.amount)

        if helper:

            def add(self, amount: int) -> None:
                self.balance += twice(amount)
        elif rated:

            def add(self, amount: int) -> None:
                self.balance += RATE * amount
        else:

            def add(self, amount: int) -> None:
                self.balance += amount

    return Folded


def fingerprint(**how: Any) -> bytes:
    return StateForm(a_fold(**how)).fingerprint


def test_the_same_code_has_the_same_fingerprint() -> None:
    assert fingerprint() == fingerprint()
    assert fingerprint(helper=True) == fingerprint(helper=True)


def test_another_default_version_or_method_that_apply_calls_has_another() -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"default": 1},
        {"version": 2},
        {"helper": True},
        {"rated": True},
    ]
    assert len({fingerprint(**way) for way in ways}) == len(ways)


def test_a_function_and_a_constant_that_apply_comes_to_use_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helped, rated, plain = fingerprint(helper=True), fingerprint(rated=True), fingerprint()
    monkeypatch.setitem(globals(), "twice", thrice)
    monkeypatch.setitem(globals(), "RATE", 2)
    assert fingerprint(helper=True) != helped
    assert fingerprint(rated=True) != rated
    assert fingerprint() == plain


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    code = (
        "from tests.eventstore.sets import Sorted\n"
        "from eventstore.states import StateForm\n"
        "print(StateForm(Sorted).fingerprint.hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
