"""The option that decides whether writes are traced.

A field of `Config` (`settings.py`), in a file of its own. Where spans go is said by the standard
`OTEL_*` variables, which OpenTelemetry reads itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from tlru.config.kinds import Switch
from tlru.config.options import Change, Section, option


@dataclass(frozen=True, kw_only=True)
class TraceOptions:
    """Whether writes are traced."""

    tracing: bool = option(
        Switch(),
        False,
        Section.RUNNING,
        Change.RESTART,
        "Makes OpenTelemetry spans of writes whose clients send the context of a trace that is "
        "recorded; the OTEL_* variables say where they go.",
        guesses=("trace", "otel", "opentelemetry", "spans"),
    )
