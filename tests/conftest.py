"""What holds for all tests: examples are seeded, so that a run that passes passes again.

``FOLDLOG_RANDOM=1`` draws new ones at each run.
"""

import os

from hypothesis import settings

settings.register_profile("seeded", derandomize=True, database=None)
settings.load_profile("default" if os.environ.get("FOLDLOG_RANDOM") else "seeded")
