"""`App` itself: what it is given, and what it refuses."""

import threading
from typing import Any

import pytest

from eventstore.errors import ConfigurationError
from foldlog import App
from tests.bank import Account


@pytest.mark.parametrize("partitions", [-3, 0, "12", 1.5, True])
def test_a_number_of_partitions_is_a_whole_number_from_1(partitions: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected partitions"):
        App(aggregates=[Account], partitions=partitions)


def test_an_address_is_text_and_what_is_found_is_not_shown() -> None:
    given: Any = ["secret:1"]
    with pytest.raises(ConfigurationError, match=r"kafka as text.*found a list") as raised:
        App(given, aggregates=[Account])
    assert "secret" not in str(raised.value)
    with pytest.raises(ConfigurationError, match=r"postgres as text.*found a list"):
        App(None, given, aggregates=[Account])


def test_an_application_tells_which_addresses_it_was_given_and_shows_none() -> None:
    app = App("broker:9092", "postgresql://bank:secret@db/bank", aggregates=[Account])
    assert app.given == {"FOLDLOG_KAFKA", "FOLDLOG_POSTGRES"}
    assert App(postgres="postgresql://db/bank", aggregates=[]).given == {"FOLDLOG_POSTGRES"}
    assert App("", aggregates=[]).given == set()
    assert "secret" not in repr(app)


def test_nothing_to_follow_and_nothing_to_write_are_said(kafka: str, postgres: str) -> None:
    with App(kafka, postgres, aggregates=[], durability="single") as app:
        with pytest.raises(ConfigurationError, match="expected projections to follow"):
            app.run(threading.Event())
        with pytest.raises(ConfigurationError, match="expected aggregates to write"):
            app.write(threading.Event())
