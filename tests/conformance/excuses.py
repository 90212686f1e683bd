"""What a schema cannot say, and so is not held against a node that says it.

Each excuse is as narrow as it can be: one check, the operations it is about, what the request must
have been like, and what the answer must then say. A node that answers otherwise is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemathesis import Case, Response

from tlru.wire.requests import WATCHED

SHORT_S = 1.0
_ALL_OF_A_KEY = "DELETE, GET, HEAD, OPTIONS, POST, PUT"

_OF_KEYS = [
    f"{method} {path}"
    for method in ("GET", "PUT", "DELETE")
    for path in ("/v1/keys", "/v1/keys/{key}")
]

REFUSED, TAKEN = "RejectedPositiveData", "AcceptedNegativeData"


@dataclass(frozen=True)
class Excuse:
    """One of them."""

    reason: str
    failure: str
    """The class of Schemathesis's failure."""
    operations: frozenset[str]
    """Empty for all."""
    fits: Callable[[Case[Any], Response], bool]


def _query(case: Case[Any]) -> Mapping[str, Any]:
    return case.query if isinstance(case.query, Mapping) else {}


def _body(case: Case[Any]) -> Mapping[str, Any]:
    return case.body if isinstance(case.body, Mapping) else {}


def problem(response: Response) -> tuple[int, str]:
    """Status and detail of an error."""
    try:
        told = response.json()
    except ValueError:
        return response.status_code, ""
    return response.status_code, str(told.get("detail", "")) if isinstance(told, dict) else ""


def _said_twice(case: Case[Any], response: Response) -> bool:
    """A field stands in the query and in the body."""
    status, detail = problem(response)
    both = {
        name for name, found in _query(case).items() if name in _body(case) and found is not None
    }
    return bool(both) and status == 400 and ("twice" in detail or "query and in the body" in detail)


def _key_and_page(case: Case[Any], response: Response) -> bool:
    """`key` asks for one value, the other fields for a page of keys."""
    paging = {"prefix", "after", "limit", "values"} & set(_query(case))
    return "key" in _query(case) and bool(paging) and _says(response, 400, "unknown fields")


def _two_conditions(case: Case[Any], response: Response) -> bool:
    both = {"if-match", "if-none-match"} <= {name.lower() for name in case.headers or {}}
    return both and _says(response, 400, "demand different things")


def _no_key(case: Case[Any], response: Response) -> bool:
    """It may stand in either place, so neither place demands it."""
    lacking = [
        name for name in ("key", "value") if name not in _query(case) and name not in _body(case)
    ]
    return any(_says(response, 400, f"`{name}`") for name in lacking)


def _more_bytes_than_characters(case: Case[Any], response: Response) -> bool:
    return not _ascii(case) and _says(response, 413, "bytes; at most")


def _ascii(case: Case[Any]) -> bool:
    said = (case.path_parameters, case.query, case.body)
    return all(str(each).isascii() for each in said)


def _says(response: Response, status: int, words: str) -> bool:
    found, detail = problem(response)
    return found == status and words in detail


def _results_refused(case: Case[Any], response: Response) -> bool:
    """A batch answers 200, and of what is wrong in it each with its own error."""
    results = response.json() if response.status_code == 200 else []
    return any(each["ok"] is False and each["error"]["retry"] == "no" for each in results)


def _another_version(case: Case[Any], response: Response) -> bool:
    return _conditions(case) and response.status_code == 412


def _conditions(case: Case[Any]) -> bool:
    return not {"if-match", "if-none-match"}.isdisjoint(name.lower() for name in case.headers or {})


def _nothing_to_watch(case: Case[Any], response: Response) -> bool:
    said = [name for name in WATCHED if name in _query(case)]
    return len(said) != 1 and _says(response, 400, "says what to watch")


def _decimal_point(case: Case[Any], response: Response) -> bool:
    return _has_whole_float(case.body) and _says(response, 400, "integer")


def _has_whole_float(found: object) -> bool:
    return any(isinstance(each, float) and each.is_integer() for each in _leaves(found))


def _too_long_an_integer(case: Case[Any], response: Response) -> bool:
    long = any(isinstance(each, int) and abs(each) >= 1 << 63 for each in _leaves(case.body))
    return long and _says(response, 400, "does not fit 64 bits")


def _leaves(found: object) -> Iterator[object]:
    """All that a value of JSON consists of, its lists and objects aside."""
    if isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from _leaves(each)
    else:
        yield found


def _no_time(case: Case[Any], response: Response) -> bool:
    try:
        within_s = float(_query(case).get("timeout", "inf"))
    except (TypeError, ValueError):
        return False
    return within_s < SHORT_S and response.status_code == 504


def _two_lives(case: Case[Any], response: Response) -> bool:
    return {"ttl", "keep_ttl"} <= set(_query(case)) and _says(response, 400, "which life")


def _two_caches(case: Case[Any], response: Response) -> bool:
    headers = {name.lower(): found for name, found in (case.headers or {}).items()}
    differ = headers.get("tlru-cache") != _query(case).get("cache")
    return differ and _says(response, 400, "name different caches")


EXCUSES: tuple[Excuse, ...] = (
    Excuse(
        "a field in the query and in the body is one too many; no schema spans the two",
        REFUSED,
        frozenset(("POST /v1/keys/incr", "POST /v1/keys/{key}/incr", "POST /cache")),
        _said_twice,
    ),
    Excuse(
        "of GET /v1/keys, `key` and the fields of a page exclude each other; OpenAPI has no word "
        "for query fields that do",
        REFUSED,
        frozenset(("GET /v1/keys",)),
        _key_and_page,
    ),
    Excuse(
        "If-Match and If-None-Match exclude each other; OpenAPI has no word for headers that do",
        REFUSED,
        frozenset(("PUT /v1/keys", "PUT /v1/keys/{key}")),
        _two_conditions,
    ),
    Excuse(
        "of PUT, `ttl` and `keep_ttl` exclude each other; OpenAPI has no word for query fields "
        "that do",
        REFUSED,
        frozenset(("PUT /v1/keys", "PUT /v1/keys/{key}")),
        _two_lives,
    ),
    Excuse(
        "a field and a header that name the cache must name the same one",
        REFUSED,
        frozenset(("GET /v1/events",)),
        _two_caches,
    ),
    Excuse(
        "what may stand in the query or in the body is demanded by neither",
        REFUSED,
        frozenset(("POST /cache",)),
        _no_key,
    ),
    Excuse(
        "a bound is in bytes; a schema counts characters",
        REFUSED,
        frozenset(),
        _more_bytes_than_characters,
    ),
    Excuse(
        "a batch is answered 200, and each of its operations by itself",
        TAKEN,
        frozenset(("POST /v1/batch",)),
        _results_refused,
    ),
    Excuse(
        "what is at /ws is a WebSocket, which Schemathesis does not speak",
        REFUSED,
        frozenset(("GET /ws",)),
        lambda _case, response: _says(response, 426, "WebSocket"),
    ),
    Excuse(
        "no schema tells a backup from other bytes",
        REFUSED,
        frozenset(("POST /v1/snapshot",)),
        lambda _case, response: _says(response, 400, "backup"),
    ),
    Excuse(
        "whether a condition holds depends on what is kept",
        REFUSED,
        frozenset(_OF_KEYS),
        _another_version,
    ),
    Excuse(
        "whether something can be added depends on what is kept",
        REFUSED,
        frozenset(("POST /v1/keys/incr", "POST /v1/keys/{key}/incr")),
        lambda _case, response: _says(response, 422, "is not an integer"),
    ),
    Excuse(
        "one field of five says what to watch; OpenAPI has no word for query fields that exclude "
        "each other",
        REFUSED,
        frozenset(("GET /v1/events",)),
        _nothing_to_watch,
    ),
    Excuse(
        "an integer is written without a decimal point, as the description says in words",
        REFUSED,
        frozenset(),
        _decimal_point,
    ),
    Excuse(
        "an integer of a value fits 64 bits, a float may be 1e30; to a schema both are integers",
        REFUSED,
        frozenset(),
        _too_long_an_integer,
    ),
    Excuse(
        "limits of classes are a text with a grammar of its own",
        REFUSED,
        frozenset(("PATCH /v1/settings",)),
        lambda case, response: "limits" in _body(case) and _says(response, 400, "`limits`"),
    ),
    Excuse(
        "who gives the cluster less than a second may be told that it took longer",
        "ServerError",
        frozenset(),
        _no_time,
    ),
    Excuse(
        "a key may end in /incr for every method but POST, as docs/http.md says",
        "AllowHeaderMismatch",
        frozenset(("POST /v1/keys/{key}/incr", "POST /v1/keys/incr")),
        lambda _case, response: response.headers["allow"] == [_ALL_OF_A_KEY],
    ),
    Excuse(
        "a key may end in /incr for every method but POST, as docs/http.md says",
        "UnsupportedMethodResponse",
        frozenset(("POST /v1/keys/{key}/incr", "POST /v1/keys/incr")),
        lambda _case, response: response.request.method in ("GET", "PUT", "DELETE"),
    ),
)


def excuse(kind: str, case: Case[Any], response: Response) -> str | None:
    """Why a failure is none; None where it is one."""
    for each in EXCUSES:
        concerned = not each.operations or case.operation.label in each.operations
        if each.failure == kind and concerned and each.fits(case, response):
            return each.reason
    return None
