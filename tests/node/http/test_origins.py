"""Which web pages may talk to a node: pure judgements, and the answers that follow from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.node.http.visiting import exchange, get, parse, request, visit
from tests.running import a_node, run
from tlru.config import Config
from tlru.node.origins import Origins

SHOP = "https://shop.example"


def make_origins(*listed: str, advertised: tuple[str, ...] = (), loopback: bool = True) -> Origins:
    return Origins(listed, advertised, loopback=loopback)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8400",
        "localhost.",
        "app.localhost:80",
        "127.0.0.1",
        "127.0.0.1:8400",
        "127.255.0.3:1",
        "[::1]",
        "[::1]:8400",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]:8400",
        "cache.example",
        "Cache.Example:443",
    ],
)
def test_a_loopback_node_answers_to_its_own_names(host: str) -> None:
    origins = make_origins(advertised=("wss://cache.example/ws",))
    assert origins.refusal(host, None, safe=False) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8400",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.evil.example",
        "0.0.0.0",
        "10.0.0.1",
        "[::]",
        "[::2]",
        "[::ffff:10.0.0.1]",
        "1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "",
        " ",
        "localhost, evil.example",
        "user@localhost",
        "localhost:port",
        "[::1",
        "::1",
        "[localhost]",
        "localhost/",
        "ſlocalhost",
        "\udcff",
    ],
)
def test_a_loopback_node_does_not_answer_to_a_name_that_somebody_pointed_at_it(host: str) -> None:
    """The node would otherwise be read and written by any page that rebinds its own name."""
    refusal = make_origins().refusal(host, f"http://{host}", safe=True)
    assert refusal is not None
    assert "advertise" in refusal


def test_a_node_that_others_reach_is_reached_by_any_name() -> None:
    origins = make_origins(loopback=False)
    assert origins.refusal("cache.internal:8400", None, safe=False) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8400", "http://localhost:8400"),
        ("LOCALHOST:8400", "http://localhost:8400"),
        ("[::1]:8400", "http://[::1]:8400"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "https://localhost"),  # behind a proxy that ends TLS
        ("localhost:443", "https://localhost"),
        ("127.0.0.1:8400", "https://cache.example"),  # a proxy that rewrites Host
        ("127.0.0.1:8400", SHOP),
        ("127.0.0.1:8400", "https://SHOP.example:443"),
    ],
)
def test_pages_of_its_own_and_of_listed_origins_may_change_things(host: str, origin: str) -> None:
    origins = make_origins(SHOP, advertised=("wss://cache.example/ws",))
    assert origins.refusal(host, origin, safe=False) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.example",  # another scheme
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "http://localhost:3000",
        "http://127.0.0.1:8400",  # the same machine by another name
        "https://localhost:8400.evil.example",
        "null",
        "",
        "https://",
        "file://",
        "ws://localhost:8400",
        "chrome-extension://abcdef",
        "https://shop.example https://evil.example",
        "https://user@shop.example",
    ],
)
def test_a_page_of_another_origin_may_change_nothing(origin: str) -> None:
    origins = make_origins(SHOP)
    refusal = origins.refusal("localhost:8400", origin, safe=False)
    assert refusal is not None
    assert "cors_origins" in refusal
    assert origins.refusal("localhost:8400", origin, safe=True) is None
    assert not origins.is_listed(origin)


def test_a_star_lists_every_origin() -> None:
    origins = make_origins("*")
    for origin in ("https://any.example", "null", "capacitor://app"):
        assert origins.is_listed(origin)
        assert origins.refusal("localhost", origin, safe=False) is None
    assert origins.refusal("evil.example", None, safe=True) is not None


@given(st.text(), st.text())
def test_any_text_is_judged(host: str, origin: str) -> None:
    origins = make_origins(SHOP)
    assert origins.refusal(host, origin, safe=False) is not None or host.isascii()


def test_a_node_judges_as_it_is_configured() -> None:
    config = Config(cors_origins=(SHOP,), advertise=("ws://cache.example:9000/ws",))
    origins = Origins.of(config)
    assert origins.is_listed(SHOP)
    assert origins.refusal("cache.example", None, safe=False) is None
    assert origins.refusal("localhost", "http://cache.example:9000", safe=False) is None
    assert origins.refusal("localhost", "http://cache.example", safe=False) is not None
    everywhere = Origins.of(Config(listen=":8400", mesh="127.0.0.1:0", insecure=True))
    assert everywhere.refusal("any.example", None, safe=False) is None


# -- what a browser meets


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/v1/keys/a"),
        ("DELETE", "/v1/keys/a"),
        ("POST", "/cache?key=a&value=b"),
        ("POST", "/v1/batch"),
        ("POST", "/v1/command"),
        ("POST", "/v1/nodes/n1/lead"),
    ],
)
def test_a_page_of_another_site_cannot_write_into_a_developers_cache(
    method: str, target: str
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            evil = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
            refused = await visit(node, method, target, body=b'"x"', headers=evil)
            assert (refused.status, refused.code) == (403, "forbidden")
            assert "access-control-allow-origin" not in refused.headers
            assert (await get(node, "a")).status == 404

    run(scenario())


def test_a_rebound_name_is_refused_whatever_is_asked() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for target in ("/v1/keys/a", "/health/live", "/", "/nonsense"):
                refused = await visit(node, "GET", target, headers={"Host": "evil.example:8400"})
                assert (refused.status, refused.code) == (403, "forbidden")

    run(scenario())


def test_a_listed_page_may_read_answers_and_the_headers_that_it_needs() -> None:
    async def scenario() -> None:
        async with a_node(cors_origins=(SHOP,)) as node:
            done = await visit(node, "PUT", "/v1/keys/a", json=1, headers={"Origin": SHOP})
            assert done.status == 201
            found = await get(node, "a", Origin=SHOP)
            assert found.headers["access-control-allow-origin"] == SHOP
            exposed = found.headers["access-control-expose-headers"]
            assert exposed == "ETag, Retry-After, Tlru-Position, Tlru-Stale"
            assert "Origin" in found.headers["vary"]
            assert "Tlru-Cache" in found.headers["vary"]
            missing = await visit(node, "GET", "/nonsense", headers={"Origin": SHOP})
            assert missing.headers["access-control-allow-origin"] == SHOP

    run(scenario())


def test_a_page_that_is_not_listed_gets_no_word_of_cors() -> None:
    async def scenario() -> None:
        async with a_node(cors_origins=(SHOP,)) as node:
            found = await visit(node, "GET", "/v1/status", headers={"Origin": "https://x.example"})
            assert found.status == 200
            assert not [name for name in found.headers if name.startswith("access-control")]
            assert found.headers["vary"] == "Origin"

    run(scenario())


async def _preflight(target: str, origin: str, *listed: str) -> dict[str, str]:
    async with a_node(cors_origins=listed) as node:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "if-match, content-type",
        }
        sent = request("OPTIONS", target, headers=asked)
        heard = parse(await exchange(node, sent), "OPTIONS")
        assert heard.status == 204
        return {k: v for k, v in heard.headers.items() if k.startswith("access-control")}


def test_a_preflight_of_a_listed_page_is_told_what_it_may_send() -> None:
    assert run(_preflight("/v1/keys/a", SHOP, SHOP)) == {
        "access-control-allow-origin": SHOP,
        "access-control-expose-headers": "ETag, Retry-After, Tlru-Position, Tlru-Stale",
        "access-control-allow-methods": "DELETE, GET, HEAD, OPTIONS, PUT",
        "access-control-allow-headers": (
            "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, "
            "Last-Event-ID, Tlru-Cache, Tlru-Position, traceparent, tracestate"
        ),
        "access-control-max-age": "600",
    }


def test_a_star_lets_every_page_read_whatever_its_origin_is() -> None:
    async def scenario() -> None:
        async with a_node(cors_origins=("*",)) as node:
            for origin in ("https://any.example", "null", "caf\u00e9", ""):
                done = await visit(node, "PUT", "/v1/keys/a", json=1, headers={"Origin": origin})
                assert done.status in (200, 201)
                assert done.headers["access-control-allow-origin"] == "*"

    run(scenario())


def test_a_preflight_of_another_page_is_told_nothing() -> None:
    assert run(_preflight("/v1/keys/a", "https://evil.example", SHOP)) == {}
    assert run(_preflight("/v1/keys/a", SHOP)) == {}
