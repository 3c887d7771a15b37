"""What a stored state of an aggregate is: its shape's fingerprint, and its JSON.

States are a cache of folds. A fingerprint stands for all that a state's meaning depends on, so
that code which folds otherwise never meets them, and old and new code live side by side.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from typing_extensions import TypedDict

from eventstore import _code
from eventstore.aggregates import Aggregate, field_defaults, field_types
from eventstore.errors import UnstorableState

A = TypeVar("A", bound=Aggregate[Any])

FINGERPRINT_BYTES: Final = 16


class StateForm(Generic[A]):
    """How the states of one type of aggregate are stored.

    ``fingerprint`` covers the names, JSON schema and defaults of its fields, its class's
    ``state_version``, and the compiled code of `apply` with what that names: the methods of the
    class, the functions of its package, and constants. Another release of Python compiles
    otherwise, and so has fingerprints of its own.

    Raises:
        UnstorableState: A field's type has no JSON form.
    """

    def __init__(self, aggregate_type: type[A]) -> None:
        self._type = aggregate_type
        hints = field_types(aggregate_type)
        try:
            self._adapter: TypeAdapter[dict[str, Any]] = _adapter(hints)
            shape = self._adapter.json_schema(mode="serialization")
        except PydanticUserError as error:
            raise UnstorableState(aggregate_type.__name__, error.message.split("\n")[0]) from None
        self.fingerprint: Final = _fingerprint(aggregate_type, list(hints), shape)

    def __repr__(self) -> str:
        return f"StateForm({self._type.__name__}, {self.fingerprint.hex()})"

    def dumped(self, aggregate: A) -> str:
        """The aggregate's state as a JSON object, field by field, in order.

        Raises:
            UnstorableState: It would not come back as it is: a float that is not a number, a
                value of a subclass, an object without an equality of its own.
        """
        state = vars(aggregate)
        try:
            text = self._adapter.dump_json(state, warnings="error").decode()
            back = self._adapter.validate_json(text)
        except ValidationError as error:
            raise UnstorableState(self._type.__name__, _told(error)) from None
        except (PydanticSerializationError, ValueError) as error:
            why = f"that it has no JSON: {str(error).splitlines()[0]}"
            raise UnstorableState(self._type.__name__, why) from None
        for name, value in state.items():
            if back[name] != value or type(back[name]) is not type(value):
                why = f"field {name}, a {type(value).__name__}, changed by it"
                raise UnstorableState(self._type.__name__, why)
        return text

    def loaded(self, text: str) -> Mapping[str, Any]:
        """The fields of a stored state, validated.

        Raises:
            UnstorableState: It is not a state of this shape.
        """
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise UnstorableState(self._type.__name__, _told(error)) from None


def _told(error: ValidationError) -> str:
    """What its JSON is not, without values: they do not belong in logs."""
    told = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"field {'.'.join(map(str, told['loc']))}: {told['msg']}"


def _adapter(hints: dict[str, Any]) -> TypeAdapter[dict[str, Any]]:
    """One adapter of all fields, each of its own type."""
    typed = cast("Any", TypedDict)("State", hints)
    return TypeAdapter[dict[str, Any]](typed)


def _fingerprint(cls: type[Aggregate[Any]], names: list[str], shape: dict[str, Any]) -> bytes:
    defaults = field_defaults(cls)
    parts = {
        "fields": names,
        "shape": shape,
        "defaults": [_code.constant(defaults[name]) for name in names],
        "state_version": cls.state_version,
        "apply": _code.described(cls, "apply"),
    }
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()[:FINGERPRINT_BYTES]
