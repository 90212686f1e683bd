"""The transcripts in docs/protocol/transcripts are what a node really says, over both encodings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.running import CODECS, Talker, a_node, run, talking

FOLDER = Path(__file__).parents[2] / "docs/protocol/transcripts"
TRANSCRIPTS = sorted(FOLDER.glob("*.jsonl"))

_HOLE = re.compile(r"<(\w*):(int|num|str|any)>")
_NAME = re.compile(r"<(\w+?)(\+1)?>")
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "num": (int, float),
    "str": (str,),
    "any": (object,),
}
# Which fields of a message are values: `old` is a wish in a request, and a value in its reply.
SENT, SAID = ("value",), ("value", "old")


def filled(message: Any, names: dict[str, Any]) -> Any:
    """A message to send, its names replaced by what they stand for."""
    if isinstance(message, dict):
        return {key: filled(each, names) for key, each in message.items()}
    if isinstance(message, list):
        return [filled(each, names) for each in message]
    if isinstance(message, str) and (match := _NAME.fullmatch(message)):
        return names[match[1]] + 1 if match[2] else names[match[1]]
    return message


def differs(expected: Any, found: Any, names: dict[str, Any], where: str = "reply") -> str | None:
    """What is not as expected, or None; fills `names`."""
    if isinstance(expected, str) and (match := _HOLE.fullmatch(expected)):
        name, kind = match[1], match[2]
        if not isinstance(found, _TYPES[kind]) or (kind != "any" and isinstance(found, bool)):
            return f"{where}: {found!r} is no {kind}"
        if name and names.setdefault(name, found) != found:
            return f"{where}: {found!r} is not {names[name]!r}, as {name} was before"
        return None
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            return f"{where}: fields {sorted(found)} instead of {sorted(expected)}"
        problems = (differs(expected[k], found[k], names, f"{where}.{k}") for k in expected)
        return next((problem for problem in problems if problem), None)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = zip(expected, found, strict=True)
        problems = (differs(a, b, names, f"{where}[{i}]") for i, (a, b) in enumerate(pairs))
        return next((problem for problem in problems if problem), None)
    same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return None if same else f"{where}: {found!r} instead of {expected!r}"


def on_values(message: Any, change: Any, names: tuple[str, ...]) -> Any:
    """A message with every value in it changed, as the other encoding wants it."""
    if isinstance(message, dict):
        return {
            key: change(each) if key in names else on_values(each, change, names)
            for key, each in message.items()
        }
    if isinstance(message, list):
        return [on_values(each, change, names) for each in message]
    return message


async def replay(client: Talker, lines: list[dict[str, Any]]) -> None:
    """Send what is to be sent, and compare what comes, to the last field."""
    names: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        if "send" in line:
            message = filled(line["send"], names)
            if client.binary:
                message = on_values(message, msgpack.packb, SENT)
            await client.send(message)
        else:
            found = await client.receive()
            if client.binary:
                found = on_values(found, msgpack.unpackb, SAID)
            problem = differs(line["expect"], found, names)
            assert problem is None, f"line {number}: {problem}"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript_is_what_a_node_says(path: Path, codec: str) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert any("expect" in line for line in lines)

    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            await replay(client, lines)

    run(scenario())


def test_every_operation_of_this_release_is_in_a_transcript() -> None:
    """Lest a new operation go without one: whatever the table holds is shown somewhere."""
    from tlru.wire.requests import OPS

    sent = [json.loads(line) for path in TRANSCRIPTS for line in path.read_text().splitlines()]
    shown = {line["send"].get("op") for line in sent if "send" in line}
    assert set(OPS) - shown == {"status", "nodes", "node"}, "these say what only facts say"


def test_the_comparison_can_fail() -> None:
    names: dict[str, Any] = {}
    assert differs({"a": "<x:int>"}, {"a": 1}, names) is None
    assert differs({"a": "<x:int>"}, {"a": 2}, names) is not None
    assert differs({"a": 1}, {"a": 1, "b": 2}, names) is not None
    assert differs({"a": 1}, {"a": True}, names) is not None
    assert differs("<:str>", 5, names) is not None
    assert differs([1], [1, 2], names) is not None
