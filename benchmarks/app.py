"""The application that `foldlog writers` runs for the benchmarks; its topic is BENCH_TOPIC."""

import os

from benchmarks.bank import Account
from foldlog import App

TOPIC = "BENCH_TOPIC"

Account.topic = os.environ.get(TOPIC, "accounts")
app = App(aggregates=[Account], durability="single")
