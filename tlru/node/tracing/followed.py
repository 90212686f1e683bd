"""A write that is followed, in the place of whoever asks for it.

It decides when the spans of one write begin and end on the node that took it. Whatever becomes of
the write (done, refused, timed out) is said to its asker, so it is heard here, and nobody who
answers has to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time_ns as clock
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TraceFlags

from tlru.access.grant import EVERYTHING, Grant
from tlru.errors import TlruError
from tlru.node.asker import Asker, OneByOne
from tlru.wire.traceparent import Parent

if TYPE_CHECKING:
    from tlru.node.tracing.spans import Spans

Fields = dict[str, Any]


def parent_of(span: Span) -> Parent:
    """What hangs from this span names it so."""
    context = span.get_span_context()
    return Parent(context.trace_id, context.span_id, bool(context.trace_flags & TraceFlags.SAMPLED))


class Followed(OneByOne):
    """An asker whose one write is followed."""

    def __init__(self, spans: Spans, asker: Asker, root: Span) -> None:
        self.since = clock()
        self.asker = asker
        self.waiting = asker.waiting  # its own: it gives its waits up when it goes
        self.push_bytes, self.waits = asker.push_bytes, asker.waits
        self.leg: Span | None = None  # until the log has spoken: the way to the leader, or ordering
        self.number: int | None = getattr(asker, "number", None)
        self.grant: Grant = getattr(asker, "grant", EVERYTHING)
        self._spans, self._root = spans, root
        self._take_in: Span | None = self._begin("tlru.take_in", self.since)
        self._applied_at: int | None = None

    def _begin(self, name: str, at: int | None = None, **more: Any) -> Span:
        return self._spans.begin(name, parent_of(self._root), at=at, **more)

    # -- as an asker

    def reply(self, request: int | None, fields: Fields) -> None:
        """The write was done, as far as its client wants to know."""
        try:
            self.asker.reply(request, fields)
        finally:
            if self._applied_at is not None:
                self._begin("tlru.answer", self._applied_at).end()
            self._root.end()

    def refuse(self, request: int | None, error: TlruError) -> None:
        """It was not, or nobody knows. The message may repeat what the client sent; its code does
        not."""
        try:
            self.asker.refuse(request, error)
        finally:
            for span in (self._take_in, self.leg, self._root):
                if span is not None and span.is_recording():
                    span.set_attribute("error.type", error.code)
                    span.set_status(Status(StatusCode.ERROR, error.code))
                    span.end()

    # -- on its way

    def proposed(self, leg: str) -> None:
        """It has a dot, and goes this way."""
        if self._take_in is not None:
            self._take_in.end()
        kind = SpanKind.CLIENT if leg == "tlru.forward" else SpanKind.INTERNAL
        self.leg = self._begin(leg, kind=kind)

    def committed(self, at: int, place: Mapping[str, int]) -> None:
        """It stands in the log for ever, as this node has just heard."""
        if self.leg is not None and self.leg.is_recording():
            self.leg.set_attributes(place)
            self.leg.end(at)

    def applied(self, began: int, ended: int, place: Mapping[str, int]) -> None:
        """It was carried out; the answer is due."""
        self._begin("tlru.apply", began, about=place).end(ended)
        self._applied_at = ended

    def lost(self) -> None:
        """Nothing was heard of it for too long."""
        if self.leg is not None and self.leg.is_recording():
            self.leg.set_status(Status(StatusCode.ERROR, "not seen committed"))
            self.leg.end()
