"""What is public is what a package's `__init__` names, sorted, and nothing happens there."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("eventstore", "projections", "foldlog")
INITS = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))
LAZY = ROOT / "foldlog" / "__init__.py"
"""The one that imports what it names when asked; why, it says itself."""


def _module(init: Path) -> str:
    return ".".join(init.parent.relative_to(ROOT).parts)


def _statements(init: Path) -> list[ast.stmt]:
    """All but the docstring and, in the lazy one, what makes it so."""
    module = ast.parse(init.read_text(encoding="utf-8"))
    assert ast.get_docstring(module), "a package says what it is for"
    statements = module.body[1:]
    if init == LAZY:
        return [one for one in statements if not isinstance(one, ast.If | ast.FunctionDef)]
    return statements


def _names(init: Path) -> list[str] | None:
    for statement in _statements(init):
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(statement.value)
            return names
    return None


def _by_convention(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions; each in alphabetical order."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


@pytest.mark.parametrize("init", INITS, ids=_module)
def test_an_init_holds_imports_and_a_sorted_all_and_nothing_else(init: Path) -> None:
    rest = [one for one in _statements(init) if not isinstance(one, ast.Import | ast.ImportFrom)]
    names = _names(init)
    if not rest:
        assert not _statements(init), "what is imported is named in __all__"
    else:
        assert [ast.unparse(one.targets[0]) for one in rest if isinstance(one, ast.Assign)] == [
            "__all__"
        ]
        assert len(rest) == 1
        assert names == sorted(names or [], key=_by_convention)


@pytest.mark.parametrize("init", INITS, ids=_module)
def test_every_public_name_resolves_and_everything_imported_is_public(init: Path) -> None:
    names = _names(init) or []
    module = importlib.import_module(_module(init))
    assert [name for name in names if not hasattr(module, name)] == []
    if init != LAZY:
        imported = {
            alias.asname or alias.name
            for one in _statements(init)
            if isinstance(one, ast.ImportFrom)
            for alias in one.names
        }
        assert imported == set(names)


def test_the_names_that_users_meet_are_where_they_look_for_them() -> None:
    code = (
        "from eventstore import ANY, NO_STREAM, Aggregate, Event, Recorded, Repository\n"
        "from foldlog import App\n"
        "from projections import DELETE, RowProjection, SqlProjection\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_can_be_imported_first(package: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {package}"], check=True)


def test_importing_foldlog_loads_nothing_until_app_is_asked_for() -> None:
    code = (
        "import sys, foldlog\n"
        "heavy = {'alembic', 'confluent_kafka', 'eventstore', 'pydantic', 'sqlalchemy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert foldlog.App.__name__ == 'App'\n"
        "assert 'confluent_kafka' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_foldlog_does_not_have_is_an_attribute_error() -> None:
    module = importlib.import_module("foldlog")
    with pytest.raises(AttributeError, match="no attribute 'Application'"):
        _ = module.Application
