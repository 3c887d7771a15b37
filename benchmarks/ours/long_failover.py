"""Kills the writer of a partition with a long log behind it, while another stands by."""

import json
import sys
import time
from typing import Any

from benchmarks import bank
from benchmarks.ours.failover import Load, longest
from benchmarks.ours.opened import application
from benchmarks.processes import WriterProcess, members, wait_for_members, writers
from eventstore.store import ANY, Append


def main() -> None:
    """Run one job; print what the caller noticed."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    where = (job["kafka"], job["postgres"], job["topic"])
    with application({**job, "role": "client"}) as app, writers(*where, 2) as running:
        app.store.submit(Append(job["topic"], "account-0", [bank.event(0, 2)], ANY)).result()
        with Load(app.store, job["topic"], job["partitions"]) as load:
            wait_for_members(job["kafka"], job["topic"], running)
            time.sleep(job["quiet_seconds"])
            owned = members(job["kafka"], job["topic"])
            victim = next(each for each in running if owned[each.pid])
            since = time.perf_counter()
            running.remove(victim)
            victim.kill()
            wait_for_members(job["kafka"], job["topic"], running)
            time.sleep(job["quiet_seconds"])
            found = longest(load.answers(since))
            running.append(WriterProcess(*where))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
