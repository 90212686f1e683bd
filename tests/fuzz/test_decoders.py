"""Every decoder for a moment; `python -m tests.fuzz` runs them for minutes. Findings stay here."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS, Decoder
from tests.fuzz.unguided import inputs

BY_NAME = {each.name: each for each in DECODERS}

# Bytes that once came through as something that nobody foresaw.
FOUND: tuple[tuple[str, bytes], ...] = (
    # A map as the key of a map, from a server: TypeError came through, and the client stood still.
    ("answers", b"\x82\x0e\x83&id\x01\x83&id\x01\xa2ok\xc3\xa3pos\x03\x03"),
    # What follows a request that a mesh refuses: an assertion of websockets', once a connection.
    ("mesh upgrade", b"EET /mesh HTTP/1.1\r\nHost: \r\n\r\n\x0c\x81\xa1a\x94\xa3po\x87\x01:x"),
    ("mesh upgrade", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n\x88\x80\0\0\0\0"),
)


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda each: each.name)
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_read_or_refused(decoder: Decoder, data: st.DataObject) -> None:
    decoder.try_it(data.draw(inputs(decoder)))


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda each: each.name)
def test_what_it_is_made_for_is_taken(decoder: Decoder) -> None:
    """A decoder that refuses everything would be found to be safe."""
    if decoder.name in ("tokens", "mesh greeting"):
        return  # of a secret that nobody knows, whose refusal is the law
    if decoder.name == "snapshots":
        return  # what is whole is tried in tests/engine/test_snapshot.py
    assert any(decoder.try_it(seed) for seed in decoder.seeds)


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_is_foreseen_now(name: str, data: bytes) -> None:
    BY_NAME[name].try_it(data)
