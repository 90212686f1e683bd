"""What a field of a request may be: one check for each kind, strict, with a sentence when it fails.

Pure. A check takes what came over the wire and gives what the node works with: seconds become
milliseconds, a condition becomes the machine's, a value becomes bytes. What it refuses is a
`BadRequest` or `TooLarge` that names the field, what was found, and what would do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tlru import errors
from tlru.engine.operations import Condition, Once, Rev
from tlru.wire import traceparent
from tlru.wire.limits import (
    CLIENT_NAME_CHARS_MAX,
    MIME_CHARS_MAX,
    NUMBER_MAX,
    PREFIX_BYTES_MAX,
    REV_CHARS_MAX,
    SESSION_CHARS_MAX,
    TIMEOUT_S_MAX,
    TTL_S_MAX,
    TTL_S_MIN,
    Limits,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a connection reads: its limits, and how a value of its encoding becomes bytes."""

    limits: Limits
    take_value: Callable[[Any], bytes]


Check = Callable[[Any, str, Reading], Any]


def _bad(name: str, found: Any, wanted: str) -> errors.BadRequest:
    return errors.BadRequest(f"`{name}` is {shown(found)}; it must be {wanted}")


def shown(found: Any) -> str:
    """What came, in a few words: never a whole value, which may be long or secret."""
    if found is None:
        return "null"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int | float):
        return str(found) if abs(found) < 1e21 else "a very large number"
    kinds: dict[type, str] = {
        str: "text",
        bytes: "bytes",
        list: "a list",
        tuple: "a list",
        dict: "an object",
    }
    return kinds.get(type(found), "of an unknown type")


def key(found: Any, name: str, reading: Reading) -> str:
    """A key, channel or lock name."""
    if not isinstance(found, str):
        raise _bad(name, found, f"text of 1 to {reading.limits.key_bytes} bytes")
    _check_text(found, name, reading.limits.key_bytes)
    if not found:
        raise errors.BadRequest(f"`{name}` is empty; it must have at least one byte")
    return found


def prefix(found: Any, name: str, reading: Reading) -> str:
    """The beginning of keys; empty means all."""
    if not isinstance(found, str):
        raise _bad(name, found, "text")
    _check_text(found, name, min(reading.limits.key_bytes, PREFIX_BYTES_MAX))
    return found


def _check_text(found: str, name: str, bytes_max: int) -> None:
    try:
        size = len(found) if found.isascii() else len(found.encode())
    except UnicodeEncodeError:
        raise errors.BadRequest(f"`{name}` has a lone surrogate; it must be valid UTF-8") from None
    if size > bytes_max:
        raise errors.TooLarge(f"`{name}` has {size} bytes; at most {bytes_max} are allowed")


def keys(found: Any, name: str, reading: Reading) -> tuple[str, ...]:
    """A list of keys."""
    _check_list(found, name, reading)
    return tuple(key(each, f"{name}[{i}]", reading) for i, each in enumerate(found))


def _check_list(found: Any, name: str, reading: Reading) -> None:
    if not isinstance(found, list):
        raise _bad(name, found, "a list")
    if len(found) > reading.limits.keys:
        raise errors.TooLarge(
            f"`{name}` has {len(found)} members; at most {reading.limits.keys} are allowed"
        )
    if not found:
        raise errors.BadRequest(f"`{name}` is an empty list; it must have at least one member")


def value(found: Any, name: str, reading: Reading) -> bytes:
    """A value, as the bytes that are kept."""
    taken = reading.take_value(found)
    if len(taken) > reading.limits.value_bytes:
        raise errors.TooLarge(
            f"`{name}` has {len(taken)} bytes; at most {reading.limits.value_bytes} are allowed"
        )
    return taken


_NUMBERS = (int, float)


def _number(found: Any, name: str, wanted: str) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise _bad(name, found, wanted)
    return found


def ttl(found: Any, name: str, reading: Reading) -> int:
    """A time to live: seconds become milliseconds."""
    wanted = f"seconds from {TTL_S_MIN} to {TTL_S_MAX}"
    seconds = _number(found, name, wanted)
    if not TTL_S_MIN <= seconds <= TTL_S_MAX:
        raise _bad(name, found, wanted)
    return round(seconds * 1000)


def wait(found: Any, name: str, reading: Reading) -> int:
    """A wait or a timeout: seconds from 0 become milliseconds."""
    if type(found) in _NUMBERS and 0 <= found <= TIMEOUT_S_MAX:
        milliseconds: int = round(found * 1000)
        return milliseconds
    wanted = f"seconds from 0 to {TIMEOUT_S_MAX}"
    seconds = _number(found, name, wanted)
    if not 0 <= seconds <= TIMEOUT_S_MAX:
        raise _bad(name, found, wanted)
    return round(seconds * 1000)


def flag(found: Any, name: str, reading: Reading) -> bool:
    """True or false."""
    if not isinstance(found, bool):
        raise _bad(name, found, "true or false")
    return found


def integer(found: Any, name: str, reading: Reading) -> int:
    """An integer that every client's numbers hold exactly."""
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > NUMBER_MAX:
        raise _bad(name, found, "an integer below 2^53")
    return found


def natural(found: Any, name: str, reading: Reading) -> int:
    """An integer from 0."""
    if integer(found, name, reading) < 0:
        raise _bad(name, found, "an integer from 0")
    return int(found)


def page(found: Any, name: str, reading: Reading) -> int:
    """How many members a page may have."""
    if not 1 <= integer(found, name, reading) <= reading.limits.scan:
        raise _bad(name, found, f"an integer from 1 to {reading.limits.scan}")
    return int(found)


def choice(*words: str) -> Check:
    """One of some words."""

    def check(found: Any, name: str, reading: Reading) -> str:
        if not isinstance(found, str) or found not in words:
            raise _bad(name, found, "one of " + ", ".join(words))
        return found

    return check


def condition(found: Any, name: str, reading: Reading) -> Condition:
    """What `if` demands."""
    wanted = "absent, present, a version, or {unchanged: position}"
    if found in ("absent", "present") and isinstance(found, str):
        return (found,)
    if isinstance(found, int) and not isinstance(found, bool):
        return ("version", natural(found, name, reading))
    if isinstance(found, dict) and found.keys() == {"unchanged"}:
        return ("unchanged", natural(found["unchanged"], f"{name}.unchanged", reading))
    raise _bad(name, found, wanted)


def rev(found: Any, name: str, reading: Reading) -> Rev:
    """A source's own revision."""
    if isinstance(found, str):
        _check_text(found, name, REV_CHARS_MAX)
        return found
    return integer(found, name, reading)


def mime(found: Any, name: str, reading: Reading) -> str:
    """A content type. It is sent back as an HTTP header, so nothing but visible ASCII."""
    if not isinstance(found, str) or not 0 < len(found) <= MIME_CHARS_MAX:
        raise _bad(name, found, f"text of 1 to {MIME_CHARS_MAX} characters")
    if not found.isascii() or not found.isprintable():
        raise errors.BadRequest(f"`{name}` must be printable ASCII, as in text/plain")
    return found


def text(found: Any, name: str, reading: Reading) -> str:
    """A short text that is only shown or compared."""
    if not isinstance(found, str) or len(found) > CLIENT_NAME_CHARS_MAX:
        raise _bad(name, found, f"text of at most {CLIENT_NAME_CHARS_MAX} characters")
    return found


def token(found: Any, name: str, reading: Reading) -> str:
    """A token; what it says is checked elsewhere."""
    if not isinstance(found, str):
        raise _bad(name, found, "text")
    return found


@dataclass(frozen=True, slots=True)
class Min:
    """Where a reader has been: the node that answers must have come as far."""

    pos: int
    epoch: str | None = None
    time: int | None = None


def minimum(found: Any, name: str, reading: Reading) -> Min:
    """A position, alone or with its epoch and the highest time seen."""
    if not isinstance(found, dict):
        return Min(natural(found, name, reading))
    _only(found, name, required=("pos",), optional=("epoch", "time"))
    epoch = found.get("epoch")
    if epoch is not None and not isinstance(epoch, str):
        raise _bad(f"{name}.epoch", epoch, "text")
    time = found.get("time")
    return Min(
        natural(found["pos"], f"{name}.pos", reading),
        epoch,
        None if time is None else natural(time, f"{name}.time", reading),
    )


def pattern(found: Any, name: str, reading: Reading) -> str:
    """The shorthand of what is to be watched: a key or channel, and a character at either end."""
    if not isinstance(found, str) or not found:
        raise _bad(name, found, "text such as price:EUR, price:*, * or #news")
    _check_text(found, name, reading.limits.key_bytes + 2)
    return found


def since(found: Any, name: str, reading: Reading) -> Min:
    """A position with its epoch, to go on from."""
    if not isinstance(found, dict):
        raise _bad(name, found, "an object of epoch and pos")
    _only(found, name, required=("epoch", "pos"), optional=())
    if not isinstance(found["epoch"], str):
        raise _bad(f"{name}.epoch", found["epoch"], "text")
    return Min(natural(found["pos"], f"{name}.pos", reading), found["epoch"])


def once(found: Any, name: str, reading: Reading) -> Once:
    """A client's own name for a write."""
    if not isinstance(found, dict):
        raise _bad(name, found, "an object of session, n and at")
    _only(found, name, required=("session", "n", "at"), optional=("done",))
    session = found["session"]
    if not isinstance(session, str) or not 0 < len(session) <= SESSION_CHARS_MAX:
        raise _bad(f"{name}.session", session, f"text of 1 to {SESSION_CHARS_MAX} characters")
    _check_text(session, f"{name}.session", SESSION_CHARS_MAX * 4)
    done = found.get("done")
    return Once(
        session,
        natural(found["n"], f"{name}.n", reading),
        natural(found["at"], f"{name}.at", reading),
        None if done is None else natural(done, f"{name}.done", reading),
    )


def trace(found: Any, name: str, reading: Reading) -> traceparent.Parent:
    """The context of the trace that a write belongs to."""
    parent = traceparent.parse(found) if isinstance(found, str) else None
    if parent is None or len(found) != traceparent.CHARS or found[:2] != "00":
        raise _bad(name, found, "text as in W3C's traceparent, version 00")
    return parent


Row = tuple[str, bytes, int | None, Rev | None, str | None]


def rows(found: Any, name: str, reading: Reading) -> tuple[Row, ...]:
    """The items of `set_many`; no key twice."""
    _check_list(found, name, reading)
    take_value = reading.take_value
    key_bytes, value_bytes = reading.limits.key_bytes, reading.limits.value_bytes
    taken: list[Row] = []
    for i, each in enumerate(found):
        # The usual row, a short ASCII key and a value alone, is told at a glance.
        if type(each) is dict and len(each) == 2 and "value" in each:
            key_, taken_value = each.get("key"), each["value"]
            if type(key_) is str and 0 < len(key_) <= key_bytes and key_.isascii():
                if type(taken_value) is not bytes:  # which is how msgpack gives it
                    taken_value = take_value(taken_value)
                if len(taken_value) <= value_bytes:
                    taken.append((key_, taken_value, None, None, None))
                    continue
        taken.append(_row(each, f"{name}[{i}]", reading))
    if len({row[0] for row in taken}) != len(taken):
        raise errors.BadRequest(f"`{name}` has a key twice; which value should stay?")
    return tuple(taken)


def _row(found: Any, name: str, reading: Reading) -> Row:
    if not isinstance(found, dict):
        raise _bad(name, found, "an object of key and value")
    if len(found) != 2 or "key" not in found or "value" not in found:
        _only(found, name, required=("key", "value"), optional=("ttl", "rev", "mime"))

    def optional(field: str, check: Check) -> Any:
        each = found.get(field)
        return None if each is None else check(each, f"{name}.{field}", reading)

    return (
        key(found["key"], f"{name}.key", reading),
        value(found["value"], f"{name}.value", reading),
        optional("ttl", ttl),
        optional("rev", rev),
        optional("mime", mime),
    )


def _only(
    found: dict[Any, Any], name: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    if missing := [field for field in required if field not in found]:
        raise errors.BadRequest(f"`{name}` lacks {', '.join(missing)}")
    if unknown := [field for field in found if field not in required and field not in optional]:
        raise errors.BadRequest(f"`{name}` has unknown fields: {listed(unknown)}")


def listed(names: list[Any]) -> str:
    """A few names of a stranger's, each cut to a bearable length."""
    some = ", ".join(str(name)[:40] for name in names[:8])
    return some if len(names) <= 8 else f"{some} and {len(names) - 8} more"
