"""`foldlog writers`: write for the application's other processes, until SIGTERM."""

import logging
from pathlib import Path

import click

from foldlog.commands._addresses import data_option
from foldlog.commands._application import app_option, opened
from foldlog.commands._signals import until_told


@click.command()
@app_option
@data_option
def writers(app: str | None, data: Path | None) -> None:
    """Write what the application's other processes append.

    Processes whose role is client (FOLDLOG_ROLE=client) need one of these. Several share the
    partitions of each topic. SIGTERM or Ctrl-C ends it with 0, when what it has begun is done;
    it ends with 1 if it could not go on.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = until_told()
    with opened(app, data) as application:
        topics = ", ".join(aggregate.topic for aggregate in application.aggregates)
        application.write(stop, begun=lambda: click.echo(f"Writing to {topics}.", err=True))
    click.echo("Stopped; other writers take over.", err=True)
