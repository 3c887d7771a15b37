"""Given, when, then: what passes, what fails, and how the failure reads."""

import copy
import itertools
import math
import unittest
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import pytest
from pydantic import BaseModel

from eventstore import Aggregate, Event, InvalidAppend
from eventstore.testing import given
from tests.bank import Account, AccountOpened, MoneyDeposited, MoneyWithdrawn

OPENED = AccountOpened(owner="Alice")
DEPOSITED = MoneyDeposited(amount=100)


def test_a_command_records_what_happened() -> None:
    alice = given(Account, OPENED, DEPOSITED)
    alice.when(lambda account: account.withdraw(30)).then(MoneyWithdrawn(amount=30)).then_state(
        owner="Alice", balance=70
    )
    alice.when(lambda _: None).then().then_state(balance=100)
    assert alice.when(lambda account: account.withdraw(1)).aggregate.version == 2


def test_a_command_may_make_the_aggregate() -> None:
    made = given(Account).when(lambda _: Account.open("alice", owner="Alice"))
    made.then(OPENED).then_state(owner="Alice")
    assert made.aggregate.id == "alice"
    given(Account, id="bob").when(lambda account: account.record(OPENED)).then(OPENED)


def test_a_command_refuses() -> None:
    refused = given(Account, OPENED, id="alice").when(lambda account: account.withdraw(1))
    refused.then(ValueError).then(Exception).then(ValueError("alice holds 0, not 1"))
    refused.then_state(balance=0)
    assert isinstance(refused.error, ValueError)


def withdraw(account: Account) -> None:
    account.deposit(1)
    account.withdraw(30)


def overdraw(account: Account) -> None:
    account.withdraw(500)


FAILING: dict[str, Callable[[], object]] = {
    """expected other events than were recorded:
  (- expected, + found)
  MoneyDeposited(amount=1)
- MoneyWithdrawn(amount=40)
?                       ^

+ MoneyWithdrawn(amount=30)
?                       ^
""": lambda: (
        given(Account, OPENED, DEPOSITED)
        .when(withdraw)
        .then(MoneyDeposited(amount=1), MoneyWithdrawn(amount=40))
    ),
    """expected other events than were recorded:
  (- expected, + found)
+ MoneyDeposited(amount=1)
+ MoneyWithdrawn(amount=30)""": lambda: given(Account, OPENED, DEPOSITED).when(withdraw).then(),
    "expected no event; found ValueError: given holds 0, not 500": lambda: (
        given(Account, OPENED).when(overdraw).then()
    ),
    "expected MoneyWithdrawn(amount=500); found ValueError: given holds 0, not 500": lambda: (
        given(Account, OPENED).when(overdraw).then(MoneyWithdrawn(amount=500))
    ),
    "expected KeyError; found MoneyDeposited(amount=1), MoneyWithdrawn(amount=30)": lambda: (
        given(Account, OPENED, DEPOSITED).when(withdraw).then(KeyError)
    ),
    """expected another error than was raised:
  (- expected, + found)
- KeyError
+ ValueError: given holds 0, not 500""": lambda: (
        given(Account, OPENED).when(overdraw).then(KeyError)
    ),
    """expected another error than was raised:
  (- expected, + found)
- ValueError: given holds 0, not 501
?                                  ^

+ ValueError: given holds 0, not 500
?                                  ^
""": lambda: given(Account, OPENED).when(overdraw).then(ValueError("given holds 0, not 501")),
    """expected another state than the events left:
  (- expected, + found)
- balance=80
?         ^

+ balance=70
?         ^
""": lambda: (
        given(Account, OPENED, DEPOSITED)
        .when(lambda account: account.withdraw(30))
        .then_state(owner="Alice", balance=80)
    ),
}


@pytest.mark.parametrize("told", FAILING)
def test_what_fails_shows_the_difference(told: str) -> None:
    with pytest.raises(AssertionError) as caught:
        FAILING[told]()
    owner = "  owner='Alice'\n"
    assert _lines(str(caught.value).replace(owner, "")) == _lines(told)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_error_of_the_command_is_the_cause_of_the_failure() -> None:
    with pytest.raises(AssertionError) as caught:
        given(Account, OPENED).when(overdraw).then(OPENED)
    assert str(caught.value.__cause__) == "given holds 0, not 500"


class Noted(Event, name="testing.noted"):
    text: str


ticks = itertools.count()


class Notebook(Aggregate[Noted], topic="notebooks"):
    """An aggregate that one can misuse."""

    notes: list[str] = []  # noqa: RUF012 - each instance has a copy
    by_length: dict[int, list[str]] = {}  # noqa: RUF012
    tick: int = 0
    last: str = ""

    def note(self, text: str) -> Self:
        self.record(Noted(text=text))
        return self

    def erase(self) -> None:
        self.notes.clear()

    def apply(self, event: Noted) -> None:
        self.notes = [*self.notes, event.text]
        self.last = event.text
        self.by_length.setdefault(len(event.text), []).append(event.text)
        if event.text == "tick":
            self.tick = next(ticks)
        if event.text == "refused":
            raise ValueError("refused")


def test_in_place_changes_by_apply_are_fine() -> None:
    notebook = given(Notebook, Noted(text="a"))
    for _ in range(2):
        outcome = notebook.when(lambda notebook: notebook.note("b")).then(Noted(text="b"))
        outcome.then_state(notes=["a", "b"], by_length={1: ["a", "b"]})


def assign(notebook: Notebook) -> None:
    notebook.notes = ["x"]
    notebook.note("b")


def change_in_place(notebook: Notebook) -> None:
    notebook.note("b").notes.append("x")


def change_within(notebook: Notebook) -> None:
    notebook.by_length[1].append("x")


def change_and_refuse(notebook: Notebook) -> None:
    notebook.erase()
    raise ValueError("too late")


def apply_and_forget_to_record(notebook: Notebook) -> None:
    notebook.apply(Noted(text="b"))


def apply_what_changes_each_time(notebook: Notebook) -> None:
    notebook.note("tick")


def make_changed(_: Notebook) -> Notebook:
    made = Notebook("made").note("b")
    made.erase()
    return made


def assign_what_apply_writes_over(notebook: Notebook) -> None:
    notebook.last = "x"
    notebook.note("b")


def assign_between_two_events(notebook: Notebook) -> None:
    notebook.note("b").last = "x"
    notebook.note("c")


def change_in_place_and_back(notebook: Notebook) -> None:
    notebook.notes.append("x")
    notebook.note("b").notes.remove("x")


def make_with_what_apply_writes_over(_: Notebook) -> Notebook:
    made = Notebook("made")
    made.last = "x"
    return made.note("b")


def interrupted(_: Notebook) -> None:
    raise KeyboardInterrupt


def change_and_refuse_after_an_event(notebook: Notebook) -> None:
    change_and_refuse(notebook.note("b"))


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        (assign, "notes"),
        (assign_what_apply_writes_over, "last"),
        (assign_between_two_events, "last"),
        (change_in_place_and_back, "notes"),
        (make_with_what_apply_writes_over, "last"),
        (change_and_refuse_after_an_event, "notes"),
        (change_in_place, "notes"),
        (change_within, "by_length"),
        (change_and_refuse, "notes"),
        (apply_and_forget_to_record, "notes, by_length, last"),
        (make_changed, "notes"),
        (apply_what_changes_each_time, "tick"),
    ],
)
def test_a_state_that_the_log_would_not_give_back_fails(
    command: Callable[[Notebook], object], changed: str
) -> None:
    told = f"what `apply` makes of .*; found {changed} changed by other means"
    with pytest.raises(AssertionError, match=told) as caught:
        given(Notebook, Noted(text="a")).when(command)
    assert isinstance(caught.value.__cause__, ValueError) is ("refuse" in command.__name__)


def test_nobody_is_watched_after_a_test() -> None:
    recording = vars(Aggregate)["record"]
    given(Notebook).when(lambda notebook: notebook.note("a")).then(Noted(text="a"))
    with pytest.raises(KeyboardInterrupt):
        given(Notebook).when(interrupted)
    assert vars(Aggregate)["record"] is recording


def test_a_change_that_an_event_writes_over_is_shown_where_it_was() -> None:
    with pytest.raises(AssertionError) as caught:
        given(Notebook, Noted(text="a")).when(assign_between_two_events)
    assert _lines(str(caught.value)) == [
        (
            "expected the state of Notebook before Noted(text='c') to be what `apply` makes of "
            "Noted(text='b'); found last changed by other means: change the state in `apply` "
            "alone, and let it depend on the state and the event alone"
        ),
        "  (- expected, + found)",
        "- last='b'",
        "?       ^",
        "+ last='x'",
        "?       ^",
    ]


def test_what_a_command_tries_on_a_copy_is_not_its_state() -> None:
    def note_what_is_tried(notebook: Notebook) -> None:
        tried = copy.deepcopy(notebook).note("b").note("c")
        tried.last = "x"
        notebook.note(tried.notes[-1])

    given(Notebook, Noted(text="a")).when(note_what_is_tried).then(Noted(text="c"))


def test_what_is_recorded_elsewhere_meanwhile_is_not_watched() -> None:
    other = Notebook("other")

    def elsewhere() -> None:
        other.last = "x"
        other.note("b")

    def wait_for_it(notebook: Notebook) -> None:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(elsewhere).result()
        given(Notebook).when(lambda inner: inner.note("inner")).then(Noted(text="inner"))
        notebook.note("c")

    given(Notebook).when(wait_for_it).then(Noted(text="c"))
    assert other.pending == (Noted(text="b"),)


class Measured(Event, name="testing.measured"):
    value: float


class Reading(BaseModel):
    value: float


class Gauge(Aggregate[Measured], topic="gauges"):
    """A state with a NaN in every kind of place."""

    value: float = math.nan
    values: list[tuple[float, int]] = []  # noqa: RUF012
    by_name: dict[str, set[float]] = {}  # noqa: RUF012
    reading: Reading | None = None

    def apply(self, event: Measured) -> None:
        self.value = event.value
        self.values = [*self.values, (event.value, 7)]
        self.by_name = {"x": {float(repr(event.value)), 1.0}}
        self.reading = Reading(value=event.value)


def test_a_nan_is_what_it_was() -> None:
    nan = Measured(value=math.nan)
    outcome = given(Gauge, nan).when(lambda gauge: gauge.record(Measured(value=float("nan"))))
    outcome.then(nan).then_state(value=math.nan, reading=Reading(value=float("nan")))
    with pytest.raises(AssertionError, match="another state"):
        outcome.then_state(value=0.0)
    with pytest.raises(AssertionError, match="value, reading changed by other means"):
        given(Gauge, nan).when(lambda gauge: vars(gauge).update(value=1.0, reading=None))
    with pytest.raises(AssertionError, match="found by_name changed by other means"):
        given(Gauge, nan).when(lambda gauge: gauge.by_name.update(x={0.0, 1.0}))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidAppend, match="Noted is not an event of Account"):
        given(Account, Noted(text="a"))
    outcome = given(Account, OPENED).when(overdraw)
    with pytest.raises(TypeError, match="expected events, or one error; found"):
        outcome.then(OPENED, ValueError)
    with pytest.raises(TypeError, match="expected events, or one error"):
        outcome.then(ValueError, KeyError)
    with pytest.raises(TypeError, match="expected events, or one error; found 7"):
        outcome.then(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fields of Account, owner, balance; found amount"):
        outcome.then_state(amount=1)


def test_a_command_that_does_not_decide_at_once_is_refused_and_is_no_outcome() -> None:
    async def deposit(account: Account) -> None:
        account.deposit(1)

    def deposits(account: Account) -> Iterator[None]:
        account.deposit(1)
        yield

    with pytest.raises(TypeError, match="found the coroutine"):
        given(Account, OPENED).when(deposit)
    with pytest.raises(TypeError, match="found the generator"):
        given(Account, OPENED).when(deposits)


def test_what_cannot_be_called_is_refused_and_is_no_outcome() -> None:
    with pytest.raises(TypeError, match="expected a command; found None: give a function"):
        given(Account, OPENED).when(None)  # type: ignore[arg-type]


def test_it_serves_unittest_too() -> None:
    class Case(unittest.TestCase):
        def runTest(self) -> None:  # noqa: N802 - unittest's name
            given(Account, OPENED).when(overdraw).then()

    result = unittest.TestResult()
    Case().run(result)
    assert (len(result.failures), len(result.errors)) == (1, 0)
