"""A token's life: it runs out, is renewed, is revoked, allows less; keys change under it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import tlru
from tests.node.access.holders import (
    bearer,
    jwks,
    new_ed25519,
    public_pem,
    signed,
    token_file,
    write_tokens,
)
from tests.node.http.streams import listening
from tests.node.http.visiting import visit
from tests.node.test_reload import told
from tests.running import Talker, a_node, run, talking, until
from tlru.node.access import fetching, standing

ED = new_ed25519()
RIGHTS = {"read": ["a:"], "write": ["a:"], "subscribe": ["a:"]}


def keys_file(folder: Path) -> Path:
    """The public key, in a file."""
    file = folder / "keys.pem"
    file.write_bytes(public_pem(ED))
    return file


async def pushed(client: Talker, kind: str) -> Any:
    """The next push of this kind, whatever comes before it."""
    while (message := await client.receive()).get("push") != kind:
        pass
    return message


def test_a_token_that_runs_out_ends_feeds_and_then_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "LAPSED_S", 0.3)

    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node, talking(node) as client:
            token = signed(ED, ttl=0.6, tlru=RIGHTS)
            assert (await client.ask("hello", token=token))["ok"]
            feed = (await client.ask("subscribe", pattern="a:*"))["feed"]
            end = await pushed(client, "end")
            assert (end["feed"], end["error"]["code"]) == (feed, "unauthenticated")
            refused = await client.ask("get", key="a:1")
            assert refused["error"]["code"] == "unauthenticated"
            assert await client.closed() == 4401

    run(scenario())


def test_a_later_hello_renews_it_in_place(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node, talking(node) as client:
            await client.ask("hello", token=signed(ED, ttl=0.5, tlru=RIGHTS))
            await client.ask("subscribe", pattern="a:*")
            await pushed(client, "end")
            wrong = await client.ask("hello", token="wrong")
            assert wrong["error"]["code"] == "unauthenticated"
            assert (await client.ask("hello", token=signed(ED, tlru=RIGHTS)))["ok"]
            assert (await client.ask("subscribe", pattern="a:*"))["ok"]
            assert (await client.ask("set", key="a:1", value=1))["applied"]
            assert (await pushed(client, "events"))["events"][0]["key"] == "a:1"

    run(scenario())


def test_a_renewal_that_allows_less_ends_what_it_does_not_cover(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node, talking(node) as client:
            wide = {"subscribe": ["a:", "b:"], "write": [""]}
            await client.ask("hello", token=signed(ED, tlru=wide))
            kept = (await client.ask("subscribe", pattern="a:*"))["feed"]
            lost = (await client.ask("subscribe", pattern="#b:*"))["feed"]
            narrow = {"subscribe": ["a:"], "write": [""]}
            await client.ask("hello", token=signed(ED, tlru=narrow))
            end = await pushed(client, "end")
            assert (end["feed"], end["error"]["code"]) == (lost, "forbidden")
            await client.ask("set", key="a:1", value=1)
            assert (await pushed(client, "events"))["feed"] == kept

    run(scenario())


def test_a_stream_ends_with_the_token_it_was_opened_with(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node:
            headers = bearer(signed(ED, ttl=0.6, tlru=RIGHTS))
            heard = await visit(
                node, "POST", "/v1/ticket", json={"pattern": "a:*"}, headers=headers
            )
            ticket = heard.json["ticket"]
            async with listening(node, f"ticket={ticket}") as stream:
                while (event := await stream.event()).data["push"] != "end":
                    pass
                assert event.data["error"]["code"] == "unauthenticated"
            await until(lambda: not node.http.streams)

    run(scenario())


def test_a_revoked_token_and_one_that_was_taken_out_end_within_a_tick(tmp_path: Path) -> None:
    grants: dict[str, Any] = {
        "one": {"subscribe": ("",), "read": ("",)},
        "two": {"subscribe": ("",), "read": ("",)},
        "three": {"subscribe": ("",), "read": ("",)},
    }
    file, tokens = token_file(tmp_path, **grants)
    revoked = tmp_path / "revoked.txt"
    revoked.write_text("# none yet\n")

    async def scenario() -> None:
        async with told(tokens_file=file, revoked_file=revoked) as (node, process):
            process.wanted = node.config
            async with talking(node) as one, talking(node) as two, talking(node) as three:
                for name, client in (("one", one), ("two", two), ("three", three)):
                    await client.ask("hello", token=tokens[name])
                    await client.ask("subscribe", pattern="*")
                revoked.write_text("one # lost\n")
                write_tokens(file, tokens, one=grants["one"], three={"subscribe": ("a:",)})
                answer = await node.reload()
                assert answer["mistakes"] == []
                assert answer["changed"] != []
                for client in (one, two):
                    assert (await pushed(client, "end"))["error"]["code"] == "unauthenticated"
                    refused = await client.ask("get", key="k")
                    assert refused["error"]["code"] == "unauthenticated"
                assert (await pushed(three, "end"))["error"]["code"] == "forbidden"
                assert (await three.ask("get", key="k"))["error"]["code"] == "forbidden"
                heard = await visit(node, "GET", "/metrics", headers=bearer(tokens["one"]))
                assert heard.status == 401
                file.write_text("not = toml = at all")
                answer = await node.reload()
                assert answer["changed"] == []
                assert "tokens_file" in answer["mistakes"][0]
                assert (await three.ask("ping"))["ok"]

    run(scenario())


def test_authentication_that_begins_with_a_reload_asks_those_who_are_there(tmp_path: Path) -> None:
    file, tokens = token_file(tmp_path, one={"read": ("",)})

    async def scenario() -> None:
        async with told() as (node, process), talking(node) as client:
            assert (await client.ask("set", key="k", value=1))["applied"]
            await client.ask("subscribe", pattern="*")
            process.wanted = replace(node.config, tokens_file=file)
            assert (await node.reload())["changed"] == ["tokens_file"]
            assert (await pushed(client, "end"))["error"]["code"] == "unauthenticated"
            assert (await client.ask("get", key="k"))["error"]["code"] == "unauthenticated"
            await client.ask("hello", token=tokens["one"])
            assert (await client.ask("get", key="k"))["value"] == 1
            assert (await client.ask("set", key="k", value=1))["error"]["code"] == "forbidden"

    run(scenario())


# -- keys of an address


class Login:
    """A service that signs tokens, and publishes its keys."""

    def __init__(self) -> None:
        self.keys = jwks(first=ED)
        self.asked = 0
        self.status = 200
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """The keys."""
        self.asked += 1
        return web.Response(body=self.keys, status=self.status)


@contextlib.asynccontextmanager
async def a_login() -> AsyncIterator[Login]:
    """Such a service, on a free port."""
    login = Login()
    runner = web.ServerRunner(web.Server(login.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    login.url = f"http://{host}:{port}/jwks.json"
    try:
        yield login
    finally:
        await runner.cleanup()


def test_keys_that_change_are_found_by_the_first_token_that_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "UNKNOWN_EVERY_S", 0.0)

    async def scenario() -> None:
        async with (
            a_login() as login,
            a_node(jwt_keys_url=login.url) as node,
            talking(node) as client,
        ):
            first = signed(ED, kid="first", tlru=RIGHTS)
            await client.send(  # in one frame: what follows waits until the keys have come
                {"id": 1, "op": "hello", "token": first},
                {"id": 2, "op": "set", "key": "a:1", "value": 1},
            )
            assert [(await client.receive())["ok"] for _ in range(2)] == [True, True]
            other = new_ed25519()
            login.keys = jwks(second=other)
            renewed = signed(other, kid="second", tlru=RIGHTS)
            heard = await visit(node, "GET", "/v1/keys/a:1", headers=bearer(renewed))
            assert heard.status == 200
            # The key of the first is gone, so what it opened ends.
            await until(
                lambda: not any(c.session and c.session.grant.read for c in node.connections)
            )
            login.status = 500  # what was fetched stays in force
            heard = await visit(node, "GET", "/metrics", headers=bearer(signed(ED, kid="x")))
            assert heard.status == 401
            heard = await visit(node, "GET", "/v1/keys/a:1", headers=bearer(renewed))
            assert heard.status == 200

    run(scenario())


def test_strangers_do_not_make_a_node_ask_for_keys_again_and_again() -> None:
    async def scenario() -> None:
        async with a_login() as login, a_node(jwt_keys_url=login.url) as node:
            await until(lambda: login.asked == 1)
            for n in range(20):
                token = signed(new_ed25519(), kid=f"k{n}")
                heard = await visit(node, "GET", "/metrics", headers=bearer(token))
                assert heard.status == 401
            assert login.asked == 1

    run(scenario())


@pytest.mark.parametrize("body", [b"x" * 300_000, b"{}", jwks(k=b"s" * 32)])
def test_an_answer_that_is_no_key_set_lets_nobody_in(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with a_login() as login:
            login.keys = body
            async with a_node(jwt_keys_url=login.url) as node:
                token = signed(b"s" * 32, "HS256", kid="k")
                heard = await visit(node, "GET", "/metrics", headers=bearer(token))
                assert heard.status == 401

    run(scenario())
    assert "could not be fetched" in caplog.text


# -- what a client sees


def test_a_client_with_a_function_renews_its_token_and_loses_nothing(tmp_path: Path) -> None:
    given: list[float] = []

    def fetch() -> str:
        given.append(time.time())
        return signed(ED, ttl=0.5, tlru={"read": [""], "write": [""], "subscribe": [""]})

    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node:
            async with tlru.connect(node.url, token=fetch) as cache:
                seen: list[Any] = []

                async def watch() -> None:
                    async for change in cache.watch("n*"):
                        seen.append(change)

                watching = asyncio.create_task(watch())
                count, until_s = 0, time.monotonic() + 2.2
                while time.monotonic() < until_s:
                    count = await cache.incr("n")
                    await asyncio.sleep(0.005)
                assert await cache.get("n") == count
                await until(lambda: seen and getattr(seen[-1], "value", None) == count)
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
            asked = node.rates.ops["incr"]
            assert asked >= count  # each was done once, however often it was sent

    run(scenario())
    assert len(given) >= 3


def test_a_watch_goes_on_with_the_next_token_where_nothing_else_is_asked(tmp_path: Path) -> None:
    """That its feed is ended is the first that a client hears of its token's end."""
    given: list[float] = []

    def fetch() -> str:
        given.append(time.time())
        return signed(ED, ttl=0.5, tlru={"subscribe": [""]})

    async def scenario() -> None:
        async with a_node(jwt_keys=keys_file(tmp_path)) as node:
            seen: list[Any] = []
            writer = signed(ED, tlru={"write": [""]})
            async with (
                tlru.connect(node.url, token=fetch) as cache,
                tlru.connect(node.url, token=writer) as other,
            ):

                async def watch() -> None:
                    async for change in cache.watch("n*"):
                        seen.append(getattr(change, "value", None))

                watching = asyncio.create_task(watch())
                await until(lambda: len(given) >= 3)
                await other.set("n", "late")
                await until(lambda: "late" in seen or watching.done())
                assert not watching.done(), watching.exception()
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching

    run(scenario())


def test_no_token_stands_in_a_log_line_or_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file, tokens = token_file(tmp_path, one={"read": ("",)})
    good, late = signed(ED, tlru=RIGHTS), signed(ED, ttl=-5, tlru=RIGHTS)
    wrong = "tlru_wrong-token-that-nobody-knows"
    shown = [tokens["one"], good, late, wrong]
    said: list[str] = []

    async def scenario() -> None:
        async with a_node(tokens_file=file, jwt_keys=keys_file(tmp_path)) as node:
            for token in shown:
                async with talking(node) as client:
                    said.append(str(await client.ask("hello", token=token)))
                    said.append(repr(next(iter(node.connections), None)))
                heard = await visit(node, "GET", "/v1/status", headers=bearer(token))
                said.append(str(heard))
                heard = await visit(node, "GET", f"/v1/keys/a?token={token}")
                assert heard.status == 401
                heard = await visit(node, "GET", "/nothing", headers=bearer(token))
                said.append(str(heard))
                said.append(repr(node.access) + repr(node.config))
                said.append(repr(node.access.still) + repr(vars(node.access)))

    run(scenario())
    # The test's own client writes down what it sends.
    lines = [each for each in caplog.records if not each.name.startswith("websockets.")]
    assert lines
    logged = "".join(f"{each.getMessage()} {vars(each)}" for each in lines)
    for token in shown:
        secret = token[-20:]
        assert secret not in logged
        assert not [each for each in said if secret in each]
