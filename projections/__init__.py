"""The read side: projections, and the projector that keeps read models exactly once."""
