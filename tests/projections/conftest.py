"""A ledger of accounts for each test, on the real servers."""

import pytest

from tests.projections.ledger import Ledger


@pytest.fixture
def ledger(kafka: str, postgres: str) -> Ledger:
    return Ledger(kafka, postgres)
