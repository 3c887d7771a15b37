"""What the bytes mean: events as Avro."""
