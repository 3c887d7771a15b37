"""Writes for others in a process of its own, until it is killed: KAFKA POSTGRES."""

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.bank_store import open_store

with open_store(*sys.argv[1:], role="writer") as store:
    store.open_topics()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    threading.Event().wait()
