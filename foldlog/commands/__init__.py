"""The command line: what a person runs."""

from foldlog.commands._main import main

__all__ = ["main"]
