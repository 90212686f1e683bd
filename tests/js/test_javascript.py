"""The JavaScript client: its tests run in Node.js, against nodes that are started here."""

from __future__ import annotations

import json
import math
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.processes import processes
from tests.js.running_node import HERE, equip, node, run_tests
from tests.running import a_node, run
from tests.spans import a_parent, spans_of_this_process
from tlru import errors
from tlru._version import __version__ as release
from tlru.client.filling import lock_name
from tlru.wire import strict_json, values

CLIENT = HERE.parents[1] / "tlru" / "js"


def test_its_types_are_sound() -> None:
    """What the comments say of types is what the compiler finds."""
    equip()
    command = [node(), "node_modules/typescript/bin/tsc", "-p", "."]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout


def test_its_modules_are_small_and_import_nothing_from_elsewhere() -> None:
    for file in CLIENT.glob("*.js"):
        lines = file.read_text().splitlines()
        assert lines[0] == "// @ts-check", file.name
        assert len(lines) <= 500, file.name
        assert max(map(len, lines)) <= 100, file.name


def test_it_has_the_version_of_its_release() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert package["version"] == release
    assert _said(f'console.log((await import("{CLIENT.as_uri()}/settings.js")).VERSION)') == (
        f"{release}\n"
    )


def test_what_is_decided_without_a_connection() -> None:
    run(run_tests("pure.test.js"))


def test_what_it_says_to_a_server_that_misbehaves() -> None:
    run(run_tests("scripted.test.js"))


def test_operations_on_a_node() -> None:
    caught, parent = spans_of_this_process(), a_parent()

    async def test() -> None:
        async with a_node(tracing=True) as one:
            await run_tests("operations.test.js", {"url": one.url, "traceparent": str(parent)})

    run(test())
    assert {(name, above) for name, _, above in caught.tree(parent)} >= {
        ("set", "client"),
        ("incr", "client"),
        ("apply", "set at n1"),
    }


def test_filling_from_elsewhere_on_a_node() -> None:
    async def test() -> None:
        keys = ("user:7", "x" * 200, "x" * 201, "é" * 300, "\U0001f600" * 201)
        async with a_node() as one:
            locks = [(key, lock_name(key)) for key in keys]
            await run_tests("filling.test.js", {"url": one.url, "locks": locks})

    run(test())


def test_the_examples_of_its_page_do_what_they_say() -> None:
    async def test() -> None:
        page = (HERE.parents[1] / "docs" / "javascript.md").read_text()
        examples = re.findall(r"^```js\n(.*?)^```$", page, re.M | re.S)
        assert len(examples) == 4
        async with a_node() as one:
            await run_tests("docs.test.js", {"url": one.url, "examples": examples})

    run(test())


def test_subscriptions_on_a_node() -> None:
    async def test() -> None:
        async with a_node() as one:
            await run_tests("feeds.test.js", {"url": one.url})

    run(test())


def test_a_node_is_killed_under_it(tmp_path: Path) -> None:
    """Whoever is subscribed misses nothing and hears nothing twice; whoever writes is told."""

    async def test() -> None:
        async with processes(tmp_path, "n1", "n2", "n3") as cluster:
            await cluster.until_alike()
            nodes = [
                {"id": each.id, "url": each.url, "pid": each.pid} for each in cluster.nodes.values()
            ]
            await run_tests("cluster.test.js", {"nodes": nodes})

    run(test())


# -- against Python's words and values

_DUMP_ERRORS = """
import * as errors from "%s/errors.js";
const retries = Object.fromEntries(
  Object.entries(errors).filter(([, each]) => typeof each === "function" && each.code)
    .map(([name, each]) => [name, [each.code, each.retry]]));
const parents = Object.fromEntries(
  Object.entries(errors).filter(([, each]) => typeof each === "function" && each.code)
    .map(([name, each]) => [name, Object.getPrototypeOf(each).name]));
const codes = Object.fromEntries(
  Object.entries(errors.BY_CODE).map(([code, each]) => [code, each.name]));
console.log(JSON.stringify({ retries, parents, codes, refusing: errors.REFUSING_STATUSES }));
"""


def _said(script: str, given: str = "") -> str:
    command = [node(), "--input-type=module", "-e", script]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_errors_have_the_names_codes_and_retries_that_python_has() -> None:
    told = json.loads(_said(_DUMP_ERRORS % CLIENT.as_uri()))
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.TlruError)
    }
    # The lock's own error lives beside the locks in Python.
    assert told["retries"].pop("LockLost") == ["lock_lost", "no"]
    told["parents"].pop("LockLost")
    assert told["retries"] == {name: [k.code, str(k.retry)] for name, k in kinds.items()}
    parents = {name: k.__mro__[1].__name__ for name, k in kinds.items()}
    assert told["parents"] == parents | {"TlruError": "Error"}
    by_code = {code: kind.__name__ for code, kind in errors._BY_CODE.items()}
    assert told["codes"] == by_code | {"timeout": "Timeout"}
    assert told["refusing"] == list(errors.REFUSING_STATUSES)


_ECHO = """
import { decode, encode } from "%s/values.js";
import { readFileSync } from "node:fs";
const lines = readFileSync(0, "utf8").split("\\n").filter(Boolean);
console.log(lines.map((line) => encode(decode(JSON.parse(line)))).join("\\n"));
"""

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NAMES = st.one_of(_TEXTS, _TEXTS.map(lambda text: "$" + text), st.just("__proto__"))
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
    lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000, tzinfo=UTC)
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1]),
    st.floats(),
    _TEXTS,
    st.binary(max_size=20),
    _TIMES,
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
)
_KEYS = st.one_of(st.integers(-(2**63), 2**64 - 1), st.none(), _TEXTS, st.binary(max_size=5))
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(_NAMES, inner, max_size=4),
        st.dictionaries(_KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


def _as_javascript_has_it(value: Any) -> Any:
    """A value that compares: there a whole number is the same whether or not it was a float."""
    match value:
        case float() if math.isnan(value):
            return "not a number"
        case float() if value.is_integer() and abs(value) <= 2**53:
            return ("number", int(value), math.copysign(1, value) < 0)
        case bool() | None:
            return value
        case int() if abs(value) <= 2**53:
            return ("number", value, value < 0)
        case list():
            return [_as_javascript_has_it(each) for each in value]
        case dict():
            # One whose keys are names has them in any order, since that is how objects are there.
            pairs = [
                [_as_javascript_has_it(key), _as_javascript_has_it(each)]
                for key, each in value.items()
            ]
            return sorted(pairs, key=repr)
        case _:
            return value


def _unpacked(data: bytes) -> Any:
    return _as_javascript_has_it(msgpack.unpackb(data, strict_map_key=False))


def test_values_come_back_from_javascript_as_python_wrote_them() -> None:
    """Generated ones, all of them through one process: decoded there, encoded again, the same."""
    packed: list[bytes] = []

    @settings(
        max_examples=400, database=None, suppress_health_check=[HealthCheck.too_slow]
    )  # a machine that stands still for two seconds is no fault of the strategy's
    @given(_VALUES)
    def gather(value: Any) -> None:
        packed.append(msgpack.packb(value, datetime=True))

    gather()
    lines = [strict_json.dumps(values.unpack(each)).decode() for each in packed]
    answers = _said(_ECHO % CLIENT.as_uri(), "\n".join(lines)).rstrip("\n").split("\n")
    assert len(answers) == len(packed) > 100
    for before, line, answer in zip(packed, lines, answers, strict=True):
        after = values.pack(strict_json.parse(answer.encode()))
        assert _unpacked(after) == _unpacked(before), (line, answer)


def test_bytes_that_are_no_value_come_back_as_they_were() -> None:
    for data in (b"\xc1", b"\x81\xa1a", b"\xa2\xff\xff", b""):
        line = strict_json.dumps(values.unpack(data)).decode()
        answer = _said(_ECHO % CLIENT.as_uri(), line).strip()
        assert values.pack(strict_json.parse(answer.encode())) == data


def test_equipping_is_done_once() -> None:
    """A second time costs nothing, since what is there is what the lock file names."""
    equip()
    before = (HERE / "node_modules" / ".tlru-installed").stat().st_mtime_ns
    equip()
    assert (HERE / "node_modules" / ".tlru-installed").stat().st_mtime_ns == before


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert all("resolved" not in each for each in packages.values())
