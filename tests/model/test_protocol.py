"""The append protocol, in every order in which its steps can come, within small bounds."""

from pathlib import Path

import pytest

from tests.model.bounds import Bounds
from tests.model.mutants import BELTS, MUTANTS, QUICK, Mutant
from tests.model.search import explore
from tests.model.world import World

PAGE = Path(__file__).parent.parent.parent / "docs" / "explanation" / "model.md"


@pytest.mark.parametrize("bounds", QUICK, ids=Bounds.told)
def test_whatever_happens_the_answers_are_what_the_log_says(bounds: Bounds) -> None:
    found = explore(World(bounds))
    assert found.violation is None, "\n".join(found.trace)
    assert found.complete


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_without_it_something_goes_wrong(mutant: Mutant) -> None:
    found = explore(mutant.world)
    assert found.violation == mutant.violation
    assert found.trace


@pytest.mark.parametrize("mutant", BELTS, ids=lambda mutant: mutant.name)
def test_without_this_alone_the_others_hold(mutant: Mutant) -> None:
    found = explore(mutant.world)
    assert found.violation is None, "\n".join(found.trace)
    assert found.complete


def test_the_page_says_what_each_ingredient_is_good_for() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for mutant in MUTANTS:
        (row,) = [each for each in rows if all(part.value in each for part in mutant.without)]
        assert row.endswith(f"| {len(explore(mutant.world).trace)} |")
    for belt in BELTS:
        assert all(f"**{part.value}**" in page for part in belt.without)
