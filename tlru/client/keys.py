"""The key under which the result of a call is kept: the function's name and its arguments.

Pure. The same call has the same key in every process and release of Python, and two calls that
could have different results have different keys. What cannot be told apart for certain (objects
without a value of their own) is refused.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import hashlib
import inspect
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeAlias

KeyFor: TypeAlias = Callable[..., str]

# Beyond this a key is cut, and a digest of the whole stands for the rest.
KEY_CHARS_MAX: Final = 200
DIGEST_BYTES: Final = 16
_ITSELF: Final = (type(None), bool, int, float, str, bytes)
_AS_TEXT: Final = (
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    uuid.UUID,
)


def key_maker(function: Callable[..., Any]) -> KeyFor:
    """What makes the keys of a function's calls, such as `app.users.load_user(7, full=True)`."""
    signature = inspect.signature(function)
    name = f"{function.__module__}.{function.__qualname__}"

    def key_for(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            told = [f"{each}={_told(value)}" for each, value in bound.arguments.items()]
        except TypeError as exc:
            raise TypeError(f"no key for a call of {name}: {exc}; say `key=`") from None
        return shortened(f"{name}({', '.join(told)})")

    return key_for


def shortened(key: str) -> str:
    """The key, or its beginning and a digest of all of it where it is long."""
    if len(key) <= KEY_CHARS_MAX:
        return key
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES)
    return f"{key[: KEY_CHARS_MAX // 2]}#{digest.hexdigest()}"


def _told(value: Any) -> str:
    kind = type(value)
    if kind in _ITSELF:
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if kind in _AS_TEXT:
        return f"{kind.__name__} {value}"
    if kind in (tuple, list):
        brackets = "()" if kind is tuple else "[]"
        return f"{brackets[0]}{', '.join(map(_told, value))}{brackets[1]}"
    if kind in (set, frozenset):
        return f"{{{', '.join(sorted(map(_told, value)))}}}"
    if kind is dict:
        told = sorted(f"{_told(name)}: {_told(each)}" for name, each in value.items())
        return f"{{{', '.join(told)}}}"
    raise TypeError(f"an argument of type {kind.__qualname__} has no text that stands for it")
