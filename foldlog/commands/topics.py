"""`foldlog topics plan`: the commands by which an operator makes the topics."""

import click

from foldlog.commands._application import app_option, load


@click.group()
def topics() -> None:
    """Make and check the topics of an application."""


@topics.command()
@app_option
def plan(app: str | None) -> None:
    """Print the commands that make the topics as Foldlog would."""
    for line in load(app).plan():
        click.echo(line)
