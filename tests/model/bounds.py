"""How much may happen in a world of the model."""

from dataclasses import dataclass

from tests.model.log import Command


@dataclass(frozen=True)
class Bounds:
    """How much may happen; within it, everything is tried."""

    commands: tuple[Command, ...]
    writers: int = 2
    claims: int = 3
    faults: int = 0
    """Records that a session loses, repeats or reorders."""
    checkpoints: int = 0
    restores: int = 0
    """How often the database goes back to an earlier state."""
    forgetting: bool = False
    """Whether writers forget what the checkpoint holds."""
    few: int = 0
    """Heads that are all loaded with their checkpoint, if there are not more."""
    requests: int = 0
    """How often clients put an append on the request topic."""
    shared: bool = False
    """Two partitions, the sessions on which share a producer."""
    losses: int = 0
    """Claims that the log loses while nobody was told of what followed them."""
    doubts: int = 0
    """Without `NEW_EPOCH`: how often a writer sends again in its epoch."""

    def told(self) -> str:
        """The bounds in words, without what is none."""
        commands = [each.told() for each in self.commands]
        more = {
            "records lost, repeated or reordered": self.faults,
            "requests": self.requests,
            "checkpoints": self.checkpoints,
            "restored databases": self.restores,
            "heads loaded": self.few,
            "lost claims": self.losses,
        }
        shared = ["two partitions that share producers"] * self.shared
        said = [*shared, f"{self.writers} writers", f"{self.claims} claims", *commands]
        return ", ".join(said + [f"{number} {what}" for what, number in more.items() if number])
