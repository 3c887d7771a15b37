"""Which appends are decided here and which travel, as partitions move: one step after the other."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from eventstore.kafka.messages import Encoder
from eventstore.kafka.ownership import Taken
from eventstore.kafka.partition import Partition, Phase
from eventstore.kafka.records import encode
from eventstore.kafka.request_format import Reply, Request
from eventstore.kafka.requests import AppendRequest
from eventstore.kafka.routing import Routing
from eventstore.kafka.transport import Transport
from eventstore.postgres.checkpoints import PartitionKey
from tests.bank import Account
from tests.bank_store import deposit
from tests.scripted_log import ScriptedLog

TOPIC = Account.topic
OURS, OTHERS = frozenset([0]), frozenset[int]()


class Steps:
    """The routing of a process to one partition, which the test moves and answers for."""

    def __init__(self, kafka: str) -> None:
        log = ScriptedLog(kafka, TOPIC)
        info = log.topics.check(TOPIC)
        log.topics.ensure_mail(info)
        self.encoder = Encoder(log.registry)
        key = PartitionKey(TOPIC, info.topic_id, 0)
        transport = Transport(log.settings)
        self.partition = Partition(key, 1, encoder=self.encoder, transport=transport)
        self.routing: Any = Routing(
            log.settings,
            log.topics,
            self.encoder,
            role="writer",
            partition=lambda _topic, _number: self.partition,
            tell=lambda call: call(),
        )
        self.routing._forwarding.reply_partitions[TOPIC] = 0
        self.move(OTHERS)

    def move(self, owned: frozenset[int]) -> None:
        self.routing._own(TOPIC, owned)

    def append(self) -> AppendRequest:
        request = AppendRequest(deposit("alice"), 0)
        self.routing.route(request)
        return request

    def append_of_another(self) -> None:
        [append] = encode(self.encoder, [deposit("bob")])
        request = Request(append, time.time() + 60, b"another!", 1, 0)
        self.routing._accept(TOPIC, Taken(request, 0, 0))

    def answer(self, request: AppendRequest) -> None:
        """By the process that it travelled to."""
        number = self.travelling()[request]
        facts = {"version": 1, "offsets": {"first": 7, "last": 7}, "repeated": False}
        self.routing._heard(Reply(number, "appended", facts))

    def attend(self) -> None:
        self.routing.attend([self.partition])

    def travelling(self) -> dict[AppendRequest, int]:
        return {request: number for number, request in self.routing._forwarding._pending.items()}

    def to_be_decided_here(self) -> list[AppendRequest]:
        return [each for each in self.partition.waiting if not each.forwarded]


@pytest.fixture
def steps(kafka: str) -> Iterator[Steps]:
    found = Steps(kafka)
    yield found
    found.routing._mail.close()


def test_an_append_waits_for_those_that_travel_when_its_partition_becomes_ours(
    steps: Steps,
) -> None:
    """Also when somebody else's append is already to be decided here."""
    first = steps.append()
    assert first in steps.travelling()
    steps.move(OURS)
    steps.append_of_another()
    second = steps.append()
    steps.attend()
    assert second not in steps.travelling()
    assert not steps.to_be_decided_here()
    steps.answer(first)
    steps.attend()
    assert steps.to_be_decided_here() == [second]


def test_an_append_travels_behind_those_that_do_when_its_partition_comes_and_goes(
    steps: Steps,
) -> None:
    """While what others asked is still to be answered here, and the partition is not at rest."""
    first = steps.append()
    steps.move(OURS)
    steps.append_of_another()
    steps.partition.phase = Phase.CLAIMING
    steps.move(OTHERS)
    second = steps.append()
    steps.move(OURS)
    third = steps.append()
    steps.attend()
    assert list(steps.travelling()) == [first, second]
    assert not steps.to_be_decided_here()
    for each in (first, second):
        steps.answer(each)
    steps.attend()
    assert steps.to_be_decided_here() == [third]


def test_an_append_waits_behind_what_is_to_be_given_away(steps: Steps) -> None:
    steps.move(OURS)
    first = steps.append()
    steps.partition.phase = Phase.CLAIMING
    steps.move(OTHERS)
    second = steps.append()
    assert not steps.travelling()
    steps.partition.pause()
    steps.attend()
    assert list(steps.travelling()) == [first, second]
