"""The append protocol, in every order in which its steps can come, within small bounds."""

import pytest

from tests.model.bounds import Bounds
from tests.model.mutants import BELTS, MUTANTS, QUICK, Mutant
from tests.model.search import explore
from tests.model.world import World


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
