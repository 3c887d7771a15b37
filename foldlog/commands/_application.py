"""Which application a command is for: ``--app module:name``, or ``[tool.foldlog] app``."""

import sys
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

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
    name = app or _project_app()
    if name is None:
        raise ConfigurationError(
            "expected an application; found none named: give --app MODULE:NAME, or write\n"
            '[tool.foldlog]\napp = "module:name"\nin pyproject.toml'
        )
    return _imported(name)


def _imported(name: str) -> App:
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigurationError(
            f"expected an application as module:name; found {name!r}: write, for example, bank:app"
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        raise ConfigurationError(
            f"expected a module {module!r} here or among the installed; found none: "
            "run the command in the folder that holds it"
        ) from None
    except AttributeError:
        raise ConfigurationError(
            f"expected {attribute!r} in module {module!r}; found no such name"
        ) from None
    finally:
        sys.path.pop(0)
    if not isinstance(found, App):
        raise ConfigurationError(
            f"expected {name} to be a foldlog.App; found {type(found).__name__}"
        )
    return found


def _project_app() -> str | None:
    for folder in (Path.cwd(), *Path.cwd().parents):
        project = folder / PROJECT
        if project.is_file():
            settings = tomllib.loads(project.read_text()).get("tool", {}).get("foldlog", {})
            found = settings.get("app")
            if found is None or isinstance(found, str):
                return found
            raise ConfigurationError(
                f'expected app = "module:name" in [tool.foldlog] of {project.name}; found {found!r}'
            )
    return None
