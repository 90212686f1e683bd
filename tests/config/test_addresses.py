"""Addresses to listen on: which texts name one, and who can reach it."""

from __future__ import annotations

import pytest

from tlru.config import Address
from tlru.config.addresses import parse_address, suggest_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8400", Address("127.0.0.1", 8400)),
        ("[::1]:8400", Address("::1", 8400)),
        ("[0:0:0:0:0:0:0:1]:0", Address("::1", 0)),
        ("cache.example:1", Address("cache.example", 1)),
        ("tlru_node-1:65535", Address("tlru_node-1", 65535)),
        (":8400", Address("", 8400)),
        (" localhost:8400 ", Address("localhost", 8400)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8400", "127.0.0.1:8400"),
        ("cache.example", "cache.example:8400"),
        ("10.0.0.1", "10.0.0.1:8400"),
        ("::1:8400", "[::1]:8400"),
        ("*:8400", ":8400"),
        ("ws://cache.example:8400/ws", "cache.example:8400"),
        ("", ""),
        ("256.1.1.1:80", ""),
        ("host:65536", ""),
        ("host:-1", ""),
        ("host:", ""),
        ("ho st:80", ""),
        ("[::1:80", ""),
        ("[127.0.0.1]:80", ""),
        ("-host:80", ""),
        ("a" * 254 + ":80", ""),
        ("host:٣", ""),
    ],
)
def test_what_is_no_address_is_not_read(text: str, meant: str) -> None:
    assert parse_address(text) is None
    assert suggest_address(text) == meant


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("localhost:1", True),
        ("LOCALHOST.:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        (":1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
        ("somewhere:1", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_address(text: str, alone: bool) -> None:
    address = parse_address(text)
    assert address is not None
    assert address.loopback is alone
