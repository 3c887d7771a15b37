"""The one record header, ``foldlog``: what makes a Kafka record an event of ours.

Layout 1 is the struct ``>BBHHIQQqq8s16s8s``: 74 bytes, big-endian. It is laid down for good;
a reader stops at a layout or kind that it does not know. One header and not many, because each
costs every consumer: five halve the rate at which records are read.
"""

import enum
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

HEADER: Final = "foldlog"
LAYOUT: Final = 1
STRUCT: Final = struct.Struct(">BBHHIQQqq8s16s8s")
NO_OFFSET: Final = -1
NO_APPEND: Final = bytes(16)
NO_FINGERPRINT: Final = bytes(8)


class Kind(enum.IntEnum):
    """What a record of ours is."""

    EVENT = 1
    CLAIM = 2
    SEAL = 3


SIZE: Final = STRUCT.size
KNOWN: Final = frozenset(bytes([LAYOUT, kind]) for kind in Kind)
"""How the headers begin that this release knows: layout and kind."""


class Header(NamedTuple):
    """The fields of the header, in their order on the wire."""

    layout: int
    kind: int
    index: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    """The event's place within its append, from 0."""
    count: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Events in the append; in a claim, the topic's number of partitions."""
    epoch: int
    """The writer's term on this partition; each claim raises it by one."""
    sequence: int
    """The event's number within its epoch, from 1; 0 in a claim."""
    version: int
    """The event's place in its stream, from 1."""
    time: int
    """When it happened, in microseconds since 1970."""
    previous: int
    """The offset of the stream's previous event; -1: none."""
    writer: bytes
    """8 random bytes, new for each claim."""
    append: bytes
    """The 16 bytes of the append id."""
    fingerprint: bytes
    """8 bytes of the SHA-256 of the event's full canonical schema."""


class AmongOthers(Header):
    """The header of a record that has further headers, which may carry its event's metadata."""

    __slots__ = ()


# A third quicker than the class itself, once for each record that is read.
_new: Callable[[Any, Any], Header] = vars(tuple)["__new__"]


def pack(header: Header) -> bytes:
    """The header's 74 bytes."""
    return STRUCT.pack(*header)


def unpack(data: bytes) -> Header:
    """The header in these 74 bytes, whose layout must be ours (`KNOWN`).

    Raises:
        struct.error: There are not 74 bytes.
    """
    return _new(Header, STRUCT.unpack(data))


def unpack_among_others(data: bytes) -> Header:
    """As `unpack`, of a record with further headers."""
    return _new(AmongOthers, STRUCT.unpack(data))
