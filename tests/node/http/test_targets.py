"""Keys survive their way through a request target, byte for byte."""

from __future__ import annotations

import contextlib
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.node.http.visiting import path_of, visit
from tests.running import a_node, run, talking
from tlru.errors import BadRequest
from tlru.node.http import targets

# What somebody has in a key sooner or later.
KEYS = [
    "plain",
    "a/b/c",
    "a//b",
    "/a",
    "a/",
    "/",
    "//",
    ".",
    "..",
    "../../etc/passwd",
    "a/./b/../c",
    "a b",
    " ",
    "a+b",
    "100%",
    "%41",
    "%2F",
    "%25",
    "a?b=c&d",
    "a#b",
    "a;b",
    "a=b",
    "{key}",
    "ключ",
    "键",
    "🔑👩‍👩‍👧",
    "e\u0301",  # not normalised: this and the next are two keys
    "\u00e9",
    "\x00\x01\n\r\t\x7f",
    '"quoted"\\',
    "incr",
    "a/incr",
    "http://example.com/x",
    "x" * 1024,
    "ü" * 512,
]

# Printable ASCII that may stand in a path as it is.
UNESCAPED = "abcXYZ019-._~!$&'()*+,;=:@/"

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)

keys = _TEXTS.filter(lambda key: key and not key.startswith("_tlru/"))


def test_keys_survive_the_path_and_the_query_exactly() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for key in KEYS:
                done = await visit(node, "PUT", path_of(key), json=key)
                assert done.status == 201, key
                by_query = await visit(node, "GET", f"/v1/keys?key={quote_plus(key)}")
                assert by_query.json == key
            async with talking(node, "tlru.v1.msgpack") as client:
                for key in KEYS:
                    found = await client.ask("get", key=key)
                    assert found["value"] == key
                assert (await client.ask("scan", limit=1000))["keys"] == sorted(KEYS)

    run(scenario())


@settings(deadline=None)
@given(st.lists(keys, min_size=1, max_size=20, unique=True))
def test_any_keys_are_kept_apart(wanted: list[str]) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for number, key in enumerate(wanted):
                target = path_of(key) if number % 2 else f"/v1/keys?key={quote(key, safe='')}"
                assert (await visit(node, "PUT", target, json=number)).status == 201
            async with talking(node) as client:
                for number, key in enumerate(wanted):
                    assert (await client.ask("get", key=key))["value"] == number

    run(scenario())


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/v1/keys/a+b", "a+b"),
        ("/v1/keys/a%2Bb", "a+b"),
        ("/v1/keys?key=a+b", "a b"),
        ("/v1/keys?key=a%2Bb", "a+b"),
        ("/v1/keys/a%2fb", "a/b"),
        ("/v1/keys/a/b", "a/b"),
        ("/v1/keys//a", "/a"),
        ("/v1/keys/..", ".."),
        ("/v1/keys/a/../b", "a/../b"),
        ("/v1/keys/%2e%2e", ".."),
        ("/v1/keys/%252F", "%2F"),
        ("/v1/keys/a;b=c,d", "a;b=c,d"),
        ("/v1/keys?key=a=b", "a=b"),
        ("http://localhost/v1/keys/a", "a"),
        ("HTTP://localhost:1/v1/keys?key=a", "a"),
        ("/v1/keys/http://x/y", "http://x/y"),
    ],
)
def test_a_target_is_decoded_once_and_not_normalised(target: str, key: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert (await visit(node, "PUT", target, json="here")).status == 201
            assert (await visit(node, "GET", path_of(key))).json == "here"

    run(scenario())


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/keys/%",
        b"/v1/keys/a%2",
        b"/v1/keys/%zz",
        b"/v1/keys/%u0041",
        b"/v1/keys/%ff",
        b"/v1/keys/%ed%a0%80",  # half a surrogate pair
        b"/v1/keys/%c0%80",  # an overlong nul
        b"/v1/keys/\xff",
        "/v1/keys/ключ".encode(),  # not encoded at all
        b"/v1/keys?key=%",
        b"/v1/keys?key=%ff",
        b"/v1/keys?%ff=a",
        b"/v1/keys/a#b",
        b"/v1/keys?key=a#b",
        b"/v1/keys?key=a&key=b",
    ],
)
def test_what_is_not_percent_encoded_utf_8_is_refused(target: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            refused = await visit(node, "PUT", target, json=1)
            assert refused.status == 400
            assert refused.code == "bad_request"

    run(scenario())


def test_a_key_of_more_than_1024_bytes_is_too_large() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for key in ("x" * 1025, "ü" * 513):
                refused = await visit(node, "PUT", path_of(key), json=1)
                assert refused.status == 413
                assert refused.code == "too_large"

    run(scenario())


def test_a_key_that_ends_in_incr_is_a_key_for_every_method_but_post() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert (await visit(node, "PUT", "/v1/keys/a/incr", json=7)).status == 201
            assert (await visit(node, "GET", "/v1/keys/a/incr")).json == 7
            assert (await visit(node, "POST", "/v1/keys/a/incr")).json["value"] == 1  # of "a"
            assert (await visit(node, "POST", "/v1/keys/a/incr/incr")).json["value"] == 8
            assert (await visit(node, "POST", "/v1/keys/incr?key=a/incr")).json["value"] == 9
            assert (await visit(node, "POST", "/v1/keys/a%2Fincr")).status == 405
            assert (await visit(node, "POST", "/v1/keys//incr")).status == 400
            assert (await visit(node, "DELETE", "/v1/keys/a/incr")).json["deleted"] == 1

    run(scenario())


# -- the pure functions


@given(_TEXTS)
def test_decoding_undoes_quoting(text: str) -> None:
    assert targets.decode(quote(text, safe="")) == text
    assert targets.decode(quote(text)) == text


@given(st.dictionaries(_TEXTS.filter(bool), _TEXTS, max_size=20))
def test_fields_undo_form_encoding(wanted: dict[str, str]) -> None:
    query = "&".join(f"{quote_plus(name)}={quote_plus(each)}" for name, each in wanted.items())
    assert targets.fields(query) == wanted
    assert targets.form(query.encode()) == wanted


@given(st.binary(max_size=100))
def test_any_target_is_taken_apart_or_refused(raw: bytes) -> None:
    with contextlib.suppress(BadRequest):
        path, query = targets.split(raw.decode("utf-8", "surrogateescape"))
        assert path.isascii()
        with contextlib.suppress(BadRequest):
            targets.decode(path).encode()
        assert len(targets.fields(query)) <= targets.QUERY_FIELDS_MAX


@given(st.binary(max_size=100))
def test_any_form_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        for name, value in targets.form(data).items():
            assert (name + value).encode().decode() == name + value  # no half surrogate pairs


@given(st.text(UNESCAPED), st.text(UNESCAPED + "?"))
def test_a_target_is_split_at_its_first_question_mark(path: str, query: str) -> None:
    assert targets.split(f"/{path}?{query}") == (f"/{path}", query)
    assert targets.split(f"/{path}") == (f"/{path}", "")
