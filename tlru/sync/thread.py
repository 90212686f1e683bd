"""The event loop that the blocking client runs on, in a thread of its own.

It decides how a call from any thread gets to that loop, and its result back. The thread is started
by the first call, again by the first after `stop`, and anew in a forked child, where no thread of
the parent lives on.

Every call ends: what is handed to a loop before it stops is begun by it, and what has begun is told
its end. A call from the loop's own thread, which would wait for itself, is refused.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from tlru.sync.call import Call, Loading

R = TypeVar("R")

JOIN_S: Final = 5.0


class LoopThread:
    """An event loop in a thread, and the way to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        _threads.add(self)

    def call(self, make: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """What the coroutine gives, which runs on the loop while this thread waits."""
        call = Call(lambda _: make())
        self._begin(call)
        return call.result()

    def call_with_load(
        self, make: Callable[[Loading], Coroutine[Any, Any, R]], load: Callable[[], Any]
    ) -> R:
        """As `call`; `make` is given a loader that has `load` called here, in this thread."""
        call = Call(make, load)
        self._begin(call)
        return call.result()

    def stop(self) -> None:
        """Stop the loop and its thread; the next call starts them again."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join(JOIN_S)

    def forget(self) -> None:
        """This process is a child: the thread is not here, and its loop must not be touched."""
        if self._loop is not None:
            _parents_loops.append(self._loop)
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def _begin(self, call: Call[Any]) -> None:
        # Under the lock, so that nothing is handed to a loop after it was told to stop.
        with self._lock:
            if self._thread is not None and self._thread.ident == threading.get_ident():
                raise RuntimeError(
                    "a blocking call from the client's own thread would wait for itself for ever"
                )
            call.begin(self._start() if self._loop is None else self._loop)

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = _new_loop()
        # A daemon, so that a program that forgets to close its client still ends.
        self._thread = threading.Thread(target=_run, args=(loop,), name="tlru client", daemon=True)
        self._thread.start()
        return loop


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(_end_tasks())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _after_fork_in_child() -> None:
    for thread in list(_threads):
        thread.forget()


def _at_exit() -> None:
    for thread in list(_threads):
        thread.stop()


_threads: weakref.WeakSet[LoopThread] = weakref.WeakSet()
# Kept until the process ends, so that no destructor of theirs runs in the child.
_parents_loops: list[asyncio.AbstractEventLoop] = []
os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
