"""Everything that can go wrong between a client and a node, as both sides name it.

    TlruError
    ├── BadRequest (ValueError)     bad_request: the request itself is wrong
    │   ├── UnknownOp               unknown_op
    │   └── BadValue                a value that the serializer cannot write or read
    ├── Unauthenticated             unauthenticated
    ├── Forbidden                   forbidden
    ├── AlreadySubscribed           already_subscribed
    ├── WrongEpoch                  wrong_epoch: a position from another life of the cache
    ├── TooLarge                    too_large
    ├── NotInteger (TypeError)      not_integer
    ├── OutOfRange                  out_of_range
    ├── RateLimited                 rate_limited: not done; come back after `after` seconds
    ├── Unavailable                 not done; another node may do it
    │   ├── Overloaded              overloaded
    │   └── NoQuorum                no_quorum
    │                               (and each status that refuses: starting, syncing, draining, ...)
    ├── Timeout (TimeoutError)      timeout: `outcome_known` where it was certainly not done
    └── UnknownOutcome              the outcome of a write is not known
        ├── NotEnoughReplicas       not_enough_replicas
        ├── TooOld                  too_old: a named operation past its time
        └── Internal                internal

`code` and `retry` cross the wire; programs branch on them (or on the class), never on the text.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar


class Retry(enum.StrEnum):
    """What a client may do after an error."""

    NO = "no"  # the same request would fail again
    SAME = "same"  # not done and never will be: ask this node again, after `after` seconds
    OTHER = "other"  # not done and never will be: ask another node
    UNKNOWN = "unknown"  # it may have been done, or may yet be


class TlruError(Exception):
    """The root of all that tlru raises on purpose."""

    code: str = "internal"
    retry: Retry = Retry.NO
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        # What else the error tells in fields of its own: `after`, `limit`, `servers`, `committed`.
        self.facts = facts

    def to_wire(self) -> dict[str, Any]:
        """The `error` object of a reply."""
        return {
            "code": self.code,
            "message": self.message,
            "retry": str(self.retry),
            "status": self.http_status,
            **self.facts,
        }


class BadRequest(TlruError, ValueError):
    """The request itself is wrong; sent again, it would be refused again."""

    code = "bad_request"
    http_status = 400


class UnknownOp(BadRequest):
    """The node knows no operation of that name."""

    code = "unknown_op"


class BadValue(BadRequest):
    """A value that cannot be written by the serializer, or read back by it."""


class Unauthenticated(TlruError):
    """The node wants a token, or does not accept the one it was given."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(TlruError):
    """The token does not allow this."""

    code = "forbidden"
    http_status = 403


class AlreadySubscribed(TlruError):
    """This connection has the same subscription already."""

    code = "already_subscribed"
    http_status = 409


class WrongEpoch(TlruError):
    """A position or version of another life of the cache: forget it and ask anew."""

    code = "wrong_epoch"
    http_status = 409


class TooLarge(TlruError):
    """A key, value, message or answer is over its limit."""

    code = "too_large"
    http_status = 413


class NotInteger(TlruError, TypeError):
    """`incr` met a value that is no integer."""

    code = "not_integer"
    http_status = 422


class OutOfRange(TlruError):
    """The result of `incr` would not fit 64 bits."""

    code = "out_of_range"
    http_status = 422


class RateLimited(TlruError):
    """Too fast for this client class; not done. Come back after `after` seconds."""

    code = "rate_limited"
    retry = Retry.SAME
    http_status = 429

    @property
    def after(self) -> float:
        """Seconds to wait before asking again."""
        return float(self.facts.get("after", 0.0))


class Unavailable(TlruError):
    """Not done and never will be here; another node may do it. `code` is the reason."""

    code = "unavailable"
    retry = Retry.OTHER
    http_status = 503

    def __init__(self, message: str, *, code: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        if code is not None:
            self.code = code


class Overloaded(Unavailable):
    """The node protects itself, or a bounded table of it is full."""

    code = "overloaded"


class NoQuorum(Unavailable):
    """Too few voters are in touch to commit anything."""

    code = "no_quorum"


class Timeout(TlruError, TimeoutError):
    """The time given was not enough. Unless `outcome_known`, a write may still have been done."""

    code = "timeout"
    retry = Retry.UNKNOWN
    http_status = 504

    def __init__(self, message: str, *, outcome_known: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        if outcome_known:
            self.retry = Retry.NO

    @property
    def outcome_known(self) -> bool:
        """True where it is certain that it was not done."""
        return self.retry is not Retry.UNKNOWN


class UnknownOutcome(TlruError):
    """A write was sent, and whether it was done is not known."""

    code = "unknown_outcome"
    retry = Retry.UNKNOWN


class NotEnoughReplicas(UnknownOutcome):
    """`ack: all` was asked for and some voter does not hold it yet; see `committed`."""

    code = "not_enough_replicas"
    http_status = 504


class TooOld(UnknownOutcome):
    """A named operation was repeated after its result had been forgotten."""

    code = "too_old"
    http_status = 409


class Internal(UnknownOutcome):
    """The node failed in a way nobody foresaw; its log says how."""

    code = "internal"


# The statuses of a node that refuse data requests (`Unavailable` with that code).
REFUSING_STATUSES = (
    "starting",
    "recovering",
    "syncing",
    "inconsistent",
    "isolated",
    "draining",
    "removed",
    "outdated",
)

_BY_CODE: dict[str, type[TlruError]] = {
    cls.code: cls
    for cls in (
        BadRequest,
        UnknownOp,
        Unauthenticated,
        Forbidden,
        AlreadySubscribed,
        WrongEpoch,
        TooLarge,
        NotInteger,
        OutOfRange,
        RateLimited,
        Overloaded,
        NoQuorum,
        NotEnoughReplicas,
        TooOld,
        Internal,
    )
}


def from_wire(error: Mapping[str, Any]) -> TlruError:
    """The exception that a reply's `error` stands for; an unknown code keeps its `retry`."""
    facts = dict(error)
    code = str(facts.pop("code", "internal"))
    message = str(facts.pop("message", code))
    facts.pop("status", None)
    try:
        retry = Retry(facts.pop("retry", Retry.UNKNOWN))
    except ValueError:
        retry = Retry.UNKNOWN
    if code == Timeout.code:
        return Timeout(message, outcome_known=retry is not Retry.UNKNOWN, **facts)
    if (known := _BY_CODE.get(code)) is not None:
        return known(message, **facts)
    if retry is Retry.OTHER:
        return Unavailable(message, code=code, **facts)
    other = (
        UnknownOutcome(message, **facts) if retry is Retry.UNKNOWN else TlruError(message, **facts)
    )
    other.code, other.retry = code, retry
    return other
