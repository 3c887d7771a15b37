"""The append protocol, in every order in which its steps can come, within small bounds."""

from functools import cache
from pathlib import Path

import pytest

from tests.model.bounds import Bounds
from tests.model.ingredients import Ingredient
from tests.model.mutants import ANY_1, BELTS, MUTANTS, QUICK, REPEATED, Mutant
from tests.model.search import Explored, explore
from tests.model.worlds import world_of

PAGE = Path(__file__).parent.parent.parent / "docs" / "explanation" / "model.md"


@cache
def without(mutant: Mutant) -> Explored:
    return explore(mutant.world)


@pytest.mark.parametrize("bounds", QUICK, ids=Bounds.told)
def test_whatever_happens_the_answers_are_what_the_log_says(bounds: Bounds) -> None:
    found = explore(world_of(bounds))
    assert found.violation is None, "\n".join(found.trace)
    assert found.complete


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_without_it_something_goes_wrong(mutant: Mutant) -> None:
    found = without(mutant)
    assert found.violation == mutant.violation
    assert found.trace


@pytest.mark.parametrize("mutant", BELTS, ids=lambda mutant: mutant.name)
def test_without_this_alone_the_others_hold(mutant: Mutant) -> None:
    found = explore(mutant.world)
    assert found.violation is None, "\n".join(found.trace)
    assert found.complete


def test_no_rule_helps_where_a_claim_is_lost_and_a_later_one_comes_again() -> None:
    found = explore(world_of(Bounds((ANY_1,), claims=3, faults=1, losses=1), live=False))
    assert found.violation == REPEATED


def named(row: str) -> frozenset[Ingredient]:
    return frozenset(each for each in Ingredient if each.value in row)


def test_the_page_says_what_each_ingredient_is_good_for() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for mutant in MUTANTS:
        (row,) = [each for each in rows if named(each) == mutant.without]
        assert row.endswith(f"| {len(without(mutant).trace)} |")
    for belt in BELTS:
        assert all(f"**{part.value}**" in page for part in belt.without)
