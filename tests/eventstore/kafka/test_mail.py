"""The producer of requests and replies: what becomes of each letter is told, and nothing raised."""

import pytest

from eventstore.kafka.mail import Mail
from eventstore.kafka.settings import KafkaSettings


@pytest.mark.parametrize("partition", [2**31, 2**32 - 1])
def test_a_letter_to_a_partition_that_no_topic_can_have_is_reported(
    kafka: str, partition: int
) -> None:
    mail, told = Mail(KafkaSettings(kafka)), list[str | None]()
    mail.send("accounts.replies", partition, b"reader", b"{}", reported=told.append)
    mail.close()
    assert len(told) == 1
    assert told[0]
