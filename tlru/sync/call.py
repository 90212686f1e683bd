"""One blocking call: a coroutine on the loop, and the thread that waits for it.

What the coroutine needs to have done by the caller's own thread (a load: its database connection,
its locals live there) comes to that thread as an errand, through the queue on which it waits.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from tlru.errors import Unavailable

R = TypeVar("R")
Loading: TypeAlias = Callable[[], Awaitable[Any]]


class _News(enum.Enum):
    LOAD = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class Call(Generic[R]):
    """A call under way."""

    def __init__(
        self,
        make: Callable[[Loading], Coroutine[Any, Any, R]],
        load: Callable[[], Any] | None = None,
    ) -> None:
        self._make = make
        self._load = load
        self._news: SimpleQueue[tuple[_News, Any]] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the coroutine run on this loop."""
        self._loop = loop
        loop.call_soon_threadsafe(self._begin)

    def result(self) -> R:
        """What the coroutine gives. The calling thread waits, and runs errands meanwhile."""
        try:
            while True:
                news, what = self._news.get()
                if news is _News.DONE:
                    return what  # type: ignore[no-any-return]  # the queue carries results of all calls
                if news is _News.FAILED:
                    raise what
                self._run_errand(what)
        except (KeyboardInterrupt, SystemExit):
            self._tell_loop(self._cancel)
            raise

    # On the loop.

    def _begin(self) -> None:
        assert self._loop is not None, "it runs on it"
        self._task = self._loop.create_task(self._carry())

    async def _carry(self) -> None:
        try:
            self._news.put((_News.DONE, await self._make(self._ask_caller)))
        except asyncio.CancelledError:
            self._news.put((_News.FAILED, Unavailable("this client has been closed")))
            raise
        except BaseException as exc:
            self._news.put((_News.FAILED, exc))

    async def _ask_caller(self) -> Any:
        assert self._loop is not None, "it runs on it"
        done: asyncio.Future[tuple[Any, BaseException | None]] = self._loop.create_future()
        self._news.put((_News.LOAD, done))
        value, error = await done
        if error is not None:
            raise error
        return value

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # In the calling thread.

    def _run_errand(self, done: asyncio.Future[tuple[Any, BaseException | None]]) -> None:
        assert self._load is not None, "only a call with a load asks for it"
        try:
            value = self._load()
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()  # it will never be awaited, and need not be complained about
                raise TypeError("the loader gives an awaitable: this is the blocking client")
        except Exception as exc:
            self._tell_loop(_settle, done, None, exc)
        except BaseException as exc:
            gone = RuntimeError(f"the thread that was loading was interrupted: {exc!r}")
            self._tell_loop(_settle, done, None, gone)
            raise
        else:
            self._tell_loop(_settle, done, value, None)

    def _tell_loop(self, act: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None, "it has begun"
        try:
            self._loop.call_soon_threadsafe(act, *args)
        except RuntimeError:
            return  # the loop has ended, and with it the call


def _settle(
    done: asyncio.Future[tuple[Any, BaseException | None]],
    value: Any,
    error: BaseException | None,
) -> None:
    if not done.done():
        done.set_result((value, error))
