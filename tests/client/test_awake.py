"""Whose event loop turns while an answer, or the next request, is about to come."""

from __future__ import annotations

import pytest

import tlru
from peers import awake
from tests.running import run


@pytest.mark.parametrize(
    ("client_s", "node_s", "turns"), [(0, 0, False), (5, 0, True), (0, 0.01, True)]
)
def test_client_and_node_stay_awake_where_they_are_told_to(
    monkeypatch: pytest.MonkeyPatch, client_s: float, node_s: float, turns: bool
) -> None:
    offers = 0

    def offer() -> None:
        nonlocal offers
        offers += 1

    monkeypatch.setattr(awake, "_offer_core", offer)

    async def test() -> None:
        async with (
            tlru.Node(listen="127.0.0.1:0", stay_awake=node_s) as node,
            tlru.connect(node.url, stay_awake=client_s) as cache,
        ):
            assert await cache.get("k") is None

    run(test())
    assert (offers > 0) == turns
