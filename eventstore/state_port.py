"""The port to stored states: a cache of folds, which a repository can do without."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias


class StateKey(NamedTuple):
    """Whose state, and of which shape."""

    topic: str
    stream: str
    fingerprint: bytes


class State(NamedTuple):
    """A stream folded up to a version."""

    version: int
    append: bytes
    """The 16 bytes of the append id that brought the last of its events."""
    text: str
    """The fields as a JSON object."""


Dump: TypeAlias = Callable[[], State]
"""Makes the state to store, later and on another thread; `UnstorableState` if it cannot be."""


class States(Protocol):
    """Where states are stored; none of its methods raises, whatever fails.

    Implemented by `eventstore.state_store.StateStore`, in PostgreSQL.
    """

    def read(self, key: StateKey) -> State | None:
        """The stored state; None: there is none, or it cannot be read now."""
        ...

    def offer(self, key: StateKey, dump: Dump) -> None:
        """Store a state soon; never blocks."""
        ...

    def discard(self, key: StateKey, version: int) -> None:
        """Delete a state of just this version."""
        ...
