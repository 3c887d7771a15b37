"""`foldlog run`: follow the log into the read models, until SIGTERM."""

import logging
from pathlib import Path

import click

from foldlog.commands._addresses import data_option
from foldlog.commands._application import app_option, opened
from foldlog.commands._signals import until_told


@click.command()
@app_option
@data_option
def run(app: str | None, data: Path | None) -> None:
    """Follow the log into every read model of the application.

    This process takes all partitions. SIGTERM or Ctrl-C ends it at the end of a batch, with 0;
    it ends with 1 if a read model stopped at an event that it could not apply, and at once if the
    application has no projections.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = until_told()
    with opened(app, data) as application:
        names = ", ".join(application.projections)
        try:
            application.run(
                stop, begun=lambda: click.echo(f"Following the log into {names}.", err=True)
            )
        except ExceptionGroup as stopped:
            raise click.ClickException(
                "\n".join(str(error) for error in stopped.exceptions)
            ) from stopped
    click.echo("Stopped at the end of a batch.", err=True)
