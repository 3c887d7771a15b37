"""Existing aggregates, one after the other: load, decide, save."""

import json
import sys
from typing import Any

from benchmarks import bank
from benchmarks.editing import Edited, edit_all
from benchmarks.ours.opened import application
from benchmarks.payments import Payment


def main() -> None:
    """Run one job; print edits per second, and what the accounts hold in the end."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    with application(job) as app:
        accounts = app.repository(bank.Account)

        def edit(name: str, paid: Payment) -> None:
            with accounts.edit(name) as account:
                account.pay(paid)

        def found(name: str) -> Edited:
            account = accounts.get(name)
            return Edited(account.version, account.balance)

        print(json.dumps(edit_all(job, edit, found)))


if __name__ == "__main__":
    main()
