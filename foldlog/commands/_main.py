"""The command `foldlog`: finds its subcommands, and turns our errors into one message.

A subcommand is imported when it is run, not before, so that `foldlog --help` is quick.
"""

from importlib import import_module
from typing import Any, Final, NamedTuple, cast

import click

from foldlog.commands._memory import use_one_arena

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it."""

_OURS: Final = frozenset({"eventstore", "foldlog", "projections"})


class Subcommand(NamedTuple):
    """Where a subcommand is, and its line in `foldlog --help`."""

    target: str
    """``module:attribute``, a click command."""
    help: str


COMMANDS: Final = {
    "dev": Subcommand(
        "foldlog.commands.dev:dev",
        "Run Kafka and PostgreSQL here, without Docker.",
    ),
    "run": Subcommand(
        "foldlog.commands.run:run", "Follow the log into the read models, until SIGTERM."
    ),
    "writers": Subcommand(
        "foldlog.commands.writers:writers",
        "Write what other processes append, until SIGTERM.",
    ),
    "status": Subcommand(
        "foldlog.commands.status:status", "Show how far each read model is behind the log."
    ),
    "rebuild": Subcommand(
        "foldlog.commands.rebuild:rebuild",
        "Build a read model anew beside the live one, and switch.",
    ),
    "events": Subcommand("foldlog.commands.events:events", "Print what happened to one aggregate."),
    "aggregates": Subcommand(
        "foldlog.commands.aggregates:aggregates", "Make or delete the stored states of aggregates."
    ),
    "doctor": Subcommand(
        "foldlog.commands.doctor:doctor", "Examine the topics, and say what mends each finding."
    ),
    "topics": Subcommand("foldlog.commands.topics:topics", "Print how to make the topics."),
    "demo": Subcommand(
        "foldlog.commands.demo:demo", "Run an example on real data, from end to end."
    ),
}


def is_ours(error: Exception) -> bool:
    """Whether it is an error that this project raises, and so explains."""
    return type(error).__module__.partition(".")[0] in _OURS


class _Lazy(click.Group):
    """A group whose members are named in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        return cast("click.Command", getattr(import_module(module), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except Exception as error:
            # Our errors say what to do; anything else is a defect, and its traceback is needed.
            if not is_ours(error):
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="foldlog")
def main() -> None:
    """Event sourcing and CQRS on Apache Kafka and PostgreSQL."""
    use_one_arena()
