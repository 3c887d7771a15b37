"""Servers for the tests of one class together: of a contract, whose tests do not meet."""

from collections.abc import Iterator
from typing import Any

import pytest

from foldlog.pytest_plugin import Servers, own_database


@pytest.fixture(scope="class")
def class_servers(
    foldlog_stack: Servers, _foldlog_topics: Any, _foldlog_template: Any
) -> Iterator[Servers]:
    """Kafka without topics, and a database of the class's own."""
    _foldlog_topics.delete()
    with own_database(_foldlog_template) as postgres:
        yield Servers(foldlog_stack.kafka, postgres)
