"""What the writer remembers in PostgreSQL: checkpoints, heads and append ids."""
