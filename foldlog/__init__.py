"""What a person runs: the application, the command line, the embedded servers.

`App` is imported when it is first asked for. All that it needs is loaded with it, a second of
work, and pytest, `foldlog --help` and the embedded servers' supervisor pass here without needing
it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foldlog.app import App

__all__ = ["App"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("foldlog.app"), name)
