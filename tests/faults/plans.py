"""The campaigns that prove the write side, by name, and those that prove the checker."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tests.faults.campaign import Plan
from tests.faults.nemesis import BROKERS, DATABASE, STRANGERS, WORKERS, Harm

OFTEN: Final = (0.4, 1.5)
RARELY: Final = (1.0, 3.0)
AT_ONCE: Final = (0.05, 0.4)

CAMPAIGNS: Final[Mapping[str, Plan]] = {
    plan.name: plan
    for plan in (
        Plan("processes", harm=Harm({**WORKERS, **DATABASE}, OFTEN), clients=1),
        Plan("strangers", harm=Harm({**WORKERS, **STRANGERS, "steal": 12}, OFTEN), clients=1),
        Plan("fights", harm=Harm({**STRANGERS, "blink": 3, "kill": 1}, AT_ONCE), sole=True),
        Plan("broker", harm=Harm({**WORKERS, **BROKERS, **DATABASE}, RARELY)),
        Plan(
            "leaders", harm=Harm({**BROKERS, "kill": 3, "pause": 2}, RARELY), brokers=3, clients=1
        ),
        Plan("everything", harm=Harm({**WORKERS, **STRANGERS, **BROKERS}, OFTEN), brokers=3),
    )
}
"""Each with its faults; the seed and the length are given when it is run."""

USURPED: Final = Plan("usurped", harm=Harm({"usurp": 1, "litter": 1}, AT_ONCE), workers=1)
FOUGHT_OVER: Final = Plan("fought over", harm=Harm({"steal": 2, "blink": 1}, AT_ONCE), workers=2)

MUTANTS: Final[Mapping[str, Plan]] = {
    name: replace(plan, name=name, sabotaged=name, sole=True, pause_ms=5.0)
    for name, plan in {
        "contiguity": USURPED,
        "acknowledgement": USURPED,
        "answers_after_doubt": USURPED,
        "append_ids": USURPED,
        "new_epoch_after_doubt": replace(USURPED, harm=Harm({"litter": 1}, AT_ONCE)),
        "reading_up_to_the_claim": FOUGHT_OVER,
        "look_ups_of_append_ids": replace(
            FOUGHT_OVER, harm=Harm({"kill": 1, "restart": 1}, OFTEN, workers_down=(0.0, 0.2))
        ),
        "committed_heads": replace(
            FOUGHT_OVER,
            harm=Harm({"steal": 1}, AT_ONCE),
            failpoint="before_send:sleep:0.3:0.1@1",
            streams=1,
            partitions=1,
            threads=6,
        ),
    }.items()
}
"""For each ingredient that is taken away, the campaign that must tell."""
MUTANT_SECONDS: Final = 5.0
