"""The repository for asyncio: the same steps, awaited.

Appends await the store's own futures. What blocks (loading, and handing over an append while
512 are in flight) runs in the event loop's threads, as `asyncio.to_thread` has them.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore._steps import check_attempts, check_decided, nothing, nothing_sent
from eventstore.aggregates import Aggregate
from eventstore.errors import ConcurrencyError
from eventstore.metadata import Metadata
from eventstore.repository import Repository
from eventstore.store import Appended

A = TypeVar("A", bound=Aggregate[Any])


class AsyncRepository(Generic[A]):
    """A repository for asyncio, with the same methods and errors as the one that it is made of.

    ``AsyncRepository(Repository(store, Account))``, or `App.async_repository`.

    **A cancelled append is an unknown outcome, never a retraction**: once it was handed over it
    goes on, and nobody here learns what came of it. Where that may happen (a timeout, a client
    that went away), give an append id, and repeat the call with it.
    """

    def __init__(self, repository: Repository[A]) -> None:
        self._repository = repository
        self._steps = repository.steps

    def __repr__(self) -> str:
        return f"AsyncRepository({self._repository!r})"

    async def get(
        self,
        id: str | UUID,  # noqa: A002 - the word users know it by
        *,
        version: int | None = None,
        at: datetime | None = None,
    ) -> A:
        """Load an aggregate; see `Repository.get`."""
        return await asyncio.to_thread(self._steps.get, id, version, at)

    async def save(
        self, aggregate: A, *, append_id: UUID | None = None, metadata: Metadata | None = None
    ) -> Appended:
        """Append what is pending, and move the aggregate's version on; see `Repository.save`.

        If it is cancelled, the aggregate is as before: load it again, or save it with the same
        append id.
        """
        append = self._steps.append(aggregate, append_id, metadata)
        if append is None:
            return nothing(aggregate)
        appended = await _answer(await asyncio.to_thread(self._steps.send, append))
        if appended.repeated:
            await asyncio.to_thread(self._steps.settle, aggregate, append, appended)
        else:
            self._steps.settle(aggregate, append, appended)
        return appended

    async def submit(
        self, aggregate: A, *, append_id: UUID | None = None, metadata: Metadata | None = None
    ) -> "asyncio.Future[Appended]":
        """Append what is pending, and give a future of the answer; see `Repository.submit`.

        It is awaited for room alone: while 512 appends are in flight. Cancelling the future
        retracts nothing.
        """
        append = self._steps.append(aggregate, append_id, metadata)
        if append is None:
            return _answer(nothing_sent(aggregate))
        future = await asyncio.to_thread(self._steps.send, append)
        self._steps.move_on(aggregate, append, future)
        return _answer(future)

    @asynccontextmanager
    async def edit(
        self,
        id: str | UUID,  # noqa: A002
        *,
        append_id: UUID | None = None,
        metadata: Metadata | None = None,
    ) -> AsyncGenerator[A, None]:
        """Load an aggregate, and save it when the block ends; see `Repository.edit`."""
        aggregate = await asyncio.to_thread(self._steps.load_to_edit, id, append_id)
        yield aggregate
        await self.save(aggregate, append_id=append_id, metadata=metadata)

    async def execute(
        self,
        id: str | UUID,  # noqa: A002
        command: Callable[[A], object],
        *,
        append_id: UUID | None = None,
        attempts: int = 1,
        metadata: Metadata | None = None,
    ) -> Appended:
        """Load an aggregate, let ``command`` change it, and save it; see `Repository.execute`.

        The command may be a coroutine function: it is awaited between loading and saving.
        """
        check_attempts(attempts)
        for _ in range(attempts - 1):
            with suppress(ConcurrencyError):
                return await self._execute_once(id, command, append_id, metadata)
        return await self._execute_once(id, command, append_id, metadata)

    async def _execute_once(
        self,
        id_: str | UUID,
        command: Callable[[A], object],
        append_id: UUID | None,
        metadata: Metadata | None,
    ) -> Appended:
        found = await asyncio.to_thread(self._steps.load, id_, append_id)
        if isinstance(found, Appended):
            return found
        result = command(found)
        if inspect.isawaitable(result):
            result = await result
        check_decided(result)
        return await self.save(found, append_id=append_id, metadata=metadata)


def _answer(future: Future[Appended]) -> "asyncio.Future[Appended]":
    """The store's future for this event loop; cancelling it leaves the store's alone."""
    return asyncio.shield(asyncio.wrap_future(future))
