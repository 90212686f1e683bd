"""The spans of writes: what a node sees of each, on the node that took it and on all others.

This module decides which spans there are, what hangs from what, and what they say: names, figures
and ids, never a key, a value or a token. A write is followed where its client sent the context of a
trace that is recorded; all others go by without a span.

How the context crosses the mesh: not with the operation, which would change what nodes say to each
other in the log, and every release's reading of it. The node that took the write tells the other
members beside the log (`peers/cluster/asking.py`), by the dot of the operation, which span theirs
hang from. It goes before the operation, over the same link, which keeps the order. A node that does
not know such words passes over them, and what is lost costs a span and nothing else.

Invariant: what is followed is bounded, by `OPEN_MAX` and `KEPT_NS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import time_ns as clock
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TraceFlags

from peers.core.entry import Dot, Entry
from peers.core.origin import Origin
from tlru import _version
from tlru.node.asker import Asker
from tlru.node.latency import class_of
from tlru.node.tracing.followed import Followed, parent_of
from tlru.wire import traceparent
from tlru.wire.requests import Op
from tlru.wire.traceparent import Parent

if TYPE_CHECKING:
    from tlru.engine.machine import Applied, Machine
    from tlru.node.service import CacheService

OPEN_MAX: Final = 4_096  # writes that are followed at once, of one's own and of the others each
KEPT_NS: Final = 60_000_000_000  # nothing is followed for longer
TOLD_AT_ONCE: Final = 256  # writes in one word to the others

Fields = dict[str, Any]
Tell = Callable[[Fields], None]
"""Tells the other members, without waiting for anything."""


class Elsewhere:
    """A write that another node took, as it is seen here."""

    __slots__ = ("order", "parent", "since")

    def __init__(self, parent: Parent, since: int, order: Span | None) -> None:
        self.parent, self.since, self.order = parent, since, order


class Spans:
    """Makes the spans of one cache on this node."""

    def __init__(
        self, provider: trace.TracerProvider, node: str, service: CacheService, tell: Tell
    ) -> None:
        self._tracer = provider.get_tracer("tlru", _version.__version__)
        self._node, self._service, self._tell = node, service, tell
        self._own: dict[Dot, list[Followed]] = {}
        self._elsewhere: dict[Dot, list[Elsewhere]] = {}
        self._untold: list[tuple[Dot, Parent]] = []
        self._common = {"tlru.node": node, "tlru.cache": service.name}

    @property
    def open(self) -> int:
        """How many operations are followed at the moment."""
        return len(self._own) + len(self._elsewhere)

    # -- on the node that takes the write

    def follow(self, op: Op, args: Fields, asker: Asker) -> Asker:
        """Who asks from here on: the same, with its spans, where this write is followed."""
        parent: Parent | None = args.get("trace")
        if parent is None or not parent.sampled or not op.writes:
            return asker
        about: Fields = {"tlru.operation": op.name, "tlru.class": class_of(asker)}
        if (number := getattr(asker, "number", None)) is not None:
            about["tlru.connection"] = number
        root = self.begin(f"tlru.{op.name}", parent, SpanKind.SERVER, about)
        return Followed(self, asker, root)

    def proposed(self, dot: Dot, *askers: object) -> None:
        """The operation of these has its dot."""
        followed = [each for each in askers if isinstance(each, Followed)]
        if not followed:
            return
        _make_room(self._own, _give_up_own)
        leads = self._service.log.leads
        for each in followed:
            each.proposed("tlru.order" if leads else "tlru.forward")
            assert each.leg is not None
            self._untold.append((dot, parent_of(each.leg)))
        self._own[dot] = followed
        if len(self._untold) == len(followed):
            asyncio.get_running_loop().call_soon(self.tell)

    def tell(self) -> None:
        """Tell the others of what was proposed in this turn, before the operations themselves."""
        untold, self._untold = self._untold, []
        for first in range(0, len(untold), TOLD_AT_ONCE):
            part = untold[first : first + TOLD_AT_ONCE]
            ways = [
                (dot.origin.birth, dot.incarnation, dot.sequence, str(parent))
                for dot, parent in part
            ]
            self._tell({"ways": ways})

    # -- on the others

    def heard(self, sender: str, fields: Mapping[str, Any]) -> None:
        """Another member follows these writes, which it took. What cannot be read is passed over:
        of our own release it always can be."""
        leads = self._service.log.leads
        ways = fields.get("ways")
        for way in ways[:TOLD_AT_ONCE] if isinstance(ways, list) else ():
            match way:
                case [str(birth), int(life), int(sequence), str(text)]:
                    parent = traceparent.parse(text)
                case _:
                    continue
            if parent is None or not parent.sampled:
                continue
            dot = Dot(Origin(sender, birth), life, sequence)
            order = self.begin("tlru.order", parent, SpanKind.SERVER) if leads else None
            if dot not in self._elsewhere:
                _make_room(self._elsewhere, _give_up_elsewhere)
            seen = self._elsewhere.setdefault(dot, [])
            if len(seen) < TOLD_AT_ONCE * 2:
                seen.append(Elsewhere(parent, clock(), order))

    # -- on all

    def apply(self, machine: Machine, entries: Sequence[Entry]) -> Applied:
        """Have the machine apply what is committed, and see how long that takes."""
        if not self._own and not self._elsewhere:
            return machine.apply(entries)
        own, elsewhere = [], []
        began = clock()
        for entry in entries:
            if entry.dot is None:
                continue
            if (mine := self._own.pop(entry.dot, None)) is not None:
                own += [(entry, each) for each in mine]
            elif (theirs := self._elsewhere.pop(entry.dot, None)) is not None:
                elsewhere += [(entry, each) for each in theirs]
        for entry, followed in own:
            followed.committed(began, _place(entry))
        applied = machine.apply(entries)
        ended = clock()
        for entry, followed in own:
            followed.applied(began, ended, _place(entry))
        for entry, seen in elsewhere:
            if seen.order is not None:
                seen.order.set_attributes(_place(entry))
                seen.order.end(began)
            about = _place(entry)
            self.begin("tlru.apply", seen.parent, about=about, at=began).end(ended)
        return applied

    def begin(
        self,
        name: str,
        parent: Parent,
        kind: SpanKind = SpanKind.INTERNAL,
        about: Mapping[str, Any] | None = None,
        at: int | None = None,
    ) -> Span:
        """A span that hangs from another, of this node or of anybody."""
        context = trace.SpanContext(
            parent.trace, parent.span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
        above = trace.set_span_in_context(trace.NonRecordingSpan(context))
        facts = {**self._common, **(about or {})}
        return self._tracer.start_span(name, above, kind, facts, start_time=at)


def _place(entry: Entry) -> dict[str, int]:
    return {"tlru.index": entry.index, "tlru.term": entry.term}


def _make_room(table: dict[Dot, Any], give_up: Callable[[Any], None]) -> None:
    """Let the oldest go, where there are too many, or where it is too old."""
    old = clock() - KEPT_NS
    while table:
        dot = next(iter(table))
        if len(table) < OPEN_MAX and table[dot][0].since > old:
            return
        give_up(table.pop(dot))


def _give_up_own(followed: list[Followed]) -> None:
    for each in followed:
        each.lost()


def _give_up_elsewhere(seen: list[Elsewhere]) -> None:
    for each in seen:
        if each.order is not None:
            each.order.set_status(Status(StatusCode.ERROR, "not seen committed"))
            each.order.end()
