"""Tests of aggregates without a store: given what happened, when a command is called, then this.

As in::

    from eventstore.testing import given

    def test_money_is_withdrawn():
        opened, deposited = AccountOpened(owner="Alice"), MoneyDeposited(amount=100)
        (
            given(Account, opened, deposited)
            .when(lambda account: account.withdraw(30))
            .then(MoneyWithdrawn(amount=30))
            .then_state(balance=70)
        )

What fails is an AssertionError, for pytest and unittest alike.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar
from uuid import UUID

from eventstore._steps import check_decided
from eventstore._watching import Change, same, watched
from eventstore.aggregates import Aggregate, copied, field_types
from eventstore.events import Event

A = TypeVar("A", bound=Aggregate[Any])

Expected: TypeAlias = Event | Exception | type[Exception]


def given(aggregate_type: type[A], *events: Event, id: str | UUID = "given") -> "Given[A]":  # noqa: A002 - the word users know it by
    """An aggregate to which these events happened; without any, one that is new.

    Raises:
        InvalidAppend: One is not an event of this aggregate.
    """
    aggregate = aggregate_type(id)
    for event in events:
        aggregate.record(event)
    aggregate.advance(len(events))
    return Given(aggregate)


class Given(Generic[A]):
    """An aggregate as a test begins with it."""

    def __init__(self, aggregate: A) -> None:
        self._aggregate = aggregate

    def when(self, command: Callable[[A], object]) -> "Outcome[A]":
        """Call the command on a copy of the aggregate; what it raises is for `then` to tell.

        A command that makes the aggregate, as a class method does, returns it.

        Raises:
            AssertionError: The command changed the state by other means than recorded events, be
                it only until the next one was recorded, or `apply` does not depend on the state
                and the event alone. The log would give another state back.
            TypeError: It is not a function, or a coroutine function or a generator function.
        """
        __tracebackhide__ = True
        if not callable(command):
            raise TypeError(f"expected a command; found {command!r}: give a function")
        made: object = None
        error = None
        aggregate = copied(self._aggregate)
        with watched(self._aggregate) as watch:
            try:
                made = command(aggregate)
            except Exception as raised:  # noqa: BLE001 - what a command refuses with is the outcome
                error = raised
        check_decided(made)
        if made is not aggregate and isinstance(made, type(aggregate)):
            aggregate = made
        change = watch.change(aggregate)
        if change is not None:
            raise AssertionError(_changed(aggregate, change)) from error
        return Outcome(aggregate, error)


class Outcome(Generic[A]):
    """What a command led to."""

    def __init__(self, aggregate: A, error: Exception | None) -> None:
        self.aggregate: Final = aggregate
        """The aggregate, with the events that the command recorded pending."""
        self.error: Final = error
        """What the command raised; None: nothing."""

    def then(self, *expected: Expected) -> Self:
        """Check that the command recorded just these events, or raised this error.

        No events: it decided to do nothing. An error is given as a class, of which it must be an
        instance, or as an instance, whose class and text it must have; what was recorded before
        it does not count, since nothing of it would be appended.

        Raises:
            AssertionError: It did otherwise; the message shows the difference.
            TypeError: Neither events nor one error are expected.
        """
        __tracebackhide__ = True
        events = [each for each in expected if isinstance(each, Event)]
        errors = [each for each in expected if not isinstance(each, Event)]
        if (events and errors) or len(errors) > 1 or not all(map(_is_error, errors)):
            raise TypeError(
                f"expected events, or one error; found {', '.join(map(repr, expected))}"
            )
        if errors:
            self._check_error(errors[0])
        else:
            self._check_events(events)
        return self

    def then_state(self, **fields: object) -> Self:
        """Check the values that these fields have after the command.

        Raises:
            AssertionError: One has another value.
            TypeError: The aggregate has no such field.
        """
        __tracebackhide__ = True
        known = field_types(type(self.aggregate))
        unknown = [name for name in fields if name not in known]
        if unknown:
            raise TypeError(
                f"expected fields of {type(self.aggregate).__name__}, {', '.join(known)}; found "
                f"{', '.join(unknown)}"
            )
        found = {name: vars(self.aggregate)[name] for name in fields}
        if not same(found, fields):
            raise AssertionError(
                "expected another state than the events left:\n"
                + _difference(_fields(fields), _fields(found))
            )
        return self

    def _check_events(self, expected: Sequence[Event]) -> None:
        __tracebackhide__ = True
        if self.error is not None:
            raise AssertionError(
                f"expected {_listed(expected)}; found {_told(self.error)}"
            ) from self.error
        recorded = list(self.aggregate.pending)
        if not same(recorded, list(expected)):
            raise AssertionError(
                "expected other events than were recorded:\n"
                + _difference(_events(expected), _events(recorded))
            )

    def _check_error(self, expected: Exception | type[Exception]) -> None:
        __tracebackhide__ = True
        if self.error is None:
            raise AssertionError(
                f"expected {_told(expected)}; found {_listed(self.aggregate.pending)}"
            )
        if isinstance(expected, type):
            as_expected = isinstance(self.error, expected)
        else:
            as_expected = type(self.error) is type(expected) and str(self.error) == str(expected)
        if not as_expected:
            raise AssertionError(
                "expected another error than was raised:\n"
                + _difference([_told(expected)], [_told(self.error)])
            ) from self.error


def _changed(aggregate: Aggregate[Any], change: Change) -> str:
    until = "" if change.coming is None else f" before {change.coming!r}"
    return (
        f"expected the state of {type(aggregate).__name__}{until} to be what `apply` makes of "
        f"{_listed(change.events)}; found {', '.join(change.found)} changed by other means: change "
        "the state in `apply` alone, and let it depend on the state and the event alone\n"
        + _difference(_fields(change.expected), _fields(change.found))
    )


def _is_error(expected: object) -> bool:
    kind = expected if isinstance(expected, type) else type(expected)
    return issubclass(kind, Exception)


def _told(error: Exception | type[Exception]) -> str:
    if isinstance(error, type):
        return error.__qualname__
    return f"{type(error).__qualname__}: {error}"


def _listed(events: Sequence[Event]) -> str:
    return ", ".join(_events(events)) or "no event"


def _events(events: Sequence[Event]) -> list[str]:
    return [repr(event) for event in events]


def _fields(fields: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in fields.items()]


def _difference(expected: list[str], found: list[str]) -> str:
    """Line by line: ``-`` was expected, ``+`` was found."""
    lines = [line.rstrip("\n") for line in difflib.ndiff(expected, found)]
    return "\n".join(["  (- expected, + found)", *lines])
