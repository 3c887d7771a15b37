"""What `foldlog events --json` prints, on real servers."""

import json
import math
import sys

import pytest
from click.testing import CliRunner

from eventstore import Aggregate, Event
from foldlog import App
from foldlog.commands import main


class Measured(Event, name="measured"):
    value: float
    high: float
    low: float
    before: float


class Sensor(Aggregate[Measured], topic="sensors"):
    def apply(self, event: Measured) -> None:
        pass


app = App(aggregates=[Sensor], durability="single", partitions=1)


def test_what_is_no_finite_number_is_printed_as_json_that_anybody_reads(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", kafka)
    monkeypatch.setenv("FOLDLOG_POSTGRES", postgres)
    monkeypatch.setitem(sys.modules, "sensors", sys.modules[__name__])
    with app:
        sensor = Sensor("roof")
        sensor.record(Measured(value=math.nan, high=math.inf, low=-math.inf, before=1.5))
        app.repository(Sensor).save(sensor)
    result = CliRunner().invoke(main, ["events", "roof", "--json", "--app", "sensors:app"])
    assert result.exit_code == 0, result.output

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    printed = json.loads(result.stdout, parse_constant=refuse)
    assert printed["data"] == {
        "value": "NaN",
        "high": "Infinity",
        "low": "-Infinity",
        "before": 1.5,
    }
