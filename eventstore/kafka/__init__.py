"""Kafka as the log: the only package that knows confluent-kafka."""
