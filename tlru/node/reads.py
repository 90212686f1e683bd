"""Reads: answered from this node's memory, once it has come as far as the asker has been.

This module decides when a read may be answered (`read`, `min`) and what is in the answer. Expiry is
judged at the later of the node's time and the highest that the asker has seen, so what was gone for
it stays gone. An answer is bounded before it is built.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from peers.errors import RefusedError
from peers.ordered_log import OrderedLog
from tlru import errors
from tlru.engine.machine import Machine
from tlru.node.asker import Asker
from tlru.node.latency import Measure, class_of
from tlru.node.limits import Guard
from tlru.node.pending import Read, Reads, may_wait
from tlru.node.rates import Rates
from tlru.wire.fields import Min
from tlru.wire.limits import Limits
from tlru.wire.pushes import shown_item
from tlru.wire.requests import TIMEOUT_MS

Args = dict[str, Any]
Fields = dict[str, Any]

# What a key, and what the other fields of an item, take in an answer beside their own bytes.
KEY_OVERHEAD_BYTES, ITEM_OVERHEAD_BYTES = 4, 120
SCAN_LIMIT = 100  # keys in a page where the asker does not say


class ReadDesk:
    """Answers reads of one cache."""

    def __init__(
        self,
        machine: Machine,
        log: OrderedLog,
        limits: Limits,
        rates: Rates,
        measure: Measure,
        guard: Callable[[], Guard],
    ) -> None:
        self._machine = machine
        self._log = log
        self.limits = limits
        self._rates = rates
        self._measure = measure
        self._guard = guard
        self._waiting = Reads()
        self._barriers: dict[asyncio.Task[None], tuple[Asker, int | None]] = {}
        self._asking: dict[Asker, set[asyncio.Task[None]]] = {}  # the same, by who asks

    @property
    def waiting(self) -> int:
        """How many reads wait for a position or for the leader's word."""
        return len(self._waiting) + len(self._barriers)

    # -- when

    def handle(self, name: str, args: Args, asker: Asker, request: int | None) -> None:
        """Answer, as soon as it may be answered."""
        minimum: Min | None = args.get("min")
        if args.get("read") == "linear":
            if (index := self._log.barrier_now()) is None:
                self._after_barrier(name, args, asker, request)
                return
            minimum = _at_least(index, minimum)
        if minimum is None:
            asker.reply(request, self._answer(name, args, self._log.now(), asker))
        else:
            self._answer_after(minimum, name, args, asker, request)

    def handle_stale(
        self, name: str, args: Args, asker: Asker, request: int | None, stale_s: float
    ) -> None:
        """Answer with what there is, and say how old it may be."""
        minimum: Min = args.get("min") or Min(0)

        def serve() -> None:
            now = max(self._log.now(), minimum.time or 0)
            fields = self._answer(name, args, now, asker)
            asker.reply(request, {**fields, "stale": stale_s})

        self.after(minimum, args, asker, request, serve)

    def _answer_after(
        self,
        minimum: Min,
        name: str,
        args: Args,
        asker: Asker,
        request: int | None,
        began: float | None = None,
    ) -> None:
        def serve() -> None:
            now = max(self._log.now(), minimum.time or 0)
            asker.reply(request, self._answer(name, args, now, asker))

        self.after(minimum, args, asker, request, serve, began)

    def after(
        self,
        minimum: Min,
        args: Args,
        asker: Asker,
        request: int | None,
        serve: Callable[[], None],
        began: float | None = None,
    ) -> None:
        """Serve as soon as the node has come as far as the asker has been."""
        if minimum.epoch is not None and minimum.epoch != str(self._log.epoch):
            raise errors.WrongEpoch(
                f"the position is of epoch {minimum.epoch}, this is {self._log.epoch}: ask anew"
            )
        if minimum.pos <= self._machine.index:
            serve()
            return
        may_wait(asker, self.limits)
        asker.waits += 1
        deadline = self._log.now() + args.get("timeout", TIMEOUT_MS)
        self._waiting.add(Read(asker, request, minimum.pos, deadline, serve, began))

    def _after_barrier(self, name: str, args: Args, asker: Asker, request: int | None) -> None:
        may_wait(asker, self.limits)
        asker.waits += 1
        task = asyncio.get_running_loop().create_task(self._ask_leader(name, args, asker, request))
        self._barriers[task] = asker, request
        self._asking.setdefault(asker, set()).add(task)
        task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        asker, _ = self._barriers.pop(task)
        asker.waits -= 1
        tasks = self._asking[asker]
        tasks.remove(task)
        if not tasks:
            del self._asking[asker]

    async def _ask_leader(self, name: str, args: Args, asker: Asker, request: int | None) -> None:
        began, turns = perf_counter(), self._guard().turns
        rank = self._guard().rank(class_of(asker))
        try:
            async with asyncio.timeout(args.get("timeout", TIMEOUT_MS) / 1000):
                index = await self._log.read_barrier()
                # Many are answered by one word of the leader: those of a class share their part of
                # a turn, as with all else that they ask.
                await turns.turn(rank)
            needed = _at_least(index, args.get("min"))
            started = perf_counter()
            try:
                self._measure.late(
                    began,
                    asker,
                    lambda: self._answer_after(needed, name, args, asker, request, began),
                )
            finally:
                turns.took(rank, perf_counter() - started)
        except TimeoutError:
            late = errors.Timeout("no word from the leader in time", outcome_known=True)
            asker.refuse(request, late)
        except RefusedError as exc:
            asker.refuse(request, errors.Unavailable(str(exc), code=exc.reason))
        except errors.TlruError as error:
            asker.refuse(request, error)

    def applied(self) -> None:
        """The machine has come further: some who waited may be answered."""
        if self._waiting:
            for read in self._waiting.reached(self._machine.index):
                read.asker.waits -= 1
                self._serve(read)

    def _serve(self, read: Read) -> None:
        try:
            self._measure.late(read.began, read.asker, read.serve)
        except errors.TlruError as error:
            read.asker.refuse(read.request, error)

    def tick(self, now: int) -> None:
        """Refuse those that have waited long enough."""
        for read in self._waiting.overdue(now):
            self._refuse(
                read,
                errors.Unavailable(
                    f"this node is at {self._machine.index} and has not come to {read.pos} in time",
                    code="syncing",
                ),
            )

    def forget(self, asker: Asker) -> None:
        """The asker is gone: nothing waits for it any longer."""
        self._waiting.forget(asker)
        for task in self._asking.get(asker, ()):
            task.cancel()

    def refuse_all(self, error: errors.TlruError) -> None:
        """The node stops: nobody waits any longer."""
        for read in self._waiting.overdue(1 << 62):
            self._refuse(read, error)
        for task, (asker, request) in self._barriers.items():
            if task.cancel():  # else it has been answered just now
                asker.refuse(request, error)

    @staticmethod
    def _refuse(read: Read, error: errors.TlruError) -> None:
        read.asker.waits -= 1
        read.asker.refuse(read.request, error)

    # -- what

    def _answer(self, name: str, args: Args, now: int, asker: Asker) -> Fields:
        if name == "get":
            fields = self.fields_of_get(args["key"], now)
        elif name == "get_many":
            fields = self._get_many(args, now)
        else:
            fields = self._scan(args, now, asker.push_bytes)
        fields["pos"] = self._machine.index
        fields["time"] = now
        self._measure.at_once[name] += 1
        return fields

    def fields_of_get(self, key: str, now: int) -> Fields:
        """What `get` says of one key."""
        item = self._machine.read(key, now)
        if item is None:
            self._rates.misses += 1
            return {"found": False}
        self._rates.hits += 1
        return shown_item(item, now, {"found": True})

    def _get_many(self, args: Args, now: int) -> Fields:
        size, values = 0, []
        for key in args["keys"]:
            fields = self.fields_of_get(key, now)
            size += len(fields.get("value", b""))
            if size > self.limits.message_bytes:
                raise errors.TooLarge(
                    f"the values have more than {self.limits.message_bytes} bytes together; "
                    "ask for fewer keys"
                )
            values.append(fields)
        return {"values": values}

    def _scan(self, args: Args, now: int, bytes_max: int) -> Fields:
        """A page, cut where it would be larger than what the asker takes at once."""
        limit = args.get("limit", min(SCAN_LIMIT, self.limits.scan))
        with_values = args.get("values", False)
        page: list[Any] = []
        size = 0
        for key, item in self._machine.scan(args.get("prefix", ""), args.get("after"), now):
            size += len(key.encode()) + KEY_OVERHEAD_BYTES
            if with_values:
                size += len(item.value) + ITEM_OVERHEAD_BYTES
            if page and (len(page) == limit or size > bytes_max):
                return {"items" if with_values else "keys": page, "more": True}
            page.append(shown_item(item, now, {"key": key}) if with_values else key)
        return {"items" if with_values else "keys": page}


def _at_least(index: int, minimum: Min | None) -> Min:
    """What an asker has seen already, and a place in the log that is to be reached besides."""
    if minimum is None:
        return Min(index)
    return Min(max(index, minimum.pos), minimum.epoch, minimum.time)
