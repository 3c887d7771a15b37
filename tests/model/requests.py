"""The world with requests and replies: appends travel to the owner of the partition.

A request is read by whoever owns the partition, at any time later, and again by the next owner
until its offset is committed. An owner may lose the partition while it lives: what its callers
wait for is then handed over as requests, under the same append ids, while records of its old
session may still land. There are no clocks: a deadline may pass at any moment, at one owner and
not at another. A reply is lost with its owner, or read late, doubled or never.
"""

from collections.abc import Iterable, Iterator

from tests.model.ingredients import Ingredient
from tests.model.log import Head
from tests.model.post import Hand, Reply, Request
from tests.model.world import State, Step, World, answered, with_writer
from tests.model.writer import Answer, Writer

LOST = "nobody will ever answer a request"


class RequestWorld(World):
    """All that may happen to appends of this process and of others."""

    def violation(self, state: State) -> str | None:
        """What is wrong, if anything."""
        return super().violation(state) or (LOST if state.post.lost() else None)

    def steps(self, state: State) -> Iterator[Step]:
        """All that may happen next."""
        yield from super().steps(state)
        yield from self._sends(state)
        yield from self._reads_replies(state)
        for writer in state.writers:
            if writer.serving:
                hand = state.post.hand(writer.id)
                yield from self._takes(state, hand)
                yield from self._commits(state, hand)
                for offset in sorted(hand.held):
                    yield from self._answers(state, writer, hand, offset)

    def _local(self, state: State) -> Iterable[int]:
        """Of an append that was handed over or sent, only the owner is asked."""
        sent = {request.command for request in state.post.requests}
        return [number for number in super()._local(state) if number not in sent]

    def dropped(self, state: State, writer: Writer, why: str) -> Step:
        """It forgets the requests that it holds; the next owner reads them again."""
        what, after = super().dropped(state, writer, why)
        return what, after._replace(post=after.post.without(writer.id))

    # clients

    def _sends(self, state: State) -> Iterator[Step]:
        """A client sends a request, for the first time or again, or a process hands one over."""
        post = state.post
        if len(post.requests) == self.bounds.requests:
            return
        for number in range(len(state.told)):
            again = any(request.command == number for request in post.requests)
            handed_over = state.told[number].asked and not again
            trusted = not again and not self._is_looked_up(state, number)
            what = "hands over" if handed_over else "sends"
            request = Request(number, first_try=trusted)
            after = state._replace(post=post._replace(requests=(*post.requests, request)))
            yield (
                f"a client {what} append {number}, as request {len(post.requests)}",
                answered(after, number, asked=True),
            )

    def _is_looked_up(self, state: State, number: int) -> bool:
        """The protocol looks every id up; what lacks that believes what had no answer yet."""
        told = state.told[number]
        if not self.asked(state, number):
            return self._has(Ingredient.FORWARDED_IS_LOOKED_UP)
        answered = told.applied is not None or told.refused
        in_hand = any(self.protocol.in_flight(writer, number) for writer in state.writers)
        return answered or in_hand or self._has(Ingredient.HANDED_OVER_IS_LOOKED_UP)

    def _reads_replies(self, state: State) -> Iterator[Step]:
        for reply in sorted(state.post.replies, key=lambda each: each.request):
            for number in self._taken_for(state, reply):
                after = answered(state, number, applied=reply.applied, refused=reply.refused)
                if after != state:
                    what = f"reads the reply to {reply.request}"
                    yield f"the client of append {number} {what}", after

    def _taken_for(self, state: State, reply: Reply) -> Iterable[int]:
        """The commands whose clients take the reply for theirs."""
        number, ids = state.post.requests[reply.request].command, self.protocol.ids
        if self._has(Ingredient.REPLY_OF_ITS_REQUEST):
            return [number]
        sent = {request.command for request in state.post.requests}
        return sorted(each for each in sent if ids[each] == ids[number])

    # owners

    def _takes(self, state: State, hand: Hand) -> Iterator[Step]:
        if hand.next < len(state.post.requests):
            taken = hand._replace(next=hand.next + 1, held=hand.held | {hand.next})
            yield (
                f"writer {hand.writer} takes request {hand.next}",
                state._replace(post=state.post.with_hand(taken)),
            )

    def _commits(self, state: State, hand: Hand) -> Iterator[Step]:
        """Up to the first request without a reply."""
        committed, held = state.post.committed, hand.held
        if not self._has(Ingredient.OFFSET_AFTER_REPLY):
            held = frozenset[int]()
        open_ones = {each for each in held if each >= committed}
        done = min(open_ones, default=hand.next)
        if not self._has(Ingredient.OFFSETS_IN_ORDER):
            done = max(set(range(committed, hand.next)) - open_ones, default=committed - 1) + 1
        if done > committed:
            yield (
                f"writer {hand.writer} commits the requests before {done}",
                state._replace(post=state.post._replace(committed=done)),
            )

    def _answers(self, state: State, writer: Writer, hand: Hand, offset: int) -> Iterator[Step]:
        request = state.post.requests[offset]
        number = request.command
        first_try = request.first_try and offset not in hand.tried
        answer = self.protocol.ask(writer, number, first_try=first_try)
        if first_try:
            hand = hand._replace(tried=hand.tried | {offset})
        if answer is not None:
            yield self._answer(state, hand, offset, answer, sent_before=writer)
        applied = writer.memory.applied[self.protocol.ids[number]]
        known = applied is not None or self.protocol.in_flight(writer, number)
        if not known or not self._has(Ingredient.APPLIED_BEFORE_DEADLINE):
            yield from self._expires(state, writer, hand, offset)

    def _answer(
        self, state: State, hand: Hand, offset: int, answer: Answer, *, sent_before: Writer
    ) -> Step:
        """The owner decides, and replies if that is final."""
        number = state.post.requests[offset].command
        after, reply = with_writer(state, answer.writer), None
        if state.post.hand(hand.writer) != hand:
            after = after._replace(post=after.post.with_hand(hand))
        what = "keeps what was looked up for"
        if answer.applied is not None:
            what, reply = "replies what became of", Reply(offset, applied=answer.applied)
        elif answer.refused:
            what, reply = "refuses", Reply(offset, refused=True)
        elif answer.writer.sent != sent_before.sent:
            what = "sends"
            if not self._has(Ingredient.REPLY_ACKNOWLEDGED):
                sent = answer.writer.sent[-1]
                last_offset = answer.writer.claim_offset + sent.last_sequence
                reply = Reply(offset, applied=Head(sent.version, last_offset))
        if reply is not None:
            after = after._replace(post=after.post.replied(hand, reply))
        return f"writer {hand.writer} {what} request {offset} (append {number})", after

    def _expires(self, state: State, writer: Writer, hand: Hand, offset: int) -> Iterator[Step]:
        """Its deadline has passed, or its version lies ahead, or there is no room: unknown."""
        number = state.post.requests[offset].command
        ahead = self.protocol.lies_ahead(writer, number)
        refused = not self._has(Ingredient.EXPIRED_IS_UNKNOWN) or (
            ahead and not self._has(Ingredient.AHEAD_IS_UNKNOWN)
        )
        reply = Reply(offset, refused=refused)
        yield (
            f"writer {hand.writer} replies that request {offset} is "
            + ("refused" if refused else "unknown"),
            state._replace(post=state.post.replied(hand, reply)),
        )
