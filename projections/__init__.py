"""The read side: projections, and the projector that keeps read models exactly once."""

from projections.errors import (
    GenerationError,
    InvalidProjection,
    InvalidRow,
    LogChanged,
    PositionError,
    ProjectionChanged,
    ProjectionError,
    ProjectionStopped,
    ProjectorFenced,
    Stop,
    SwitchFailed,
    TransactionEnded,
    UnfinishedRebuild,
    ViewError,
)
from projections.folding import folded
from projections.generations import Generation
from projections.lag import Lag
from projections.progress import Progress
from projections.projection import (
    DELETE,
    AnyProjection,
    Delete,
    Projection,
    RowProjection,
    SqlProjection,
)
from projections.read_model import ReadModel
from projections.rebuild import Rebuilt

__all__ = [
    "DELETE",
    "AnyProjection",
    "Delete",
    "Generation",
    "GenerationError",
    "InvalidProjection",
    "InvalidRow",
    "Lag",
    "LogChanged",
    "PositionError",
    "Progress",
    "Projection",
    "ProjectionChanged",
    "ProjectionError",
    "ProjectionStopped",
    "ProjectorFenced",
    "ReadModel",
    "Rebuilt",
    "RowProjection",
    "SqlProjection",
    "Stop",
    "SwitchFailed",
    "TransactionEnded",
    "UnfinishedRebuild",
    "ViewError",
    "folded",
]
