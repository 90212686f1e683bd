"""How many connections an address may have."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tlru.node.addresses import Addresses, usual


class From(asyncio.BaseTransport):
    """A connection from somewhere."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})


@pytest.mark.parametrize(
    ("address", "most"),
    [
        *(("192.0.2.1", 500), ("2001:db8::1", 500), ("fe80::1%eth0", 500)),
        *(("::ffff:192.0.2.1", 500), ("10.0.0.1", 500)),
        *(("127.0.0.1", None), ("127.9.9.9", None), ("::1", None), ("::ffff:127.0.0.1", None)),
        ("", None),
    ],
)
def test_half_of_all_connections_where_nobody_has_said(address: str, most: int | None) -> None:
    assert usual(address, 1_000) == most


def test_an_address_that_has_its_share_leaves_places_to_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    addresses = Addresses()
    here = [From("192.0.2.1") for _ in range(8)]
    with caplog.at_level(logging.WARNING, "tlru.node.addresses"):
        assert [addresses.come(each, None, 10) for each in here] == [True] * 5 + [False] * 3
    assert [record.getMessage()[:9] for record in caplog.records] == ["192.0.2.1"], "told once"
    assert addresses.come(From("192.0.2.2"), None, 10)
    assert all(addresses.come(From("127.0.0.1"), None, 10) for _ in range(20))
    for each in here[4:]:
        addresses.gone(each)
    assert addresses.come(From("192.0.2.1"), None, 10)


def test_what_is_said_holds_for_every_address() -> None:
    addresses = Addresses()
    assert [addresses.come(From("127.0.0.1"), 2, 10) for _ in range(3)] == [True, True, False]
    assert [addresses.come(From("192.0.2.1"), 9, 10) for _ in range(9)] == [True] * 9
