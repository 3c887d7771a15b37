"""The worlds that are searched: of the whole protocol, and of what lacks some ingredient.

A mutant's bounds are the smallest that show what its ingredient is good for. A belt is an
ingredient that others make up for: without it nothing goes wrong within its bounds.
"""

from dataclasses import dataclass, replace
from typing import Any

from tests.model.bounds import Bounds
from tests.model.ingredients import Ingredient
from tests.model.log import Command
from tests.model.requests import LOST
from tests.model.search import Searchable
from tests.model.worlds import world_of

ANY_1 = Command(stream=0, events=1, expected=None)
ANY_2 = Command(stream=0, events=2, expected=None)
NEW_1 = Command(stream=0, events=1, expected=0)
NEW_2 = Command(stream=0, events=2, expected=0)
NEXT_1 = Command(stream=0, events=1, expected=1)
NEXT_2 = Command(stream=0, events=2, expected=1)
RETRIED_1 = Command(stream=0, events=1, expected=1, again=0)
"""A second attempt of the first command, which was refused or is unknown, at a later version."""
OTHER_1 = Command(stream=1, events=1, expected=0)
OTHER_2 = Command(stream=1, events=2, expected=None)

REPEATED = "an append id is valid twice"
UNTRUE = "an append was acknowledged, and is not valid as it was answered"
REFUSED = "an append was refused for good, and is valid"
VERSION = "a valid event's version is not its stream's next"
EXPECTED = "an append is valid whose expected version was not its stream's"
RESUMED = "a reader that stopped and went on reads something else"
PARTIAL = "a part of an append is valid, and its writer's term is over"
STUCK = "no writer can come back"


@dataclass(frozen=True)
class Mutant:
    """The protocol without some ingredients, and what goes wrong then; None: nothing does."""

    without: frozenset[Ingredient]
    bounds: Bounds
    violation: str | None = None

    @property
    def name(self) -> str:
        return " and ".join(sorted(each.name.lower() for each in self.without))

    @property
    def world(self) -> Searchable[Any]:
        """Whether a writer can come back is asked only where that is what goes wrong."""
        return world_of(self.bounds, self.without, live=self.violation in {STUCK, None})


def _without(*ingredients: Ingredient) -> frozenset[Ingredient]:
    return frozenset(ingredients)


_ALONE = Bounds((ANY_1,), claims=1)
_TWO = Bounds((NEW_1, NEW_1), claims=2)
_COMPACTED = Bounds((ANY_1,), claims=4, losses=1)
_STORED = Bounds((ANY_1,), claims=1, checkpoints=1, forgetting=True)
_STORED_2 = replace(_STORED, commands=(ANY_1, ANY_1))
_LOADED = Bounds((ANY_1, ANY_1), claims=2, checkpoints=1, few=1)

MUTANTS = (
    Mutant(_without(Ingredient.CLAIM), replace(_ALONE, claims=2), REPEATED),
    Mutant(_without(Ingredient.CLAIM_NEXT), _ALONE, STUCK),
    Mutant(_without(Ingredient.CLAIM_ACCEPTED), replace(_ALONE, claims=2), UNTRUE),
    Mutant(_without(Ingredient.READ_TO_CLAIM), replace(_ALONE, claims=2), REPEATED),
    Mutant(_without(Ingredient.CONTIGUITY), replace(_ALONE, claims=2), UNTRUE),
    Mutant(
        _without(Ingredient.REPORTS_IN_ORDER),
        replace(_TWO, commands=(ANY_1, ANY_1), claims=1, faults=1),
        UNTRUE,
    ),
    Mutant(_without(Ingredient.NEW_EPOCH), replace(_ALONE, doubts=1), REPEATED),
    Mutant(_without(Ingredient.DUPLICATE_CHECK), _ALONE, REPEATED),
    Mutant(_without(Ingredient.IN_FLIGHT_CHECK), _ALONE, REPEATED),
    Mutant(_without(Ingredient.COMMITTED_HEADS), _TWO, REFUSED),
    Mutant(_without(Ingredient.SEQUENCE), replace(_ALONE, faults=1), REPEATED),
    Mutant(
        _without(Ingredient.WRITER, Ingredient.EPOCH),
        replace(_TWO, commands=(ANY_1, ANY_1)),
        REPEATED,
    ),
    Mutant(_without(Ingredient.WRITER), _COMPACTED, REPEATED),
    Mutant(_without(Ingredient.NEXT_EPOCH), replace(_ALONE, claims=2, faults=1), REPEATED),
    Mutant(
        _without(Ingredient.EXACTLY_NEXT_EPOCH),
        replace(_COMPACTED, commands=(ANY_1, ANY_1), claims=2),
        VERSION,
    ),
    Mutant(_without(Ingredient.CLAIM_ENDS_APPEND), replace(_ALONE, commands=(ANY_2,)), STUCK),
    Mutant(
        _without(Ingredient.INDEX_AND_COUNT), replace(_ALONE, commands=(ANY_2,), claims=2), PARTIAL
    ),
    Mutant(
        _without(Ingredient.POSITION_BETWEEN_APPENDS), replace(_ALONE, commands=(ANY_2,)), RESUMED
    ),
    Mutant(_without(Ingredient.POSITION_HAS_WRITER), _ALONE, RESUMED),
    Mutant(_without(Ingredient.POSITION_OF_CURRENT_WRITER), replace(_ALONE, claims=2), RESUMED),
    Mutant(_without(Ingredient.CHECKPOINT_ACKNOWLEDGED), replace(_STORED, claims=2), UNTRUE),
    Mutant(_without(Ingredient.CHECKPOINT_AT_ITS_PREFIX), _STORED_2, REPEATED),
    Mutant(
        _without(Ingredient.CHECKPOINT_COMPARES),
        replace(_STORED_2, checkpoints=2, restores=1),
        REPEATED,
    ),
    Mutant(
        _without(Ingredient.LOOK_UP_EPOCH, Ingredient.LOOK_UP_NOT_AHEAD),
        Bounds((NEW_1, NEXT_1), claims=2, checkpoints=2, forgetting=True),
        REFUSED,
    ),
    Mutant(_without(Ingredient.LOADED_WHOLE), _LOADED, VERSION),
    Mutant(
        _without(Ingredient.LOADED_AT_ONCE),
        replace(_LOADED, commands=(NEW_1, NEXT_1, NEXT_1), checkpoints=2),
        EXPECTED,
    ),
    Mutant(_without(Ingredient.LOOK_UP_NOT_BEHIND), replace(_STORED, restores=1), REPEATED),
    Mutant(_without(Ingredient.CHECKPOINT_KNOWN, Ingredient.LOOK_UP_NOT_BEHIND), _STORED, REPEATED),
    Mutant(_without(Ingredient.LOOK_UP_AT_ONCE), replace(_STORED_2, checkpoints=2), REPEATED),
    Mutant(_without(Ingredient.LOOK_UP_HEAD), _STORED_2, VERSION),
    Mutant(_without(Ingredient.LOOK_UP_ID), _STORED, REPEATED),
    Mutant(_without(Ingredient.MEMORY_WINS), _STORED_2, REPEATED),
    Mutant(_without(Ingredient.LOOK_AGAIN), _STORED_2, REPEATED),
    Mutant(_without(Ingredient.FORGET_BELOW), _STORED, REPEATED),
    Mutant(
        _without(Ingredient.FORWARDED_IS_LOOKED_UP),
        replace(_STORED, claims=2, requests=2),
        REPEATED,
    ),
    Mutant(
        _without(Ingredient.HANDED_OVER_IS_LOOKED_UP),
        replace(_STORED, claims=2, requests=1),
        REPEATED,
    ),
    Mutant(_without(Ingredient.REPLY_ACKNOWLEDGED), replace(_ALONE, requests=1), UNTRUE),
    Mutant(_without(Ingredient.EXPIRED_IS_UNKNOWN), replace(_ALONE, claims=2, requests=1), REFUSED),
    Mutant(
        _without(Ingredient.AHEAD_IS_UNKNOWN),
        Bounds((ANY_1, NEXT_1), claims=1, requests=2),
        REFUSED,
    ),
    Mutant(
        _without(Ingredient.REPLY_OF_ITS_REQUEST),
        Bounds((NEW_1, RETRIED_1, ANY_1), claims=1, requests=2),
        REFUSED,
    ),
    Mutant(_without(Ingredient.OFFSET_AFTER_REPLY), replace(_ALONE, requests=1), LOST),
    Mutant(_without(Ingredient.OFFSETS_IN_ORDER), replace(_ALONE, requests=2), LOST),
    Mutant(
        _without(Ingredient.ERROR_ENDS_ALL, Ingredient.REPORTS_IN_ORDER),
        Bounds((ANY_1, ANY_1), claims=1, shared=True),
        UNTRUE,
    ),
)

BELTS = (
    Mutant(_without(Ingredient.EPOCH), replace(_TWO, faults=1)),
    Mutant(
        _without(Ingredient.CHECKPOINT_EPOCH),
        Bounds((ANY_1,), claims=2, checkpoints=2, restores=1, forgetting=True),
    ),
    Mutant(
        _without(Ingredient.CHECKPOINT_KNOWN),
        Bounds((ANY_1,), claims=2, checkpoints=2, restores=1, forgetting=True),
    ),
    Mutant(
        _without(Ingredient.CLAIM_MEETS_ROW),
        Bounds((ANY_1,), claims=2, checkpoints=2, restores=1, forgetting=True),
    ),
    Mutant(
        _without(Ingredient.LOOK_UP_EPOCH),
        Bounds((ANY_1,), claims=2, checkpoints=2, restores=1, forgetting=True),
    ),
    Mutant(
        _without(Ingredient.LOOK_UP_NOT_AHEAD),
        Bounds((ANY_1,), claims=2, checkpoints=2, restores=1, forgetting=True),
    ),
    Mutant(
        _without(Ingredient.APPLIED_BEFORE_DEADLINE), Bounds((NEW_1, ANY_1), claims=1, requests=2)
    ),
    Mutant(_without(Ingredient.ERROR_ENDS_ALL), Bounds((ANY_1, ANY_1), claims=1, shared=True)),
)

QUICK = (
    Bounds((NEW_1, NEW_2), claims=3),
    Bounds((ANY_1, NEW_1), claims=2, faults=1),
    Bounds((ANY_1, OTHER_2), claims=2),
    Bounds((ANY_1,), writers=3, claims=4),
    Bounds((ANY_1,), claims=4, losses=1),
    Bounds((NEW_1, NEXT_1), claims=3, losses=1),
    Bounds((NEW_1, NEXT_1), claims=2, checkpoints=1, forgetting=True),
    Bounds((ANY_1,), claims=2, checkpoints=2, restores=1, forgetting=True),
    Bounds((NEW_1, NEXT_1), claims=2, checkpoints=1, forgetting=True, few=1),
    Bounds((NEW_1, NEXT_1), claims=2, requests=2),
    Bounds((NEW_1, RETRIED_1), claims=2, requests=2),
    Bounds((ANY_1,), claims=2, faults=1, requests=2),
    Bounds((ANY_1,), claims=2, checkpoints=1, forgetting=True, requests=1),
    Bounds((ANY_1,), claims=2, shared=True),
)
"""Searched whole by the tests."""

DEEP = (
    Bounds((NEW_1, NEXT_2), writers=3, claims=3),
    Bounds((ANY_1, ANY_2), claims=2, faults=1),
    Bounds((ANY_1, ANY_2), claims=3),
    Bounds((ANY_1, ANY_1, OTHER_2), claims=2),
    Bounds((NEW_1, NEW_1, NEXT_1, OTHER_1), claims=2),
    Bounds((ANY_1,), writers=3, claims=5),
    Bounds((NEW_1, NEW_2), claims=2, faults=2),
    Bounds((ANY_1,), claims=3, faults=2),
    Bounds((NEW_1, NEXT_1), claims=3, checkpoints=1, restores=1, forgetting=True),
    Bounds((ANY_1, ANY_1), claims=2, checkpoints=2, restores=1, forgetting=True),
    Bounds((ANY_1, OTHER_1), claims=2, checkpoints=2, restores=1, forgetting=True),
    Bounds((ANY_1,), writers=3, claims=3, checkpoints=3, restores=1, forgetting=True),
    Bounds((ANY_1, ANY_1), claims=2, checkpoints=2, restores=1, forgetting=True, few=1),
    Bounds((ANY_1, OTHER_1), claims=2, checkpoints=2, restores=1, forgetting=True, few=2),
    Bounds((ANY_1,), writers=3, claims=3, checkpoints=3, restores=1, forgetting=True, few=1),
    Bounds((NEW_1, NEXT_1), claims=2, faults=1, checkpoints=1, restores=1, forgetting=True),
    Bounds((NEW_1, RETRIED_1), claims=2, requests=3),
    Bounds((NEW_1, RETRIED_1, ANY_1), claims=2, requests=2),
    Bounds((NEW_1, ANY_2), claims=2, faults=1, requests=2),
    Bounds((ANY_1,), writers=3, claims=3, requests=3),
    Bounds((ANY_1,), claims=2, checkpoints=1, forgetting=True, requests=2),
    Bounds((ANY_1,), claims=2, checkpoints=2, restores=1, forgetting=True, requests=2),
    Bounds((NEW_1, RETRIED_1), claims=2, checkpoints=1, forgetting=True, requests=2),
    Bounds((NEW_1, NEXT_1), claims=2, shared=True),
    Bounds((ANY_1,), claims=2, faults=1, shared=True),
)
"""Searched by `python -m tests.model`."""
