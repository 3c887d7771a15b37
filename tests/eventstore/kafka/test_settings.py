"""Settings of the Kafka clients: what may be set, what may not, what is never told."""

import pytest

from eventstore.errors import ConfigurationError
from eventstore.kafka.settings import KafkaSettings

CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    "name",
    [
        "acks",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.idempotence",
        "enable.ssl.certificate.verification",
        "group.id",
        "isolation.level",
        "max.in.flight",
        "partitioner",
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
        "sasl.oauthbearer.token.endpoint.url",
        "ssl.endpoint.identification.algorithm",
        "ssl.engine.location",
    ],
)
def test_an_option_that_breaks_a_guarantee_or_runs_code_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"found '{name}'"):
        KafkaSettings("localhost:9092", {name: CANARY})


def test_options_of_the_connection_are_taken() -> None:
    options = {"security.protocol": "plaintext", "client.id": "bank", "socket.timeout.ms": 5000}
    settings = KafkaSettings("localhost:9092", options)
    settings.producer()
    settings.consumer().close()
    settings.consumer("single").close()


def test_a_secret_is_never_told() -> None:
    options = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": CANARY,
        "sasl.password": CANARY,
        "sasl.username": "bank",
    }
    settings = KafkaSettings("localhost:9092", options)
    assert CANARY not in repr(settings)
    assert "sasl.password" in repr(settings)
    for make in (settings.producer, settings.consumer, settings.admin):
        with pytest.raises(ConfigurationError) as raised:
            make()
        assert CANARY not in str(raised.value)
        assert raised.value.__cause__ is None


def test_a_broker_that_does_not_answer_is_an_error_that_names_the_address_and_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eventstore.kafka.settings.CONNECT_SECONDS", 0.5)
    told = r"Kafka at 127\.0\.0\.1:1; no broker answered within 0\.5 s .* `foldlog dev`"
    with pytest.raises(ConfigurationError, match=told):
        KafkaSettings("127.0.0.1:1").reach()


def test_an_empty_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="FOLDLOG_KAFKA"):
        KafkaSettings(" ")
