"""What holds for all tests: examples are seeded, so that a run that passes passes again.

``FOLDLOG_RANDOM=1`` draws new ones at each run.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "seeded", settings.get_profile("patient"), derandomize=True, database=None
)
settings.load_profile("patient" if os.environ.get("FOLDLOG_RANDOM") else "seeded")
