"""The write side: events, aggregates, their repository, and the stores that keep them."""
