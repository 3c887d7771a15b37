"""Ten events at a time, saved: new aggregates, each with its ten events pending."""

import gc
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.payments import payment
from benchmarks.peer.accounts import Account, Bank, application


def run(bank: Bank, accounts: list[Account], threads: int) -> float:
    """Save all; seconds until the last is saved."""
    started = time.perf_counter()
    if threads == 1:
        for account in accounts:
            bank.save(account)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(bank.save, accounts):
                pass
    return time.perf_counter() - started


def account_of(job: dict[str, Any], number: int) -> Account:
    """One account and what is pending in it."""
    account = Account(f"{job['prefix']}{number}", f"Owner {number % 1000}")
    for n in range(1, job["events"]):
        account.pay(payment(number * job["events"] + n))
    return account


def main() -> None:
    """Run one job; print events per second."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    accounts = [account_of(job, number) for number in range(job["appends"])]
    warm, threads = job["warm"], job["threads"]
    gc.freeze()  # what was prepared is not the work that is measured
    bank = application(job)
    run(bank, accounts[:warm], threads)
    seconds = run(bank, accounts[warm:], threads)
    events = bank.recorder.max_notification_id()
    print(json.dumps({"value": (len(accounts) - warm) * job["events"] / seconds, "events": events}))
    bank.close()


if __name__ == "__main__":
    main()
