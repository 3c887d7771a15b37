"""`foldlog events STREAM`: what happened to one aggregate, in order."""

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from eventstore.events import Event
from eventstore.metadata import Metadata
from eventstore.store import Recorded
from foldlog.commands._addresses import data_option
from foldlog.commands._application import app_option, opened


def _aware(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise click.BadParameter(
            f"expected a time with its zone, such as 2026-01-31T12:00:00Z; found {text!r}"
        )
    return at


@click.command()
@click.argument("stream")
@click.option("--topic", help="The topic, where the application has several.")
@click.option("--version", type=click.IntRange(1), help="Only the first so many events.")
@click.option(
    "--until",
    metavar="TIME",
    callback=_aware,
    help="Only up to the first event that happened after TIME, such as 2026-01-31T12:00:00Z.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@app_option
@data_option
def events(
    stream: str,
    topic: str | None,
    version: int | None,
    until: datetime | None,
    as_json: bool,
    app: str | None,
    data: Path | None,
) -> None:
    """Print the history of STREAM, its events in order.

    In JSON a float that is no finite number is one of the texts NaN, Infinity and -Infinity.
    Exits with 1 if there is no such stream, or it has not come to --version.
    """
    if version is not None and until is not None:
        raise click.UsageError("expected --version or --until; found both: give one of them")
    with opened(app, data) as application:
        for recorded in application.events(stream, topic=topic, version=version, at=until):
            click.echo(_json(recorded) if as_json else _line(recorded))


def _json(recorded: Recorded[Event]) -> str:
    return json.dumps(_facts(recorded), allow_nan=False)


def _facts(recorded: Recorded[Event]) -> dict[str, Any]:
    facts = {
        "stream": recorded.stream,
        "version": recorded.version,
        "event": recorded.event.event_name,
        "at": recorded.at.isoformat(),
        "data": _data(recorded.event),
        "id": recorded.id,
        "position": recorded.position._asdict(),
    }
    if recorded.metadata is not None:
        facts["metadata"] = _metadata(recorded.metadata)
    return facts


def _data(event: Event) -> dict[str, Any]:
    """The event's fields; JSON has no words for numbers that are not finite, so texts stand in."""
    return {name: _shown(value) for name, value in event.model_dump(mode="json").items()}


def _shown(value: object) -> object:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _metadata(metadata: Metadata) -> dict[str, Any]:
    """What is set of it."""
    facts: dict[str, Any] = {
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
        "traceparent": metadata.traceparent,
        "user": dict(metadata.user) or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _line(recorded: Recorded[Event]) -> str:
    data = recorded.event.model_dump(mode="json")
    facts = " ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in data.items()
    )
    at = recorded.at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{recorded.version:>4}  {at}  {recorded.event.event_name}  {facts}"
