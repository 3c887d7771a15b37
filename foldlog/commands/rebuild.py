"""`foldlog rebuild NAME`: build a read model anew beside the live one, and switch."""

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console

from foldlog.commands._addresses import data_option
from foldlog.commands._application import app_option, opened
from foldlog.progress import shown
from projections.progress import Progress


@click.command()
@click.argument("name")
@click.option("--discard", is_flag=True, help="Drop what an earlier rebuild left behind.")
@click.option("--drop-old", is_flag=True, help="Drop the old generation after the switch.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@app_option
@data_option
def rebuild(
    name: str, discard: bool, drop_old: bool, as_json: bool, app: str | None, data: Path | None
) -> None:
    """Replay the log into the next generation of the read model NAME, then switch its views.

    The live generation serves until the switch, and stays as it is if anything fails: then the
    exit code is 1.
    """
    with opened(app, data) as application, shown(Console(stderr=True), "records") as tell:

        def listen(moment: Progress) -> None:
            tell(f"Rebuilding {name}", moment.done, moment.total)

        rebuilt = application.rebuild(name, listen, discard=discard, drop_old=drop_old)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(rebuilt)))
    else:
        click.echo(
            f"{name}: generation {rebuilt.generation} is live; {rebuilt.records:,} records "
            f"in {rebuilt.seconds:.1f} s, the switch took {rebuilt.switch_milliseconds:.0f} ms."
        )
