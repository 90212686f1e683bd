"""Whatever is sent, the node answers in its own words, and never fails."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.node.http.visiting import check, exchange, parse, request, to_json
from tests.running import a_node, run
from tlru.node.http.request import IN_QUERY
from tlru.node.http.routes import ROUTES
from tlru.wire.requests import OPS

_PATHS = [
    route.path.replace("{key}", "a").replace("{channel}", "c").replace("{id}", "n1")
    for route in ROUTES.routes
]
_HEADERS = (
    "Accept",
    "Content-Type",
    "Content-Encoding",
    "Expect",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Origin",
    "Range",
    "Tlru-Cache",
    "Tlru-Position",
    "Transfer-Encoding",
    "Upgrade",
)
# Of no control characters but the tab, as a header may hold them.
_header_text = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)
_words = st.sampled_from(
    ["*", '"1-0-0"', 'W/"x"', "application/json", "text/html", "1-aaaaaaaa-1", "5", "true", "a", ""]
)
_texts = st.text('ab01.%/?&=+#$*-"{}é🔑 ', max_size=8)

_fields = sorted({*IN_QUERY, "value", "minutes", "for", "nonsense"})
_targets = st.builds(
    lambda path, more, query: path + more + ("?" + "&".join(query) if query else ""),
    st.sampled_from(_PATHS) | st.just("/v1/keys/"),
    st.sampled_from(["", "", "", "/", "//x", "/%2F", "/incr", "%", "%ff", "..", "/../b"]),
    st.lists(
        st.builds("{}={}".format, st.sampled_from(_fields), _words | st.from_regex(r"[!-~]{0,6}")),
        max_size=4,
    ),
)
_MEMBERS = sorted(
    {name for op in OPS.values() for name in op.fields}
    | {"id", "op", "command", "attributes", "$b64", "$int", "$map", "nonsense"}
)
_requests = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts | _words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_MEMBERS),
            inner | st.sampled_from([*OPS, "GET", "SET", "DELETE"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


def _printable(target: str) -> bool:
    return all(" " < each <= "~" for each in target)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"]),
            _targets.filter(_printable),
            st.dictionaries(st.sampled_from(_HEADERS), _words | _header_text, max_size=3),
            st.none() | st.binary(max_size=20) | _requests.map(to_json),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(deadline=None)
def test_any_request_is_answered_and_none_with_500(
    sent: list[tuple[str, str, dict[str, str], bytes | None, bool]],
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for method, target, headers, body, is_json in sent:
                if is_json:
                    headers["Content-Type"] = "application/json"
                headers.pop("Transfer-Encoding", None)
                headers.pop("Upgrade", None)
                data = request(method, target, body=body, headers=headers)
                heard = parse(await exchange(node, data), method)
                assert heard.status < 500 or heard.status == 503, heard
                if heard.status != 204:
                    check(method, target, heard)
            assert not node.rates.errors["internal"]

    run(scenario())


@given(st.lists(_requests, max_size=12))
@settings(deadline=None)
def test_any_batch_is_answered_operation_by_operation(operations: list[Any]) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            sent = request("POST", "/v1/batch", json=operations)
            heard = parse(await exchange(node, sent), "POST")
            assert heard.status in (200, 400)  # 400: JSON that is not strict
            if heard.status == 200:
                results = heard.json
                assert len(results) == len(operations)
                for each in results:
                    assert each["ok"] or each["error"]["code"] != "internal"

    run(scenario())


_noise = st.binary(max_size=60) | st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"Host: localhost\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: upgrade\r\n",
        b"PUT /v1/keys/a HTTP/1.1\r\n",
        b"5\r\nabcde\r\n",
        b"0\r\n\r\n",
    ]
)


@given(st.lists(_noise, max_size=8).map(b"".join))
@settings(deadline=None)
def test_any_bytes_end_in_an_answer_or_in_silence(noise: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(noise)
            writer.write_eof()
            async with asyncio.timeout(20):
                answer = await reader.read()
            writer.close()
            assert answer == b"" or answer.startswith(b"HTTP/1.")
            assert b" 500 " not in answer[:20]
            assert not node.rates.errors["internal"]

    run(scenario())
