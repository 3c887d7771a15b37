"""A row projection that catches up from an empty read model."""

import json
import sys
import time
from typing import Any

from benchmarks.ours.opened import Parts


def main() -> None:
    """Run one job; print events per second."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    model = Parts(job).read_model()
    model.prepare()
    started = time.perf_counter()
    model.catch_up()
    seconds = time.perf_counter() - started
    print(json.dumps({"value": job["events"] / seconds}))


if __name__ == "__main__":
    main()
