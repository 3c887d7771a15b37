"""Existing aggregates, one after the other: load, decide, save."""

import json
import sys
from typing import Any

from benchmarks.editing import Edited, edit_all
from benchmarks.payments import Payment, names, payment
from benchmarks.peer.accounts import Account, application, id_of

EVENTS = 10


def main() -> None:
    """Run one job; print edits per second, and what the accounts hold in the end."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    bank = application(job)
    for number, name in enumerate(names(job["prefix"], job["accounts"])):
        account = Account(name, f"Owner {number}")
        for n in range(1, EVENTS):
            account.pay(payment(n))
        bank.save(account)

    def edit(name: str, paid: Payment) -> None:
        account: Account = bank.repository.get(id_of(name))
        account.pay(paid)
        bank.save(account)

    def found(name: str) -> Edited:
        account: Account = bank.repository.get(id_of(name))
        return Edited(account.version, account.balance)

    print(json.dumps(edit_all(job, edit, found)))
    bank.close()


if __name__ == "__main__":
    main()
