"""Appends whose records do not stand side by side: a stranger's came in between, as they may."""

from uuid import UUID

from tests.bank import Account, AccountOpened, MoneyDeposited
from tests.bank_store import answer, deposit, open_store
from tests.raw_log import dump
from tests.scripted_log import ScriptedLog


def test_they_are_read_and_answered_as_they_stand(kafka: str, postgres: str) -> None:
    log = ScriptedLog(kafka, Account.topic)
    writer = log.claim()
    opened = [AccountOpened(owner="Alice"), MoneyDeposited(amount=1), MoneyDeposited(amount=2)]
    offsets = log.append(writer, "alice", opened, litter=True)
    more = log.append(writer, "alice", [MoneyDeposited(amount=3)] * 2, litter=True)
    assert offsets == [1, 3, 4]
    ids = [
        UUID(bytes=record.header.append)
        for record in dump(kafka, Account.topic, 1)[0]
        if record.header is not None and record.offset in {offsets[0], more[0]}
    ]
    for after_checkpoint in (False, True):
        with open_store(kafka, postgres, partitions=1) as store:
            found = list(store.read(Account.topic, "alice"))[:5]
            assert [each.event for each in found] == [*opened, *[MoneyDeposited(amount=3)] * 2]
            for append_id, expected in zip(ids, (offsets, more), strict=True):
                applied = store.applied(Account.topic, "alice", append_id)
                assert applied is not None
                assert [each.offset for each in applied.positions] == expected
                again = answer(store, deposit("alice", append_id=append_id))
                assert again == applied
            version = 5 + after_checkpoint
            assert answer(store, deposit("alice", version)).version == version + 1
