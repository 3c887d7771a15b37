"""The model is a model of the real writer: both are taken the same random ways."""

import pytest

from tests.model.ingredients import Ingredient
from tests.model.lockstep import Lockstep
from tests.model.log import Command
from tests.model.mutants import ANY_1, ANY_2, NEW_1, NEXT_1, NEXT_2, OTHER_1, OTHER_2

NUMBERED = (NEW_1, NEXT_2, ANY_1, Command(0, 1, 3), Command(0, 1, 4), OTHER_1, OTHER_2, ANY_2)
MIXED = (ANY_1, ANY_1, OTHER_2, OTHER_1, NEXT_1, Command(1, 1, 2))
WALKS = 100

TELLING = (
    Ingredient.CLAIM_ACCEPTED,
    Ingredient.READ_TO_CLAIM,
    Ingredient.CONTIGUITY,
    Ingredient.DUPLICATE_CHECK,
    Ingredient.IN_FLIGHT_CHECK,
    Ingredient.COMMITTED_HEADS,
    Ingredient.CHECKPOINT_ACKNOWLEDGED,
    Ingredient.CHECKPOINT_AT_ITS_PREFIX,
    Ingredient.CLAIM_MEETS_ROW,
    Ingredient.LOADED_WHOLE,
    Ingredient.LOOK_UP_NOT_BEHIND,
    Ingredient.LOOK_UP_HEAD,
    Ingredient.LOOK_UP_ID,
    Ingredient.MEMORY_WINS,
)
"""What the model's writer cannot lack without that its answers, or what it sends, are others."""


def walked(seed: int, *without: Ingredient) -> int:
    """How many answers were the same on this way."""
    commands = NUMBERED * 2 if seed % 2 else MIXED * 3
    lockstep = Lockstep(
        seed,
        commands,
        limit=100 if seed // 2 % 2 else 1,
        few=10 * (seed // 4 % 2),
        without=frozenset(without),
    )
    lockstep.walk(120)
    return lockstep.answers


def test_the_real_writer_answers_sends_and_remembers_what_the_models_does() -> None:
    assert sum(map(walked, range(WALKS))) > 10 * WALKS


@pytest.mark.parametrize("ingredient", TELLING, ids=lambda each: each.name.lower())
def test_the_real_writer_differs_from_a_model_that_lacks(ingredient: Ingredient) -> None:
    with pytest.raises((AssertionError, ValueError)):
        sum(walked(seed, ingredient) for seed in range(WALKS))
