"""Catches one read model up in a process of its own: KAFKA POSTGRES PROJECTION."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from projections import defaults
from tests.projections import read_models
from tests.projections.ledger import Ledger

kafka, postgres, projection = sys.argv[1:]
defaults.BATCH_EVENTS = 40  # type: ignore[misc]  # pyright: ignore[reportConstantRedefinition]
defaults.BATCH_EVENTS_SQL = 40  # type: ignore[misc]  # pyright: ignore[reportConstantRedefinition]
Ledger(kafka, postgres).read_model(getattr(read_models, projection)()).catch_up()
