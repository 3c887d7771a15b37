"""`foldlog events STREAM`: what happened to one aggregate, in order."""

import json
from pathlib import Path
from typing import Any

import click

from eventstore.events import Event
from eventstore.store import Recorded
from foldlog.commands._addresses import data_option
from foldlog.commands._application import app_option, opened


@click.command()
@click.argument("stream")
@click.option("--topic", help="The topic, where the application has several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@app_option
@data_option
def events(
    stream: str, topic: str | None, as_json: bool, app: str | None, data: Path | None
) -> None:
    """Print the history of STREAM, its events in order.

    Exits with 1 if there is no such stream.
    """
    with opened(app, data) as application:
        for recorded in application.events(stream, topic=topic):
            click.echo(json.dumps(_facts(recorded)) if as_json else _line(recorded))


def _facts(recorded: Recorded[Event]) -> dict[str, Any]:
    return {
        "stream": recorded.stream,
        "version": recorded.version,
        "event": recorded.event.event_name,
        "at": recorded.at.isoformat(),
        "data": recorded.event.model_dump(mode="json"),
        "id": recorded.id,
        "position": recorded.position._asdict(),
    }


def _line(recorded: Recorded[Event]) -> str:
    data = recorded.event.model_dump(mode="json")
    facts = " ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in data.items()
    )
    at = recorded.at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{recorded.version:>4}  {at}  {recorded.event.event_name}  {facts}"
