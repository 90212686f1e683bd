"""The schemas of the descriptions say what the checks of requests say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from tlru import errors
from tlru.node.http.replies import REPLIES
from tlru.node.http.schemas import CHOICES, JSON_VALUE, Requests, Schema, of_checks
from tlru.wire import values
from tlru.wire.fields import Reading
from tlru.wire.limits import NUMBER_MAX, Limits
from tlru.wire.requests import OPS, checked

LIMITS = Limits(key_bytes=8, keys=3, scan=5)
READING = Reading(LIMITS, values.pack)
REQUESTS = Requests(LIMITS)

FIELDS = [(op.name, name) for op in OPS.values() for name in op.fields]

# Something that each field takes, with its extremes.
TAKEN: dict[str, list[Any]] = {
    "token": ["", "x" * 9_000],
    "client": ["", "x" * 256],
    "max_bytes": [0, NUMBER_MAX],
    "key": ["a", "x" * 8, "ü🔑"],
    "keys": [["a"], ["a", "b", "a"]],
    "channel": ["a"],
    "name": ["a"],
    "node": ["", "n1"],
    "value": [None, 1, {"$b64": ""}, [{}]],
    "ttl": [0.001, 1, 315_360_000],
    "touch": [5],
    "keep_ttl": [True, False],
    "old": [True],
    "values": [False],
    "if": ["absent", "present", 0, NUMBER_MAX, {"unchanged": 5}],
    "rev": [-5, NUMBER_MAX, "", "x" * 1_024],
    "mime": ["text/plain", "x" * 255, " "],
    "ack": ["none", "leader", "quorum", "all"],
    "timeout": [0, 0.5, 3_600],
    "wait": [0, 1],
    "once": [
        {"session": "s", "n": 0, "at": 0},
        {"session": "x" * 64, "n": 1, "at": 2, "done": None},
        {"session": "s", "n": 1, "at": 2, "done": 0},
    ],
    "trace": [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    ],
    "items": [
        [{"key": "a", "value": None}],
        [{"key": "a", "value": 1, "ttl": None, "rev": "r", "mime": "x/y"}],
    ],
    "read": ["local", "linear", "any"],
    "min": [0, {"pos": 5}, {"pos": 5, "epoch": "1-a", "time": 7}, {"pos": 5, "epoch": None}],
    "prefix": ["", "x" * 8],
    "after": ["", "a"],
    "limit": [1, 5],
    "by": [-NUMBER_MAX, 0],
    "fence": [0],
    "feed": [0],
    "channel_prefix": ["", "x" * 8],
    "pattern": ["a", "*", "#" + "x" * 8 + "*"],
    "send": ["values", "keys"],
    "snapshot": [True],
    "fold": [False],
    "since": [{"epoch": "1-a", "pos": 0}],
}

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["absent", "local", "quorum", 0, 1, 5, NUMBER_MAX, 3_600, "x" * 300])
)
_names = st.sampled_from(
    ["unchanged", "pos", "epoch", "time", "session", "n", "at", "done", "key", "value", "ttl", "x"]
)
anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=5),
    max_leaves=8,
)


def schema_of(op: str, name: str) -> Schema:
    """A field's schema, its reference to a value resolved."""

    def resolved(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return JSON_VALUE
            return {key: resolved(each) for key, each in part.items()}
        return [resolved(each) for each in part] if isinstance(part, list) else part

    found: Schema = resolved(REQUESTS.of_field(name, OPS[op].fields[name]))
    return found


def is_taken(op: str, name: str, found: Any) -> bool:
    """Whether the check of a field takes something."""
    try:
        OPS[op].fields[name].check(found, name, READING)
    except (errors.BadRequest, errors.TooLarge):
        return False
    return True


@pytest.mark.parametrize(("op", "name"), FIELDS)
def test_every_field_of_every_operation_has_a_schema_that_takes_what_is_taken(
    op: str, name: str
) -> None:
    schema = schema_of(op, name)
    OAS31Validator.check_schema(schema)
    for sample in TAKEN[name]:
        assert is_taken(op, name, sample), sample
        OAS31Validator(schema).validate(sample)


@pytest.mark.parametrize(("op", "name"), sorted({name: (op, name) for op, name in FIELDS}.values()))
def test_a_check_takes_nothing_that_its_schema_refuses(op: str, name: str) -> None:
    validator = OAS31Validator(schema_of(op, name))

    @settings(max_examples=30, deadline=None)  # for each of some thirty fields
    @given(anything | st.sampled_from(TAKEN[name]))
    def law(found: Any) -> None:
        if is_taken(op, name, found):
            validator.validate(found)

    law()


@pytest.mark.parametrize("name", CHOICES)
def test_the_words_of_a_choice_are_those_that_its_check_takes(name: str) -> None:
    ops = [op for op in OPS if name in OPS[op].fields]
    assert ops
    for op in ops:
        told = str(_refusal(op, name))
        assert all(word in told for word in CHOICES[name])
        assert told.count(",") == len(CHOICES[name]) - 1


def _refusal(op: str, name: str) -> errors.BadRequest:
    with pytest.raises(errors.BadRequest) as caught:
        OPS[op].fields[name].check("nonsense", name, READING)
    return caught.value


def test_no_schema_stands_for_a_check_that_no_operation_has() -> None:
    used = {field.check for op in OPS.values() for field in op.fields.values()}
    assert set(of_checks(LIMITS)) <= used


@pytest.mark.parametrize("op", OPS)
def test_a_request_of_samples_is_as_described_and_as_checked(op: str) -> None:
    schema = REQUESTS.of_op(OPS[op])
    required = {name: TAKEN[name][0] for name in OPS[op].required}
    if op in ("delete", "subscribe"):
        required["key"] = "a"
    checked(OPS[op], required, READING)
    resolved = {
        **schema,
        "properties": {
            name: (each if name == "op" or name not in OPS[op].required else schema_of(op, name))
            for name, each in schema["properties"].items()
        },
    }
    OAS31Validator(resolved).validate({"op": op, **required})
    for name in required:
        lacking = {"op": op, **{one: each for one, each in required.items() if one != name}}
        assert not OAS31Validator(resolved).is_valid(lacking)


def test_every_operation_has_a_reply() -> None:
    assert set(REPLIES) == set(OPS)
