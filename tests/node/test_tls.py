"""TLS for clients on the node's one port: who gets in, who does not, and certificates renewed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from websockets.asyncio.client import connect as websocket
from websockets.typing import Subprotocol

from tests.authority import Authority, shown
from tests.client.scripted import complaint
from tests.node.test_reload import told
from tests.ports import free_ports
from tests.running import Talker, a_node, until
from tlru.client import connect
from tlru.config import Config
from tlru.errors import BadRequest, TlruError
from tlru.node import Node, certificates
from tlru.node.tls_gate import SHAKING_MAX

BOUND_S = 60


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def cert(ours: Authority) -> Path:
    return ours.node("n1")


def run(
    main: Callable[[], Coroutine[Any, Any, None]],
    on: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Run a test on a loop, within a bound."""

    async def bounded() -> None:
        async with asyncio.timeout(BOUND_S):
            await main()

    on(bounded())


@contextlib.asynccontextmanager
async def talking(node: Node, trusting: ssl.SSLContext) -> AsyncIterator[Talker]:
    """A conversation over wss://."""
    offered = [Subprotocol("tlru.v1.json")]
    async with websocket(
        node.url, ssl=trusting, subprotocols=offered, compression=None, proxy=None
    ) as socket:
        yield Talker(socket, binary=False)


async def shaken(node: Node, context: ssl.SSLContext) -> tuple[str, str | None, str]:
    """What a new connection is shown: the serial number, the protocol by ALPN, the TLS version."""
    _, writer = await asyncio.open_connection("localhost", node.port, ssl=context)
    try:
        tls = writer.get_extra_info("ssl_object")
        return tls.getpeercert()["serialNumber"], tls.selected_alpn_protocol(), tls.version()
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("on", [asyncio.run, uvloop.run])
def test_everything_of_the_one_port_goes_through_tls(ours: Authority, cert: Path, on: Any) -> None:
    """WebSocket, HTTP, the dashboard and a large value; what is told of the node is wss, https."""

    async def main() -> None:
        async with a_node(**shown(cert)) as node:
            assert node.url == f"wss://127.0.0.1:{node.port}/ws"
            assert node.http_url == f"https://127.0.0.1:{node.port}"
            async with connect(node.url, ca=ours.ca, timeout=20) as cache:
                await cache.set("k", "x" * 700_000)
                assert await cache.get("k") == "x" * 700_000
            trusting = ours.trusting()
            async with aiohttp.ClientSession() as web:
                for path in ("/health/live", "/v1/keys/k", "/"):
                    async with web.get(node.http_url + path, ssl=trusting) as heard:
                        assert heard.status == 200, path
                own = {"Origin": node.http_url}
                async with web.put(
                    f"{node.http_url}/v1/keys/b", data=b"1", ssl=trusting, headers=own
                ) as heard:
                    assert heard.status in (200, 201, 204), "a page of its own may write"
            async with talking(node, trusting) as client:
                told_of = await client.ask("hello")
                assert [each["url"] for each in told_of["servers"]] == [node.url]
            trusting.set_alpn_protocols(["h2", "http/1.1"])
            assert (await shaken(node, trusting))[1:] == ("http/1.1", "TLSv1.3")

    run(main, on)


def test_a_client_lets_no_one_pass_for_its_server(ours: Authority, tmp_path: Path) -> None:
    """Another authority, a certificate that has expired, one for another host."""
    foreign = Authority(tmp_path, "foreign")
    cases = {
        "unable to get local issuer": (foreign.node("n1"), "127.0.0.1"),
        "certificate has expired": (ours.node("expired", days=-1), "127.0.0.1"),
        "certificate is not valid for 'localhost'": (ours.node("o", ["o.example"]), "localhost"),
    }

    async def main() -> None:
        for said, (file, host) in cases.items():
            async with (
                a_node(**shown(file)) as node,
                connect(f"wss://{host}:{node.port}", ca=ours.ca) as cache,
            ):
                assert said in await complaint(cache)
                assert node.connections_total == 0

    run(main)


def test_a_clients_authority_is_looked_at_before_anything_is_sent(
    ours: Authority, tmp_path: Path
) -> None:
    with pytest.raises(BadRequest, match=r"ca: .*nothing\.pem is no file with certificates"):
        connect("wss://localhost", ca=tmp_path / "nothing.pem")
    with pytest.raises(BadRequest, match="ca or ssl, not both"):
        connect("wss://localhost", ca=ours.ca, ssl=ours.trusting())


def test_a_tls_before_1_2_is_not_spoken(
    ours: Authority, cert: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = ours.trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    just = ours.trusting()
    just.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main() -> None:
        async with a_node(**shown(cert)) as node:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shaken(node, old)
            await until(lambda: "a TLS before 1.2" in caplog.text)
            assert (await shaken(node, just))[2] == "TLSv1.2"

    run(main)


def test_who_speaks_no_tls_is_cut_off_and_told_of_once(
    cert: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with a_node(**shown(cert)) as node:
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    assert b"HTTP" not in await reader.read()
                writer.close()
            await until(lambda: not node.gate.shaking)
        said = [each for each in caplog.records if "speaks no TLS" in each.getMessage()]
        assert [each.levelname for each in said if each.levelname != "DEBUG"] == ["WARNING"]

    run(main)


@pytest.mark.parametrize("on", [asyncio.run, uvloop.run])
def test_a_handshake_that_never_ends_is_cut_while_others_are_served(
    ours: Authority, cert: Path, on: Any
) -> None:
    """Nothing is said, half of a greeting, a byte now and then; and a head that comes slowly."""

    async def main() -> None:
        async with a_node(hello_s=1, **shown(cert)) as node:
            slow = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(30)]
            for number, (_, writer) in enumerate(slow):
                writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[: number % 12])
            reader, writer = await asyncio.open_connection(
                "localhost", node.port, ssl=ours.trusting()
            )
            writer.write(b"GET / HTTP/1.1\r\n")
            await until(lambda: node.gate.shaking)
            async with connect(node.url, ca=ours.ca, timeout=20) as cache:
                await cache.set("k", 1)

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    while not writer.is_closing():
                        writer.write(b"x")
                        slow[0][1].write(b"\x16")
                        await asyncio.sleep(0.02)

            dripping = asyncio.ensure_future(drip())
            await until(lambda: not node.gate.shaking and not node.doors)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            dripping.cancel()
            await asyncio.wait([dripping])
            for _, each in [*slow, (reader, writer)]:
                each.transport.abort()

    run(main, on)


def test_handshakes_count_as_connections(ours: Authority, cert: Path) -> None:
    async def main() -> None:
        async with a_node(connections=10, **shown(cert)) as node:
            mute = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(150)]
            await until(lambda: node.gate.shaking == SHAKING_MAX)
            assert node.full
            for _, writer in mute:
                writer.transport.abort()
            await until(lambda: not node.gate.shaking)
            await shaken(node, ours.trusting())
            mute = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(5)]
            await until(lambda: node.gate.shaking == 5)
        for _, writer in mute:
            writer.transport.abort()

    run(main)


def test_a_renewed_certificate_is_taken_up_by_itself_and_who_is_there_stays(
    ours: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Certificate and key are replaced in turn; a pair that is of no use changes nothing."""
    monkeypatch.setattr(certificates, "LOOK_S", 0.03)
    file = ours.node("n1", to=tmp_path / "n1.pem")

    async def main() -> None:
        trusting = ours.trusting()
        async with a_node(**shown(file)) as node, talking(node, trusting) as client:
            feed = (await client.ask("subscribe", pattern="k"))["feed"]
            first, _, _ = await shaken(node, trusting)
            good = file.read_bytes()
            file.write_bytes(b"no certificate at all")
            await until(lambda: "are of no use, the old ones stay" in caplog.text)
            assert (await shaken(node, trusting))[0] == first
            file.write_bytes(good)
            ours.node("n1", to=file)
            seen = first
            async with asyncio.timeout(20):
                while seen == first:
                    seen, _, _ = await shaken(node, trusting)
            async with connect(node.url, ca=ours.ca, timeout=20) as cache:
                await cache.set("k", "after")
            push = await client.receive()
            while push.get("push") != "events":
                push = await client.receive()
            assert (push["feed"], push["events"][0]["key"]) == (feed, "k")

    run(main)


def test_a_reload_turns_tls_on_and_takes_up_new_files(ours: Authority, cert: Path) -> None:
    (port,) = free_ports(1)
    other = ours.node("n1-other")

    async def main() -> None:
        listen = f"127.0.0.1:{port}"
        async with told(listen=listen) as (node, process):
            assert node.url == f"ws://{listen}/ws"
            async with connect(node.url, timeout=20) as before:
                await before.set("k", 1)
                process.wanted = replace(node.config, **shown(cert))
                assert (await node.reload())["changed"] == ["tls_cert", "tls_key"]
                assert node.url == f"wss://{listen}/ws"
                assert await before.get("k") == 1, "who is there stays"
            first, _, _ = await shaken(node, ours.trusting())
            process.wanted = replace(node.config, **shown(other))
            assert (await node.reload())["mistakes"] == []
            second, _, _ = await shaken(node, ours.trusting())
            assert second != first
            process.wanted = replace(node.config, tls_key=cert.with_suffix(".key"))
            (mistake,) = (await node.reload())["mistakes"]
            assert mistake.startswith("tls_cert, tls_key: ")
            assert (await shaken(node, ours.trusting()))[0] == second
            process.wanted = replace(node.config, tls_cert=None, tls_key=None)
            assert (await node.reload())["mistakes"] == []
            async with connect(node.url, timeout=20) as after:
                assert await after.get("k") == 1

    run(main)


def test_files_that_are_of_no_use_are_told_before_the_node_starts(
    ours: Authority, cert: Path, tmp_path: Path
) -> None:
    with pytest.raises(TlruError, match=r"tls_key: .*cannot be read"):
        Node(Config(tls_cert=cert, tls_key=tmp_path / "none.key"))
    with pytest.raises(TlruError, match="tls_cert without tls_key"):
        Config(tls_cert=cert)
    foreign = Authority(tmp_path, "foreign").node("n1")
    with pytest.raises(TlruError, match="are no certificate as PEM and its key"):
        Node(Config(tls_cert=cert, tls_key=foreign.with_suffix(".key")))
