"""The blocking faces of watches and copies.

What memory holds is read by the calling thread itself; only what has to be waited for goes to the
client's own thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from tlru.client.changes import Change
from tlru.client.mirror import Mirror as AsyncMirror
from tlru.client.near import Near as AsyncNear
from tlru.client.results import MISSING, Item
from tlru.client.watching import BATCH_MAX, BATCH_WITHIN_S
from tlru.client.watching import Watch as AsyncWatch
from tlru.errors import BadValue
from tlru.sync.thread import LoopThread

logger = logging.getLogger("tlru.client")

T = TypeVar("T")
D = TypeVar("D")

JOIN_S = 5.0


class Watch(Generic[T]):
    """Changes, in order, each once: an iterator that blocks until there is one.

    `close` it from any thread, and whoever waits in it is told that there are no more.
    """

    def __init__(self, thread: LoopThread, watch: AsyncWatch[T]) -> None:
        self._thread = thread
        self._watch = watch
        self._taken: deque[Change[T]] = deque()
        self._position: str | None = None

    def __repr__(self) -> str:
        return repr(self._watch).replace("<tlru", "<tlru.sync", 1)

    @property
    def position(self) -> str:
        """Where a later watch goes on (`since=`) behind all that was taken from this one."""
        if self._taken and self._position is not None:
            return self._position
        return self._watch.position

    def __iter__(self) -> Iterator[Change[T]]:
        return self

    def __next__(self) -> Change[T]:
        if not self._taken:
            self._position = None
            self._taken.extend(self._thread.call(partial(self._watch.take, BATCH_MAX)))
            if not self._taken:
                raise StopIteration
        change = self._taken.popleft()
        self._position = change.position
        return change

    def batches(
        self, max: int = BATCH_MAX, within: float = BATCH_WITHIN_S
    ) -> Iterator[list[Change[T]]]:
        """Changes in lists of up to `max`: those that come within so many seconds of the first."""
        if max < 1:
            raise ValueError(f"a batch is of 1 change or more, not {max}")
        while batch := self._thread.call(partial(self._watch.take, max, within)):
            yield batch

    def call(self, function: Callable[[Change[T]], object]) -> Calling:
        """Have this called with every change, in a thread of its own, until `stop`.

        What it raises is logged, and so is a value that cannot be read back; then comes the next.
        """
        return Calling(self, function)

    def close(self) -> None:
        """Take no more."""
        self._thread.call(self._watch.aclose)

    def __enter__(self) -> Watch[T]:
        self._thread.call(self._watch.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Calling:
    """A function that is called with every change, until `stop`."""

    def __init__(self, watch: Watch[Any], function: Callable[[Change[Any]], object]) -> None:
        self.watch = watch
        self._function = function
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="tlru watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Call it no more. One call that is under way is waited for."""
        self.watch.close()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing more will come; raises what has ended it."""
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            try:
                for change in self.watch:
                    self._call(change)
                return
            except BadValue as exc:
                logger.warning("a change was passed over: %s", exc)
            except Exception as exc:
                self._error = exc
                return

    def _call(self, change: Change[Any]) -> None:
        try:
            self._function(change)
        except Exception:
            logger.exception("%r has failed on %r", self._function, change)


class Near(Generic[T]):
    """Reads at the speed of memory, kept coherent by the cluster; for `with`, and any thread."""

    def __init__(self, thread: LoopThread, near: AsyncNear[T]) -> None:
        self._thread = thread
        self._near = near

    def __repr__(self) -> str:
        return repr(self._near).replace("<tlru", "<tlru.sync", 1)

    def __len__(self) -> int:
        return len(self._near)

    @overload
    def get(self, key: str, default: None = ..., *, timeout: float | None = ...) -> T | None: ...
    @overload
    def get(self, key: str, default: D, *, timeout: float | None = ...) -> T | D: ...
    def get(self, key: str, default: Any = None, *, timeout: float | None = None) -> Any:
        """The value under a key, or the default: from memory, or from the cache and kept."""
        known = self._near.peek_known(key)
        if known is not None:
            return default if known.value is MISSING else known.value
        return self._thread.call(lambda: self._near.get(key, default, timeout=timeout))

    @overload
    def peek(self, key: str, default: None = ...) -> T | None: ...
    @overload
    def peek(self, key: str, default: D) -> T | D: ...
    def peek(self, key: str, default: Any = None) -> Any:
        """What memory has under a key, without asking anybody."""
        return self._near.peek(key, default)

    @property
    def coherent(self) -> bool:
        """Whether the copy is as the cluster is: all has been told, and will be as it happens."""
        return self._near.coherent

    @property
    def position(self) -> str | None:
        """How far the copy has come; None before it has begun."""
        return self._near.position

    def open(self) -> Near[T]:
        """Keep it up from now on."""
        self._thread.call(self._near.open)
        return self

    def close(self) -> None:
        """Keep it up no more."""
        self._thread.call(self._near.close)

    def __enter__(self) -> Near[T]:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Mirror(Mapping[str, T]):
    """All keys of a pattern and their values, as they are. Read-only; for any thread."""

    def __init__(self, thread: LoopThread, mirror: AsyncMirror[T]) -> None:
        self._thread = thread
        self._mirror = mirror
        # Bound at once: reading is done by the calling thread, and costs what it costs there.
        self.get = mirror.get  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return repr(self._mirror).replace("<tlru", "<tlru.sync", 1)

    def __getitem__(self, key: str) -> T:
        return self._mirror[key]

    def __contains__(self, key: object) -> bool:
        return key in self._mirror

    def __iter__(self) -> Iterator[str]:
        return iter(self._mirror)

    def __len__(self) -> int:
        return len(self._mirror)

    def items(self) -> ItemsView[str, T]:
        """Keys and values as they are now."""
        return self._mirror.items()

    def values(self) -> ValuesView[T]:
        """The values as they are now."""
        return self._mirror.values()

    def copy(self) -> dict[str, T]:
        """A dict of what there is now, which does not change any more."""
        return self._mirror.copy()

    def item(self, key: str) -> Item[T] | None:
        """The value under a key with what is known of it, or None."""
        return self._mirror.item(key)

    @property
    def coherent(self) -> bool:
        """Whether the copy is as the cluster is: all has been told, and will be as it happens."""
        return self._mirror.coherent

    @property
    def position(self) -> str | None:
        """How far the copy has come; None before it has begun."""
        return self._mirror.position

    def on_change(self, function: Callable[[Change[T]], object]) -> Callable[[], None]:
        """Have this called with every change from now on, in the client's own thread: let it be
        short, and not call this client. Gives what ends that. What it raises is logged."""
        return self._mirror.on_change(function)

    def close(self) -> None:
        """Keep it up no more."""
        self._thread.call(self._mirror.close)

    def __enter__(self) -> Mirror[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
