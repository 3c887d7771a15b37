"""Avro bodies: the one place that calls fastavro.

Its schemas are parsed here without logical types, since their values are converted beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from typing import Any, Final, TypeAlias, TypeGuard, cast

from fastavro import (
    parse_schema,
    schemaless_reader,  # pyright: ignore[reportUnknownVariableType]
    schemaless_writer,  # pyright: ignore[reportUnknownVariableType]
)
from fastavro.types import Schema as Parsed

from eventstore.errors import DecodingError

Schema: TypeAlias = dict[str, Any]
"""An Avro schema: what `json.loads` gives of an ``.avsc`` file."""

NAMED: Final = frozenset(("enum", "fixed"))
FLAT: Final = NAMED | frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
)
VARINT_BITS: Final = 7
VARINT_MORE: Final = 1 << VARINT_BITS


def parsed(schema: Schema) -> Parsed:
    """A record schema, ready to read and write with."""
    return parse_schema(_without_logical_types(schema))


def parsed_many(schema: Schema) -> Parsed:
    """The schema of an array of such records."""
    return parse_schema({"type": "array", "items": _without_logical_types(schema)})


def write(schema: Parsed, values: Mapping[str, Any]) -> bytes:
    """The body of a record; raises what fastavro runs into."""
    buffer = BytesIO()
    schemaless_writer(buffer, schema, values, strict=True)
    return buffer.getvalue()


def write_many(schema: Parsed, rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """The bodies of many records, quicker than one by one; raises as `write`."""
    buffer, ends = BytesIO(), [0]
    for values in rows:
        schemaless_writer(buffer, schema, values, strict=True)
        ends.append(buffer.tell())
    joined = buffer.getvalue()
    return [joined[begin:end] for begin, end in pairwise(ends)]


def read(name: str, body: bytes, written: Parsed, reader: Parsed | None = None) -> dict[str, Any]:
    """The values of a body, by Avro's resolution where the reader's schema is another.

    Raises:
        DecodingError: The bytes are not those of the schema, or not all of them.
    """
    return cast("dict[str, Any]", _read(name, body, written, reader))


def read_many(name: str, bodies: Sequence[bytes], array: Parsed) -> list[dict[str, Any]]:
    """The values of many bodies, read in one call as one Avro array; raises as `read`."""
    joined = b"".join((_long(len(bodies)), *bodies, b"\0"))
    rows = cast("list[dict[str, Any]]", _read(name, joined, array, None))
    if len(rows) != len(bodies):
        raise DecodingError(name, f"{len(rows)} records in {len(bodies)} bodies")
    return rows


def check_flat(name: str, schema: Schema) -> None:
    """Refuse a schema from the log that nests: a few bytes of it could exhaust the process.

    Raises:
        DecodingError: It is not a record of primitives, enums, fixed values and their unions.
    """
    flat: set[object] = set(FLAT)
    for field in schema["fields"]:
        found: Any = field["type"]
        for member in found if _is_list(found) else [found]:
            kind = _kind(member)
            if kind not in flat:
                raise DecodingError(
                    name, f"a schema whose field {field['name']!r} is not flat; upgrade this reader"
                )
            if kind in NAMED:
                flat.add(member["name"])


def _kind(member: Any) -> Any:
    kind = member["type"] if _is_dict(member) else member
    return kind if isinstance(kind, str) else "nested"


def _read(name: str, body: bytes, written: Parsed, reader: Parsed | None) -> object:
    buffer = BytesIO(body)
    try:
        values: object = schemaless_reader(buffer, written, reader)
    except Exception as error:  # noqa: BLE001 - fastavro raises whatever the bytes run into
        raise DecodingError(name, f"{len(body)} bytes: {type(error).__name__}") from None
    if buffer.tell() != len(body):
        raise DecodingError(name, f"{len(body)} bytes, of which only {buffer.tell()} were used")
    return values


def _long(count: int) -> bytes:
    """A count as an Avro long: zigzag, seven bits to a byte."""
    left, found = count << 1, bytearray()
    while left >= VARINT_MORE:
        found.append(left % VARINT_MORE | VARINT_MORE)
        left >>= VARINT_BITS
    found.append(left)
    return bytes(found)


def _without_logical_types(node: Any) -> Any:
    if _is_dict(node):
        kept = {
            key: _without_logical_types(value)
            for key, value in node.items()
            if key != "logicalType"
        }
        return kept["type"] if kept.keys() == {"type"} else kept  # quicker to write with
    if _is_list(node):
        return [_without_logical_types(member) for member in node]
    return node


def _is_dict(node: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(node, dict)


def _is_list(node: object) -> TypeGuard[list[Any]]:
    return isinstance(node, list)
