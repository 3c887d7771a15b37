"""Opens the accounts that are edited afterwards, ten events each."""

import json
import sys
from concurrent.futures import Future
from typing import Any

from benchmarks import bank
from benchmarks.ours.opened import application
from benchmarks.payments import names, payment
from eventstore.store import Appended

EVENTS = 10


def main() -> None:
    """Run one job; print how many accounts there are."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    with application(job) as app:
        accounts = app.repository(bank.Account)
        futures: list[Future[Appended]] = []
        for number, name in enumerate(names(job["prefix"], job["accounts"])):
            account = bank.Account.open(name, f"Owner {number}")
            for n in range(1, EVENTS):
                account.pay(payment(n))
            futures.append(accounts.submit(account))
        for future in futures:
            future.result()
    print(json.dumps({"value": len(futures)}))


if __name__ == "__main__":
    main()
