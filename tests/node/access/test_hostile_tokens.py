"""Tokens that are not good, over every way in: each is tried on a running node, which has something
to lose. And whoever adds an operation or a route without saying who may have it is told."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.node.access import test_every_way
from tests.node.access.holders import (
    SECRET,
    bearer,
    jwks,
    new_ed25519,
    public_pem,
    rsa_key,
    signed,
)
from tests.node.http.visiting import visit
from tests.running import CODECS, a_node, run, talking
from tlru.access import rights
from tlru.access.authority import TOKEN_CHARS_MAX
from tlru.node import Node
from tlru.node.http.routes import ROUTES as SERVED
from tlru.wire import requests

NOW = time.time()
EVERYTHING = {
    "read": [""],
    "write": [""],
    "subscribe": [""],
    "publish": [""],
    "admin": True,
}
MEANT: dict[str, Any] = {"iss": "ours", "aud": "cache", "tlru": EVERYTHING}
OURS = new_ed25519()


def b64(data: bytes) -> str:
    """As it stands in a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(head: dict[str, Any], key: bytes = b"", **claims: Any) -> str:
    """A token that no library would make; signed by HMAC where there is a key."""
    told = {"sub": "x", "exp": NOW + 600, **MEANT, **claims}
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(told).encode())}"
    sha = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{text}.{b64(sha.sign(text.encode(), key)) if key else ''}"


def swapped_signature() -> str:
    """The head and claims of one good token, the signature of another."""
    one, two = signed(OURS, kid="ed", **MEANT), signed(OURS, kid="ed", **MEANT, jti="2")
    return f"{two.rpartition('.')[0]}.{one.rpartition('.')[2]}"


def own_key(where: str) -> str:
    """Signed by a stranger, who sends along where his key is, or the key itself."""
    mine = new_ed25519()
    jwk = json.loads(jwks(mine=mine))["keys"][0]
    more = {"jwk": jwk, "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/x"}
    claims = {"sub": "x", "exp": NOW + 600, **MEANT}
    return jwt.encode(claims, mine, algorithm="EdDSA", headers={where: more[where], "kid": "ed"})


PEM = public_pem(rsa_key())
HOSTILE: dict[str, str] = {
    "nothing at all": " ",
    "another's": "tlru_0123456789abcdef0123456789abcdef",
    "no JWT": "a.b.c",
    "expired": signed(OURS, kid="ed", ttl=-5, **MEANT),
    "not yet valid": signed(OURS, kid="ed", nbf=NOW + 3_600, **MEANT),
    "alg none": made({"alg": "none", "typ": "JWT"}),
    "alg None": made({"alg": "None"}),
    "no alg": made({"typ": "JWT"}),
    "alg a list": made({"alg": ["HS256"]}, SECRET),
    "public key as secret": made({"alg": "HS256", "kid": "rsa"}, PEM),
    "public key as secret, unnamed": made({"alg": "HS256"}, PEM),
    "empty secret": made({"alg": "HS256", "kid": "../../../../dev/null"}, b"\x00"),
    "kid of another key": signed(OURS, kid="rsa", **MEANT),
    "kid that is a query": signed(new_ed25519(), kid="ed' OR '1'='1", **MEANT),
    "kid that is a path": signed(new_ed25519(), kid="../../../etc/hostname", **MEANT),
    "kid without end": signed(new_ed25519(), kid="k" * 4_000, **MEANT),
    "kid no text": made({"alg": "HS256", "kid": {"a": 1}}, SECRET),
    "own key": own_key("jwk"),
    "own key elsewhere": own_key("jku"),
    "own certificate elsewhere": own_key("x5u"),
    "another key": signed(new_ed25519(), kid="ed", **MEANT),
    "swapped signature": swapped_signature(),
    "wrong issuer": signed(OURS, kid="ed", **{**MEANT, "iss": "theirs"}),
    "no issuer": signed(OURS, kid="ed", aud="cache", tlru=EVERYTHING),
    "wrong audience": signed(OURS, kid="ed", **{**MEANT, "aud": "mail"}),
    "audiences": signed(OURS, kid="ed", **{**MEANT, "aud": ["mail", "cachee"]}),
    "rights that are a word": signed(OURS, kid="ed", **{**MEANT, "tlru": {"read": "*"}}),
    "too long": signed(OURS, kid="ed", **MEANT, more="x" * TOKEN_CHARS_MAX),
}


async def by_hello(node: Node, token: str, codec: str) -> str:
    """What a WebSocket is told."""
    async with talking(node, codec) as client:
        reply = await client.ask("hello", token=token)
        assert not reply["ok"]
        assert await client.closed() == 4401
        return str(reply["error"]["code"])


async def by_msgpack(node: Node, token: str) -> str:
    """In `hello`, in msgpack."""
    return await by_hello(node, token, CODECS[0])


async def by_json(node: Node, token: str) -> str:
    """In `hello`, in JSON."""
    return await by_hello(node, token, CODECS[1])


async def by_upgrade(node: Node, token: str) -> str:
    """In the header of an upgrade."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(node.url, additional_headers=bearer(token), proxy=None):
            pass
    response = caught.value.response
    assert response.status_code == (431 if len(token) > 8_000 else 401)
    code = str(json.loads(response.body)["code"])
    return "unauthenticated" if response.status_code == 431 else code


def over_http(method: str, target: str, body: Any = ...) -> Callable[[Node, str], Awaitable[str]]:
    """In the header of a request."""

    async def way(node: Node, token: str) -> str:
        heard = await visit(node, method, target, json=body, headers=bearer(token))
        assert heard.status == (431 if len(token) > 8_000 else 401)
        return "unauthenticated" if heard.status == 431 else str(heard.code)

    return way


WAYS: dict[str, Callable[[Node, str], Awaitable[str]]] = {
    "msgpack": by_msgpack,
    "JSON": by_json,
    "upgrade": by_upgrade,
    "HTTP": over_http("GET", "/v1/keys/kept"),
    "events": over_http("GET", "/v1/events?pattern=*"),
    "ticket": over_http("POST", "/v1/ticket", {"pattern": "*"}),
    "batch": over_http("POST", "/v1/batch", [{"op": "get", "key": "kept"}]),
    "command": over_http("POST", "/v1/command", {"command": "GET", "key": "kept"}),
    "cache": over_http("GET", "/cache?key=kept"),
    "status": over_http("GET", "/v1/status"),
    "metrics": over_http("GET", "/metrics"),
    "snapshot": over_http("GET", "/v1/snapshot"),
    "settings": over_http("PATCH", "/v1/settings", {"max_entries": 1}),
}


def guarded(tmp_path: Path) -> dict[str, Any]:
    """The options of a node that takes tokens of three kinds of keys, from one issuer."""
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(ed=OURS, rsa=rsa_key(), shared=SECRET))
    return {"jwt_keys": keys, "jwt_issuer": "ours", "jwt_audience": "cache"}


def test_a_token_that_is_not_good_opens_nothing_whichever_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(**guarded(tmp_path)) as node:
            good = [
                signed(OURS, kid="ed", **MEANT),
                signed(rsa_key(), "RS256", kid="rsa", **MEANT),
                signed(SECRET, "HS256", kid="shared", **MEANT),
            ]
            for token in good:  # else it would be no wonder
                heard = await visit(node, "GET", "/v1/settings", headers=bearer(token))
                assert heard.status == 200
            for name, token in HOSTILE.items():
                for way, asked in WAYS.items():
                    assert await asked(node, token) == "unauthenticated", (name, way)

    run(scenario())


@pytest.mark.parametrize("name", ["token", "access_token", "bearer", "jwt", "Authorization"])
def test_a_token_in_a_url_is_not_read(tmp_path: Path, name: str) -> None:
    """It would stand in logs and histories; a good one opens nothing there."""
    token = signed(OURS, kid="ed", **MEANT)

    async def scenario() -> None:
        async with a_node(**guarded(tmp_path)) as node:
            for target in ("/v1/keys/k", "/v1/status", "/v1/events", "/cache"):
                heard = await visit(node, "GET", f"{target}?key=k&{name}={token}")
                assert heard.status == 401
            async with connect(f"{node.url}?{name}={token}", proxy=None) as socket:
                await socket.send('{"id":1,"op":"get","key":"k"}')
                assert json.loads(await socket.recv())["error"]["code"] == "unauthenticated"

    run(scenario())


# -- the tables themselves


def test_a_new_operation_without_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: one that nobody has said anything of."""
    planted = dataclasses.replace(requests.OPS["get"], name="peek")
    monkeypatch.setitem(requests.OPS, "peek", planted)
    with pytest.raises(AssertionError):
        test_every_way.test_every_operation_and_route_is_tried()


def test_a_new_route_without_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = dataclasses.replace(SERVED.routes[0], path="/v1/everything")
    monkeypatch.setattr(SERVED, "routes", (*SERVED.routes, planted))
    with pytest.raises(AssertionError):
        test_every_way.test_every_operation_and_route_is_tried()


def test_a_new_operation_without_a_row_is_refused_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to somebody who may do everything that is."""
    planted = dataclasses.replace(requests.OPS["get"], name="peek")
    monkeypatch.setitem(requests.OPS, "peek", planted)
    assert "peek" not in rights.OPERATIONS

    async def scenario() -> None:
        async with a_node(**guarded(tmp_path)) as node, talking(node) as client:
            token = signed(OURS, kid="ed", **MEANT)
            assert (await client.ask("hello", token=token))["ok"]
            assert (await client.ask("peek", key="k"))["error"]["code"] == "forbidden"
            batch = [{"op": "peek", "key": "k"}]
            heard = await visit(node, "POST", "/v1/batch", json=batch, headers=bearer(token))
            assert heard.json[0]["error"]["code"] == "forbidden"

    run(scenario())
