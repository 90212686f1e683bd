"""docs/security.md names the bounds as they are."""

from __future__ import annotations

from pathlib import Path

from peers.mesh.settings import HALF_OPEN_MAX
from tests.attacks.__main__ import ATTACKS
from tlru.node import audit, session, tls_gate, wary, websocket
from tlru.node.access import standing
from tlru.node.http import connection, heads, request, side, tickets
from tlru.wire.limits import CONTAINERS_MAX

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


def test_the_page_names_the_bounds_as_they_are() -> None:
    head = f"{connection.LINE_BYTES_MAX:,} bytes a line, {side.HEADERS_MAX} headers"
    assert f"{head}, {heads.HEAD_BYTES_MAX >> 10} KiB together" in PAGE
    assert f"| {request.BODY_WITHIN_S:g} s, then 408 |" in PAGE
    assert f"(TLS: {tls_gate.HANDSHAKE_S:g} s at most)" in PAGE
    assert f"{websocket.BYTES_A_TURN >> 10} KiB of a connection in one turn" in PAGE
    assert f"{websocket.EMPTY_FRAGMENTS_MAX:,} of them: close 1008" in PAGE
    assert f"unpacked by {websocket.UNPACKED_AT_ONCE >> 10} KiB" in PAGE
    assert wary.WARY_S == 60, "a minute, says the page"
    assert session.ENDLESS == 2, "twice, says the page"
    assert f"{CONTAINERS_MAX:,} lists and objects" in PAGE
    assert f"{standing.STRANGER_BYTES_MAX >> 20} MiB a message until a token was shown" in PAGE
    assert f"{tickets.TICKETS_MAX:,}, each for {tickets.LIFE_S} s" in PAGE
    assert f"{HALF_OPEN_MAX} half-open connections at most" in PAGE
    told = f"{audit.REFUSALS_AT_ONCE} lines, then one every {1 / audit.REFUSALS_A_S:g} s"
    assert told in PAGE


def test_the_page_tells_what_every_attack_did() -> None:
    measured = PAGE[PAGE.index("attack              quiet p99") :].splitlines()[1:]
    rows = measured[: measured.index("```")]
    assert [row[:20].strip() for row in rows] == list(ATTACKS)
