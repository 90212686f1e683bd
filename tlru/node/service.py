"""One named cache on this node: its machine, its log, and everybody who waits for either.

Requests come in checked (`wire/requests.py`) and leave as operations for the log, or are answered
from memory (`reads.py`). The log calls back with committed entries; the machine's replies find
their askers by the dot of the operation. This module decides how long a write is waited for and
what its asker is told; it decides nothing about order or content.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peers.clocks import next_beat
from peers.cluster.cluster import ClusterLog
from peers.cluster.wishes import has_founded
from peers.core.entry import Dot, Entry, Epoch
from peers.errors import RefusedError
from peers.ordered_log import Ack, Checked, NodeStatus, OrderedLog, Settled
from tlru import errors
from tlru.engine.events import Event
from tlru.engine.items import ITEM_OVERHEAD_BYTES
from tlru.engine.machine import Machine, Result
from tlru.engine.operations import GiveUpWait, Once, Operation, Settings
from tlru.engine.settings import DEFAULTS
from tlru.engine.snapshot import Capture
from tlru.node import writes
from tlru.node.arriving import Arriving
from tlru.node.asker import Asker
from tlru.node.duties import EXPIRE_EVERY_MS, Duties
from tlru.node.feeds import FeedDesk, Subscriber
from tlru.node.grouping import PLAIN, Group
from tlru.node.latency import Measure
from tlru.node.limits import Guard
from tlru.node.pending import Write, Writes, may_wait
from tlru.node.rates import Rates
from tlru.node.reads import ReadDesk
from tlru.wire.fields import Min
from tlru.wire.limits import Limits
from tlru.wire.requests import TIMEOUT_MS, Op

if TYPE_CHECKING:
    from tlru.node.tracing.spans import Spans

logger = logging.getLogger(__name__)

# Who is so has what it had, and knows since when.
STALE = (NodeStatus.ISOLATED, NodeStatus.SYNCING)

Args = dict[str, Any]


class CacheService:
    """A named cache: answers its clients, and is the log's application."""

    def __init__(
        self,
        name: str,
        log: OrderedLog,
        limits: Limits,
        rates: Rates,
        settings: dict[str, Any] | None = None,
        *,
        retained_bytes: int,
        stale_reads: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.limits = limits
        self.rates = rates
        self.measure = Measure(name, rates.latency)
        self.spans: Spans | None = None  # of writes, where tracing is on
        self.draining = False
        self.troubles: dict[str, str] = {}  # of the node with this cache, by what they are about
        self.backups_open = 0  # of this cache, that are being taken
        self.restoring = False  # a backup is being put together, to begin anew from
        self.guard = Guard()
        self.nodes = 1  # that are active: limits may be shared between them
        self.stale_reads = stale_reads  # a node that is cut off answers who asks for any answer
        self._settings = settings or {}  # to be said once it leads
        self._writes = Writes()
        self._group: Group | None = None  # plain sets of this turn that were not proposed yet
        self.epoch: Epoch | None = None
        self.elsewhere: Callable[[], list[dict[str, Any]]] = list  # who else serves this cache
        self._on_events: list[Callable[[Sequence[Event]], None]] = []
        self._on_epoch: list[Callable[[], None]] = []
        self._take_up(Machine())
        self.feeds = FeedDesk(
            self.machine,
            limits,
            retained_bytes,
            lambda: str(self.log.epoch),
            lambda: None if self.log.node_status is NodeStatus.ACTIVE else self._not_serving(),
            lambda: self.guard,
        )
        self.listen(self.feeds.applied)
        self._ticker: asyncio.TimerHandle | None = None

    def _take_up(self, machine: Machine) -> None:
        self.machine, self._encode = machine, machine.own.encode
        self.reads = ReadDesk(
            machine, self.log, self.limits, self.rates, self.measure, lambda: self.guard
        )
        self._duties = Duties(machine, self._propose_own, self.log.notes)

    # -- coming up and going down

    async def start(self) -> None:
        """Start the log, see that the settings hold, and keep up the leader's duties."""
        await self.log.start(self)
        self._loop = asyncio.get_running_loop()
        self._tick()

    def want(self, settings: Mapping[str, Any]) -> bool:
        """Have all nodes go by these settings; False where that cannot be said now."""
        wanted = sorted(settings.items())
        changes = [(n, v) for n, v in wanted if self.machine.settings[n] != v]
        return not changes or self._propose_own(Settings(tuple(changes))) is not None

    def _put_settings_in_force(self) -> None:
        """Those of this node's configuration: where it is alone, or has just founded the cluster.
        Afterwards people change them for all nodes, and no node's own configuration undoes that."""
        settings, current = self._settings, self.machine.settings
        if isinstance(self.log, ClusterLog):
            # Somebody may have been quicker.
            founded = has_founded(self.log)
            settings = {n: v for n, v in settings.items() if founded and current[n] == DEFAULTS[n]}
        if self.want(settings):
            self._settings = {}

    def go_by(self, limits: Limits) -> None:
        """Judge by other limits from now on."""
        self.limits = self.reads.limits = self.feeds.limits = limits

    async def stop(self) -> None:
        """Stop the log; whoever still waits is told that the outcome is not known."""
        if self._ticker is not None:
            self._ticker.cancel()
        self.feeds.stop()
        await self.log.stop()
        self.send_away()

    def send_away(self) -> None:
        """Tell everybody who still waits that the node stops; of a write nothing more is known."""
        for _, write in self._writes.overdue(1 << 62):
            self._time_out(write)
        self.reads.refuse_all(errors.Unavailable("the node stops", code="draining"))

    @property
    def writes_waiting(self) -> int:
        """How many entries are waited for; plain sets that came together wait for one."""
        return len(self._writes)

    def idle(self) -> bool:
        """Whether nobody waits for a write or a read."""
        return not self._writes and not self.reads.waiting

    def _tick(self) -> None:
        now = self.log.now()
        if self.log.leads:
            if self._settings:
                self._put_settings_in_force()
            self._duties.tick(now)
        for dot, write in self._writes.overdue(now):
            write.asker.waiting.pop(dot, None)
            self._time_out(write)
        self.reads.tick(now)
        due = next_beat(self._loop.time(), EXPIRE_EVERY_MS)
        self._ticker = self._loop.call_at(due, self._tick)

    # -- what clients ask

    def handle(self, op: Op, args: Args, asker: Asker, request: int | None) -> None:
        """Answer a checked request, now or when the log has spoken."""
        self.rates.ops[op.name] += 1
        if self.spans is not None:
            asker = self.spans.follow(op, args, asker)
        try:
            if self.draining:
                raise errors.Unavailable("the node is about to stop", code="draining")
            if self.log.node_status is not NodeStatus.ACTIVE:
                self.reads.handle_stale(op.name, args, asker, request, self._stale_s(op, args))
            elif op.writes:
                self._write(op.name, args, asker, request)
            elif op.name == "get" and "touch" in args:
                self._get_and_touch(args, asker, request)
            else:
                if args.get("read") == "linear":
                    self._close_group()  # whatever was asked before it is seen by it
                self.reads.handle(op.name, args, asker, request)
        except errors.TlruError as error:
            asker.refuse(request, error)

    def _stale_s(self, op: Op, args: Args) -> float:
        """How old an answer of this node may be, where it does not serve and may answer all the
        same. Unavailable else."""
        any_will_do = args.get("read") == "any" and not op.writes and "touch" not in args
        behind_s = self.may_answer_stale_s() if any_will_do else None
        if behind_s is None:
            raise self._not_serving()
        return behind_s

    def may_answer_stale_s(self) -> float | None:
        """How old an answer may be, where this node is cut off, and answers whom any will do."""
        cut_off = self.stale_reads and self.log.node_status in STALE
        behind_ms = self.log.behind_ms() if cut_off else None
        return None if behind_ms is None else behind_ms / 1000

    def _not_serving(self) -> errors.Unavailable:
        status = self.log.node_status
        return errors.Unavailable(
            f"this node is {status}", code=str(status), servers=self.elsewhere()
        )

    def flush(self) -> None:
        """Whoever asks has asked all that there is at the moment: it leaves now."""
        self._close_group()
        if self.spans is not None:
            self.spans.tell()
        self.log.flush()

    def _write(self, name: str, args: Args, asker: Asker, request: int | None) -> None:
        if name == "set" and args.keys() <= PLAIN:
            self._group_set(args, asker, request)
            return
        operation = writes.operation(name, args)
        ack = writes.ack(name, args)
        timeout: int = args.get("timeout", TIMEOUT_MS)
        waits = name == "lock" and args.get("wait", 0) > 0
        if waits:
            may_wait(asker, self.limits)
            timeout += args["wait"]
        deadline = self.log.now() + timeout
        dot = self._propose(operation, ack, deadline, args.get("once"))
        if self.spans is not None:
            self.spans.proposed(dot, asker)
        if ack is Ack.NONE:
            asker.reply(request, {})
            return
        if waits:
            asker.waiting[dot] = args["name"]
        finish = writes.FINISH.get(name)
        sure = ack is Ack.QUORUM and writes.is_sure(name, args)
        self._writes.add(dot, Write(asker, request, ack, deadline, finish, name, sure=sure))

    def _group_set(self, args: Args, asker: Asker, request: int | None) -> None:
        key, timeout = writes.writable(args["key"]), args.get("timeout", TIMEOUT_MS)
        size = len(key) + len(args["value"])
        self._check_room(size)
        group = self._group
        if group is None or not group.takes(key, size, timeout):
            self._close_group()
            group = self._group = Group(timeout, self.log.now() + timeout)
            self._loop.call_soon(self._close_group)
        group.add(args, size, asker, request)

    def _close_group(self) -> None:
        """Propose what was gathered, as one operation."""
        group, self._group = self._group, None
        if group is None:
            return
        try:
            dot = self.log.propose(self._encode(group.operation()), Ack.QUORUM, group.deadline)
        except RefusedError as exc:
            group.refuse(None, writes.unavailable(exc))
        else:
            write = Write(group, None, Ack.QUORUM, group.deadline, None, "set", sure=True)
            write.began = group.began
            self._writes.add(dot, write)
            if self.spans is not None:
                self.spans.proposed(dot, *group.askers)

    def write_own(self, operation: Operation, asker: Asker) -> None:
        """A write of the node itself, into the reserved key space. RefusedError if it cannot be."""
        dot = self.log.propose(self._encode(operation))
        deadline = self.log.now() + TIMEOUT_MS
        self._writes.add(dot, Write(asker, None, Ack.QUORUM, deadline, None))

    def _get_and_touch(self, args: Args, asker: Asker, request: int | None) -> None:
        minimum = args.get("min")
        if minimum is None:
            self._touching_get(args, asker, request)
        else:
            self.reads.after(
                minimum,
                args,
                asker,
                request,
                lambda: self._touching_get(args, asker, request),
            )

    def _touching_get(self, args: Args, asker: Asker, request: int | None) -> None:
        key, ttl = args["key"], args["touch"]
        deadline = self.log.now() + args.get("timeout", TIMEOUT_MS)
        dot = self._propose(
            writes.operation("touch", {"key": key, "ttl": ttl}), Ack.QUORUM, deadline
        )

        def read_now(_: Result) -> Result:
            return self.reads.fields_of_get(key, self.machine.at)

        self._writes.add(dot, Write(asker, request, Ack.QUORUM, deadline, read_now, "get"))

    def _propose(self, operation: Operation, ack: Ack, until: int, once: Once | None = None) -> Dot:
        self._close_group()  # what came before it has its place before it
        self._check_room(writes.size_of(operation))
        try:
            return self.log.propose(self._encode(operation, once), ack, until)
        except RefusedError as exc:
            raise writes.unavailable(exc) from exc

    def _check_room(self, size: int) -> None:
        """Overloaded or TooLarge where the budget has no room for so many bytes."""
        budget = self.machine.settings["max_bytes"]
        if budget is not None and size + ITEM_OVERHEAD_BYTES > budget:
            raise errors.TooLarge(f"{size} bytes are more than the whole cache may hold: {budget}")
        if size and self._duties.blocked():
            raise errors.Overloaded(
                "the cache is over its budget and evictions are on their way", after=0.1
            )

    def _propose_own(self, operation: Operation) -> Dot | None:
        try:
            return self.log.propose(self._encode(operation))
        except RefusedError as exc:
            # Nothing is lost: what is owed now is still owed at the next tick.
            logger.debug("cache %s: %s", self.name, exc)
            return None

    # -- locks that are waited for

    def forget(self, asker: Asker) -> None:
        """The asker is gone: its waits are given up. Its writes go on, since they are under way."""
        for dot, name in asker.waiting.items():
            self._propose_own(GiveUpWait(name, dot.incarnation, dot.sequence))
        asker.waiting.clear()
        self.reads.forget(asker)

    # -- what the log says

    def begin(self, epoch: Epoch) -> None:
        """Another life of the log: whoever knows positions of the one before is told."""
        if self.epoch not in (None, epoch):
            for listener in self._on_epoch:
                listener()
        self.epoch = epoch

    def apply(self, entries: Sequence[Entry]) -> Checked | None:
        """Carry out committed entries, answer who waited for them, tell who watches."""
        machine = self.machine
        noted = machine.noted
        spans = self.spans
        if self._writes and spans is None and isinstance(self.log, ClusterLog):
            self._answer_sure(entries)
        applied = machine.apply(entries) if spans is None else spans.apply(machine, entries)
        if applied.diverged:
            logger.error("cache %s: this node's state is not the majority's", self.name)
        for dot, result in applied.replies:
            write = self._writes.take(dot)
            if write is None:
                continue
            self.measure.committed(write)
            if write.ack is Ack.ALL and "error" not in result:
                write.result = result
                self._writes.add(dot, write)
            else:
                self._answer(dot, write, result)
        if applied.events:
            for listener in self._on_events:
                listener(applied.events)
        self.reads.applied()
        if self.log.leads:
            self._duties.applied(machine.at)
        if machine.noted is None or machine.noted == noted:
            return None
        return Checked(*machine.noted, not applied.diverged)

    def _answer_sure(self, entries: Sequence[Entry]) -> None:
        """Answer those whose writes are certain to be done, before they are: what they do next goes
        on beside it. Nobody can tell, since nothing is read here in between."""
        answered: list[Asker] = []
        for index, _, at, dot, until, operation, _ in entries:
            write = None if dot is None else self._writes.get(dot)
            if dot is None or write is None or not write.sure:
                continue
            if not operation or (until is not None and at > until):
                continue  # it is in order, and not done: its time was over
            self._writes.take(dot)
            self.measure.committed(write)
            self._answer(dot, write, {"applied": True, "version": index, "pos": index, "time": at})
            answered.append(write.asker)
        for asker in answered:
            asker.hurry()

    def settle(self, dot: Dot, outcome: Settled) -> None:
        """Hear what else became of a write of ours."""
        write = self._writes.get(dot)
        match outcome:
            case Settled.APPENDED if write is not None and write.ack is Ack.LEADER:
                self._writes.take(dot)
                self._answer(dot, write, {})
            case Settled.HELD_BY_ALL if write is not None and write.result is not None:
                self._writes.take(dot)
                self._answer(dot, write, write.result)
            case Settled.NOT_DONE if write is not None:
                self._writes.take(dot)
                self.measure.answered(write)
                error = errors.Timeout("its time was over: it was not done", outcome_known=True)
                write.asker.refuse(write.request, error)
            case Settled.UNKNOWN if write is not None:
                self._writes.take(dot)
                self._time_out(write)
            case _:
                pass  # its asker was answered before, or has gone

    def _answer(self, dot: Dot, write: Write, result: Result) -> None:
        self.measure.answered(write)
        if write.asker.waiting:
            write.asker.waiting.pop(dot, None)
        if "error" in result:
            write.asker.refuse(write.request, writes.error_of(result))
            return
        fields = result if write.finish is None else write.finish(result)
        fields.setdefault("pos", self.machine.index)
        fields.setdefault("time", self.machine.at)
        write.asker.reply(write.request, fields)

    def _time_out(self, write: Write) -> None:
        self.measure.answered(write)
        if write.result is not None:
            error: errors.TlruError = errors.NotEnoughReplicas(
                "committed, but not every voter holds it yet", committed=True
            )
        else:
            error = errors.Timeout("no word from the log in time; whether it was done is not known")
        write.asker.refuse(write.request, error)

    # -- snapshots

    def capture(self) -> Capture:
        """Begin a snapshot at the last applied index."""
        return self.machine.capture()

    def arriving(self) -> Arriving:
        """A snapshot's pieces become a machine beside this one."""
        return Arriving(self)

    def replace(self, machine: Machine) -> None:
        """Go on with another machine: whoever waits to read from this one asks again."""
        self.reads.refuse_all(errors.Unavailable("the node replaces its state", code="syncing"))
        self._take_up(machine)
        self.feeds.take_up(machine)

    # -- for those who watch

    def subscribe(self, args: Args, subscriber: Subscriber, request: int | None) -> None:
        """Have events sent, from where the subscriber was, once the node has come as far."""
        self.rates.ops["subscribe"] += 1
        try:
            if self.draining:
                raise errors.Unavailable("the node is about to stop", code="draining")
            if self.log.node_status is not NodeStatus.ACTIVE:
                raise self._not_serving()
            since: Min | None = args.get("since")
            if since is None or since.epoch != str(self.log.epoch):
                subscriber.reply(request, self.feeds.subscribe(args, subscriber))
            else:
                self.reads.after(
                    since,
                    args,
                    subscriber,
                    request,
                    lambda: subscriber.reply(request, self.feeds.subscribe(args, subscriber)),
                )
        except errors.TlruError as error:
            subscriber.refuse(request, error)

    def unsubscribe(self, args: Args, subscriber: Subscriber, request: int | None) -> None:
        """Have events sent no more."""
        self.rates.ops["unsubscribe"] += 1
        try:
            subscriber.reply(request, self.feeds.unsubscribe(args, subscriber))
        except errors.TlruError as error:
            subscriber.refuse(request, error)

    def left(self, subscriber: Subscriber) -> None:
        """A subscriber is gone: nothing waits for it, and nothing is sent to it any more."""
        self.forget(subscriber)
        self.feeds.forget(subscriber)

    def on_epoch(self, listener: Callable[[], None]) -> None:
        """Call `listener` when another life of the log has begun."""
        self._on_epoch.append(listener)

    def listen(self, listener: Callable[[Sequence[Event]], None]) -> None:
        """Call `listener` with the events of each batch, in order."""
        self._on_events.append(listener)
