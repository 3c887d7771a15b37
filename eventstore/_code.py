"""Describes the compiled code of a fold, so that a fold that has changed is told from what it was.

What is described: `apply`, the methods and properties of its class that it names, the functions
of its own package that it names, and the constants that all of these use. A type's own methods
are not: a value object that comes to add otherwise is for ``state_version``.
"""

import dataclasses
import enum
import functools
import inspect
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, cast
from uuid import UUID

from pydantic import BaseModel

ATOMS: Final = (bool, bytes, date, Decimal, enum.Enum, float, int, str, time, timedelta, UUID)
DATA: Final[tuple[type, ...]] = (*ATOMS, dict, frozenset, list, set, tuple)


def described(owner: type, name: str) -> list[str]:
    """One line for each function that ``owner``'s method of this name is, or reaches."""
    walk = _Walk(owner)
    walk.follow(inspect.getattr_static(owner, name))
    return walk.lines


class _Walk:
    """Follows functions by the names in their code, each once."""

    def __init__(self, owner: type) -> None:
        self.lines: list[str] = []
        self._owner = owner
        self._package = owner.__module__.partition(".")[0]
        self._seen: set[object] = set()

    def follow(self, found: object) -> None:
        """Describe what ``found`` runs, if it is a function or something around one."""
        for function in _functions(found):
            if function not in self._seen and self._is_ours(function):
                self._seen.add(function)
                self._describe(function.__code__, function.__globals__)
                self.lines.append(constant(function.__defaults__))
                for cell in function.__closure__ or ():
                    self._use("a closure's", _content(cell))

    def _is_ours(self, function: FunctionType) -> bool:
        return (function.__module__ or "").partition(".")[0] == self._package

    def _describe(self, code: CodeType, names: Mapping[str, Any]) -> None:
        constants = [constant(each) for each in code.co_consts]
        parts = (code.co_code.hex(), code.co_names, code.co_varnames, constants)
        self.lines.append(repr(parts))
        for each in code.co_consts:
            if isinstance(each, CodeType):
                self._describe(each, names)
        for name in code.co_names:
            self._name(name, code, names)

    def _name(self, name: str, code: CodeType, names: Mapping[str, Any]) -> None:
        for ancestor in self._owner.__mro__:
            if name in vars(ancestor) and ancestor.__module__.partition(".")[0] == self._package:
                self._use(name, vars(ancestor)[name])
                break
        found = names.get(name)
        if isinstance(found, ModuleType):
            for each in code.co_names:
                self._use(f"{name}.{each}", vars(found).get(each))
        else:
            self._use(name, found)

    def _use(self, name: str, found: object) -> None:
        line = f"{name} = {constant(found)}"
        if isinstance(found, DATA):
            self.lines.append(line)
        else:
            self.follow(found)


def _functions(found: object) -> Iterator[FunctionType]:
    match found:
        case FunctionType():
            yield found
        case staticmethod() | classmethod():
            yield from _functions(cast("Any", found).__func__)
        case property():
            yield from _functions(found.fget)
        case functools.partial():
            yield from _functions(cast("Any", found).func)
        case functools.singledispatchmethod():
            for function in cast("Any", found).dispatcher.registry.values():
                yield from _functions(function)
        case _:
            return


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is not filled yet
        return None


def constant(value: object) -> str:
    """A text for a value, the same in every process; of other objects, their type's name."""
    if value is None or isinstance(value, bool | enum.Enum):
        return str(value)
    if isinstance(value, ATOMS):
        return repr(value)
    if isinstance(value, CodeType):
        return f"code {value.co_name}"
    name = type(value).__qualname__
    if isinstance(value, BaseModel):
        return f"{name}({constant(vars(value))})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return f"{name}({constant(parts)})"
    return f"{name}({', '.join(_elements(value))})"


def _elements(value: object) -> list[str]:
    match value:
        case frozenset() | set():
            return sorted(map(constant, cast("set[object]", value)))
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return [f"{constant(key)}: {constant(held)}" for key, held in pairs]
        case list() | tuple():
            return list(map(constant, cast("list[object]", value)))
        case _:
            return []
