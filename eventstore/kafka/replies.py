"""Hears the replies to this process's requests, on a thread of its own.

Of each reply topic one partition is read, chosen at random and from its end: what was sent to
those who read it before, or beside us, is told apart by its key.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from eventstore.defaults import CONNECT_SECONDS
from eventstore.errors import UnreadablePartition
from eventstore.kafka._trouble import Trouble
from eventstore.kafka.request_format import Reply, unpack_reply
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import replies_topic

POLL_SECONDS: Final = 0.1
"""Seconds between two looks at what else is to be done."""


class Replies:
    """Reads reply topics; ``heard`` is called on its thread for each reply to ``reader``."""

    def __init__(
        self, settings: KafkaSettings, reader: bytes, heard: Callable[[Reply], None]
    ) -> None:
        self._reader = reader
        self._heard = heard
        self._opening: queue.SimpleQueue[tuple[TopicPartition, Future[None]]] = queue.SimpleQueue()
        self._trouble = Trouble()
        self._closing = False
        self._consumer: Consumer = settings.consumer("replies")
        self._thread = threading.Thread(target=self._run, name="foldlog replies", daemon=True)

    def open(self, topic: str, ends: Mapping[int, int]) -> int:
        """Begin to read the replies about ``topic``; gives the partition that they must go to.

        ``ends`` are the offsets at which the partitions of the reply topic end now.

        Raises:
            UnreadablePartition: The client refuses.
        """
        partition = random.choice([*ends])  # noqa: S311
        where = TopicPartition(replies_topic(topic), partition, ends[partition])
        opened: Future[None] = Future()
        self._opening.put((where, opened))
        if not self._thread.is_alive():
            self._thread.start()
        try:
            opened.result(CONNECT_SECONDS)
        except TimeoutError as error:
            why = f"no answer of the client within {CONNECT_SECONDS:g} s"
            raise UnreadablePartition(where.topic, partition, why) from error
        return partition

    def close(self, seconds: float) -> None:
        """End, after at most ``seconds``."""
        self._closing = True
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closing:
            self._open()
            try:
                message = self._consumer.poll(POLL_SECONDS)
            except KafkaException as error:
                self._trouble.warn("replies could not be read", error)
                time.sleep(POLL_SECONDS)
            else:
                if message is not None:
                    self._take(message)
        self._consumer.close()

    def _take(self, message: Message) -> None:
        error, value = message.error(), message.value()
        if error is not None:
            self._trouble.warn("replies could not be read", error.str())
        elif message.key() == self._reader and value is not None:
            reply = unpack_reply(value)
            if reply is not None:
                self._heard(reply)

    def _open(self) -> None:
        """Assign what is new; by another thread, while this one polls, the client would hang."""
        while not self._opening.empty():
            where, opened = self._opening.get()
            try:
                self._consumer.incremental_assign([where])
            except KafkaException as error:
                explained = UnreadablePartition(where.topic, where.partition, str(error))
                opened.set_exception(explained)
            else:
                opened.set_result(None)
