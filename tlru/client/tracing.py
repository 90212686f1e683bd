"""Which trace a write belongs to: that of the span which is current where the write is asked for.

It decides whether there is anything to tell a node. A trace that nobody records is not told of, so
it costs neither side more than the look at its flag. The spans themselves are the program's and
the nodes'; the client makes none.

OpenTelemetry is imported when a client is told to trace, and by nothing else here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from tlru.errors import TlruError
from tlru.wire.traceparent import Parent

FEATURE: Final = "trace"  # as a node's `hello` names it; others would refuse the field
TraceNow: TypeAlias = Callable[[], str | None]

MISSING: Final = (
    "tracing=True takes the trace of a write from OpenTelemetry, which is not installed: "
    "pip install opentelemetry-api, or leave `tracing` out"
)


def of_current_span() -> TraceNow:
    """What gives the `trace` of a write that is asked for at this moment, or None where there is
    none to tell. TlruError where OpenTelemetry is not installed."""
    try:
        from opentelemetry import trace
    except ImportError as exc:
        raise TlruError(MISSING) from exc

    def now() -> str | None:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid or not context.trace_flags.sampled:
            return None
        return str(Parent(context.trace_id, context.span_id, True))

    return now
