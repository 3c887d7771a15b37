"""`foldlog aggregates`: stored states, made before they are needed, or deleted afterwards."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from foldlog.commands._addresses import data_option
from foldlog.commands._application import app_option, opened
from foldlog.progress import shown
from foldlog.refill import Refilled

SHOWN: Final = 10
"""Streams that failed are shown up to this number; ``--json`` has all."""


@click.group()
def aggregates() -> None:
    """Make the stored states of aggregates, or delete old ones."""


@aggregates.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@app_option
@data_option
@click.pass_context
def refill(
    context: click.Context,
    names: tuple[str, ...],
    as_json: bool,
    app: str | None,
    data: Path | None,
) -> None:
    """Fold every stream of the aggregates NAME (a class or a topic; else all), store the states.

    Run it with new code before that is deployed, where it folds otherwise or keeps other fields:
    then its loads find states of their shape, while the old code goes on with its own. It claims
    no partition, and may be interrupted: run again, it skips what is stored.

    Exits with 1 if the state of some stream could not be made.
    """
    with opened(app, data) as application, shown(Console(stderr=True), "records") as tell:

        def listen(name: str, done: int, total: int) -> None:
            tell(f"Refilling {name}", done, total)

        refilled = application.refill(*names, listener=listen)
    if as_json:
        facts = [{**dataclasses.asdict(each), "is_whole": each.is_whole} for each in refilled]
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(refilled)
    context.exit(0 if all(each.is_whole for each in refilled) else 1)


@aggregates.command()
@click.option("--json", "as_json", is_flag=True, help="Print how many were deleted as JSON.")
@app_option
@data_option
def forget(as_json: bool, app: str | None, data: Path | None) -> None:
    """Delete stored states of shapes that this code does not have.

    Other code that still runs loads from the log, and stores its states again.
    """
    with opened(app, data) as application:
        forgotten = application.forget_states()
    if as_json:
        click.echo(json.dumps(forgotten))
        return
    for name, count in forgotten.items():
        click.echo(f"{name}: {count:,} states of other shapes deleted.")


def _print(refilled: Sequence[Refilled]) -> None:
    for each in refilled:
        click.echo(
            f"{each.aggregate}: {each.states:,} states of shape {each.fingerprint[:8]} stored; "
            f"{each.records:,} records in {each.seconds:.1f} s."
            if each.refused is None
            else f"{each.aggregate}: {each.refused}"
        )
        for stream, why in list(each.failed.items())[:SHOWN]:
            click.echo(f"  {stream}: {why}", err=True)
        if len(each.failed) > SHOWN:
            click.echo(f"  and {len(each.failed) - SHOWN:,} more; --json has all.", err=True)
