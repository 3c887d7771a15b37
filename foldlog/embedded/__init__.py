"""Real Kafka and PostgreSQL without Docker, from packages."""
