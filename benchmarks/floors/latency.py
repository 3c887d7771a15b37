"""Prepared records sent at an even rate by the bare client: the latency of each delivery report.

The records are those of `benchmarks/floors/append_single.py`.
"""

import gc
import json
import sys
from functools import partial
from threading import Event, Thread
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from benchmarks.floors.append_single import PRODUCER, Job, Prepared, prepare
from benchmarks.open_loop import Latencies


class Floor:
    """A producer, and a thread that takes its reports."""

    def __init__(self, kafka: str, topic: str) -> None:
        self.topic = topic
        self.producer = Producer({**PRODUCER, "bootstrap.servers": kafka})
        self.ended = Event()
        self.thread = Thread(target=self.poll)
        self.thread.start()

    def poll(self) -> None:
        """Take reports as they come."""
        while not self.ended.is_set():
            self.producer.poll(0.05)

    def run(self, records: list[Prepared], rate: float) -> Latencies:
        """Send all at this rate."""
        found = Latencies(rate, len(records))

        def delivered(number: int, error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                raise RuntimeError(error.str())
            found.answered(number)

        def send(number: int) -> None:
            value, key, partition, header = records[number]
            headers: list[tuple[str, str | bytes | None]] = [("foldlog", header)]
            report = partial(delivered, number)
            self.producer.produce(self.topic, value, key, partition, report, None, 0, headers)

        found.send_evenly(send)
        found.wait()
        return found


def main() -> None:
    """Run one job; print the latencies in milliseconds."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    rate, seconds = asked.pop("rate"), asked.pop("seconds")
    warm = 2_000
    job = Job(**asked, prefix="even-", appends=int(warm + rate * seconds), streams=1_000, warm=warm)
    records = prepare(job)
    gc.freeze()
    floor = Floor(job.kafka, job.topic)
    floor.run(records[:warm], rate)
    found = floor.run(records[warm:], rate)
    floor.ended.set()
    floor.thread.join()
    print(json.dumps(found.milliseconds()))


if __name__ == "__main__":
    main()
