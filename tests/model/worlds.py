"""The world that bounds ask for: one partition, one with requests, or two that share producers."""

from typing import Any

from tests.model.bounds import Bounds
from tests.model.ingredients import Ingredient
from tests.model.requests import RequestWorld
from tests.model.rules import RULES, TheRule
from tests.model.search import Searchable
from tests.model.shared import SharedWorld
from tests.model.world import World


def world_of(
    bounds: Bounds, without: frozenset[Ingredient] = frozenset(), *, live: bool = True
) -> Searchable[Any]:
    """A world; ``live``: whether a writer can come back is asked too."""
    if bounds.shared:
        return SharedWorld(bounds, without)
    world = RequestWorld if bounds.requests else World
    return world(bounds, without, RULES.get(without, TheRule), live=live)
