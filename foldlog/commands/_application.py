"""Which application a command is for: ``--app module:name``, or ``[tool.foldlog] app``."""

import sys
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeGuard

import click

from eventstore.errors import ConfigurationError
from foldlog.app import App
from foldlog.commands._addresses import addresses

PROJECT: Final = "pyproject.toml"

app_option = click.option(
    "--app",
    metavar="MODULE:NAME",
    help="The application, such as bank:app; else [tool.foldlog] app in pyproject.toml.",
)
"""The option ``--app``; hand its value to `opened`."""


@contextmanager
def opened(app: str | None, data: Path | None) -> Generator[App]:
    """The application, entered, on the servers that `addresses` finds.

    Raises:
        ConfigurationError: No application is named, or there is none of that name.
    """
    found = load(app)
    with addresses(data, found.given), found:
        yield found


def load(app: str | None) -> App:
    """The application of this name, else the project's.

    Raises:
        ConfigurationError: No application is named, or there is none of that name.
    """
    named = _Named(app, Path.cwd()) if app else _of_project()
    if named is None:
        raise ConfigurationError(
            "expected an application; found none named: give --app MODULE:NAME, or write\n"
            '[tool.foldlog]\napp = "module:name"\nin pyproject.toml'
        )
    return _loaded(named)


class _Named(NamedTuple):
    """An application's name, and the folder whose modules it means."""

    name: str
    folder: Path


def _loaded(named: _Named) -> App:
    module, colon, attribute = named.name.partition(":")
    if not (all(module.split(".")) and colon and attribute):
        raise ConfigurationError(
            f"expected an application as module:name; found {named.name!r}: write, for example, "
            "bank:app"
        )
    imported = _imported(module, named.folder)
    try:
        found: Any = getattr(imported, attribute)
    except AttributeError:
        raise ConfigurationError(
            f"expected {attribute!r} in module {module!r}; found no such name"
        ) from None
    if not isinstance(found, App):
        raise ConfigurationError(
            f"expected {named.name} to be a foldlog.App; found {type(found).__name__}"
        )
    return found


def _imported(module: str, folder: Path) -> ModuleType:
    """The module, from the folder or the installed ones; what it raises itself is not ours."""
    sys.path.insert(0, str(folder))
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        raise ConfigurationError(
            f"expected a module {module!r} in {folder} or among the installed; found none: "
            "run the command in the folder that holds it"
        ) from None
    finally:
        sys.path.pop(0)


def _of_project() -> _Named | None:
    """The application that the nearest pyproject.toml with an entry of ours names."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        project = folder / PROJECT
        if project.is_file() and (name := _named_in(project)):
            return _Named(name, folder)
    return None


def _named_in(project: Path) -> str | None:
    table: object = _read(project)
    for name in ("tool", "foldlog"):
        table = table.get(name, {}) if _is_table(table) else table
    if not _is_table(table):
        raise ConfigurationError(
            f"expected a table [tool.foldlog] in {project}; found {table!r}: write\n"
            '[tool.foldlog]\napp = "module:name"'
        )
    found = table.get("app")
    if found is None or isinstance(found, str):
        return found
    raise ConfigurationError(
        f'expected app = "module:name" in [tool.foldlog] of {project}; found {found!r}'
    )


def _is_table(found: object) -> TypeGuard[dict[str, object]]:
    return isinstance(found, dict)


def _read(project: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(project.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"expected TOML in {project}; found: {error}; correct it, or give --app MODULE:NAME"
        ) from None
