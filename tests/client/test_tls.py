"""The client over TLS. The key in `tls/` is for these tests alone, and no secret."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from tests.client.scripted import QUICK, Link, client, complaint, run, scripted

CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"


def server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    return context


async def script(link: Link, number: int) -> None:
    await link.greet()
    async for request in link.requests():
        if request["key"] == "cut" and number == 0:
            link.cut()
        else:
            link.found(request, request["key"])


def test_everything_goes_through_tls() -> None:
    """Many at once, one large message, and a connection that is cut in between."""
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))

    async def main() -> None:
        async with (
            scripted(script, server_side()) as server,
            client(server.url, tls=trusting) as cache,
        ):
            assert server.url.startswith("wss://")
            names = [f"{index} {'x' * 500}" for index in range(2000)]
            assert await asyncio.gather(*map(cache.get, names)) == names
            assert await cache.get("cut") == "cut"
            assert len(server.links) == 2

    run(main)


def test_a_certificate_that_nobody_vouches_for_is_told() -> None:
    async def main() -> None:
        async with scripted(script, server_side()) as server, client(server.url) as cache:
            assert "certificate verify failed" in await complaint(cache)

    run(main)


def test_a_server_without_tls_is_told() -> None:
    timing = type(QUICK)(open=0.2, backoff_first=0.001)

    async def main() -> None:
        async with scripted(script) as server:
            url = server.url.replace("ws:", "wss:")
            async with client(url, timing=timing) as cache:
                assert "wss://" in await complaint(cache)
            assert [link.hello for link in server.links if link.hello] == []

    run(main)
