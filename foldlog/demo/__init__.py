"""Examples that run on real data, shipped with the toolkit."""
