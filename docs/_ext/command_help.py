"""The directive `command-help`: what `foldlog COMMAND --help` prints, as it is at build time."""

from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from foldlog.commands import main

WIDTH = 96


class CommandHelp(SphinxDirective):
    """Shows the help of the command whose words are the argument."""

    optional_arguments = 2

    def run(self) -> list[nodes.Node]:
        """One literal block."""
        command: click.Command = main
        context = click.Context(
            main, info_name="foldlog", terminal_width=WIDTH, **main.context_settings
        )
        for word in self.arguments:
            if not isinstance(command, click.Group):
                raise self.error(f"{command.name} has no subcommands, and so no {word}")
            found = command.get_command(context, word)
            if found is None:
                raise self.error(f"foldlog has no command {word}")
            command = found
            context = click.Context(command, parent=context, info_name=word)
        return [nodes.literal_block(text=command.get_help(context), language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
