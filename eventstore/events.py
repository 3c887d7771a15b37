"""Events: facts, in the past tense, that never change."""

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """A fact; being written."""

    model_config = ConfigDict(frozen=True, extra="forbid")
