"""The errors of the flights example.

FlightsError
├── SourceError     a file of flights cannot be read at all
└── RowError      one row breaks a rule; the others go in
"""


class FlightsError(Exception):
    """Any error of the flights example."""


class SourceError(FlightsError):
    """A file of flights cannot be read at all."""


class RowError(FlightsError):
    """One row breaks a rule, or cannot be read; the message is the reason."""
