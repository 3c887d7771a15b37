"""`foldlog status`: how far each read model is behind the log."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from foldlog.commands._addresses import data_option
from foldlog.commands._application import app_option, opened
from projections.lag import Lag


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, partition by partition.")
@app_option
@data_option
def status(as_json: bool, app: str | None, data: Path | None) -> None:
    """Show how far each read model is behind the log, and who feeds it."""
    with opened(app, data) as application:
        lags = application.lag()
    if as_json:
        click.echo(json.dumps({name: _facts(found) for name, found in lags.items()}, indent=2))
    else:
        Console().print(_table(lags))


def _facts(lags: Sequence[Lag]) -> list[dict[str, object]]:
    return [{**dataclasses.asdict(lag), "records_behind": lag.records} for lag in lags]


def _table(lags: Mapping[str, Sequence[Lag]]) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("read model", min_width=max(map(len, lags), default=0))
    for title in ("generation", "partitions", "records", "behind"):
        table.add_column(title, justify="right")
    table.add_column("fed by")
    for name, found in lags.items():
        if not found:
            table.add_row(name, "-", "-", "-", "-", "not made yet: foldlog run, or catch up")
            continue
        owners = sorted({lag.owner for lag in found if lag.owner is not None})
        table.add_row(
            name,
            str(found[0].generation),
            str(len(found)),
            f"{sum(lag.position for lag in found):,}",
            f"{sum(lag.records for lag in found):,}",
            ", ".join(owners) or "nobody",
        )
    return table
