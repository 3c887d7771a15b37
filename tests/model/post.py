"""The post of the model: requests that wait for the partition's owner, and replies to them."""

from typing import NamedTuple

from tests.model.log import Applied


class Request(NamedTuple):
    """An append on the request topic."""

    command: int
    first_try: bool = False
    """Without some ingredient: it claims that nobody can have sent the append before."""


class Reply(NamedTuple):
    """A reply that is in the reply topic for good; neither applied nor refused: unknown."""

    request: int
    """The request's offset."""
    applied: Applied | None = None
    refused: bool = False


class Hand(NamedTuple):
    """The requests that an owner has taken."""

    writer: int
    next: int
    """The offset of the request that it takes next."""
    held: frozenset[int] = frozenset()
    """Offsets of those to which its reply is not acknowledged yet."""
    tried: frozenset[int] = frozenset()
    """Offsets of those whose claim to be a first try it has believed: it does so once."""


class Post(NamedTuple):
    """The request topic, what its owners hold, and the replies; each is read late, or never."""

    requests: tuple[Request, ...] = ()
    committed: int = 0
    """The group's offset: whoever owns the partition next begins there."""
    hands: tuple[Hand, ...] = ()
    replies: frozenset[Reply] = frozenset()

    def hand(self, writer: int) -> Hand:
        """What an owner holds: nothing, before it has taken its first request."""
        return next((each for each in self.hands if each.writer == writer), None) or Hand(
            writer, self.committed
        )

    def without(self, writer: int) -> "Post":
        """An owner lost the partition, or its life: what it held is forgotten."""
        return self._replace(hands=tuple([each for each in self.hands if each.writer != writer]))

    def with_hand(self, hand: Hand) -> "Post":
        """An owner's hand has changed."""
        others = [each for each in self.hands if each.writer != hand.writer]
        return self._replace(hands=tuple(sorted((*others, hand), key=lambda each: each.writer)))

    def replied(self, hand: Hand, reply: Reply) -> "Post":
        """An owner's reply is acknowledged."""
        done = hand._replace(held=hand.held - {reply.request})
        return self.with_hand(done)._replace(replies=self.replies | {reply})

    def lost(self) -> bool:
        """A request was never answered, and nobody holds it or will read it."""
        answered = {reply.request for reply in self.replies}
        held = frozenset[int]().union(*[hand.held for hand in self.hands])
        return any(each not in answered | held for each in range(self.committed))
