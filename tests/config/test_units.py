"""Durations and sizes: which texts are read, and how numbers are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.config import parse_duration, parse_size, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 1d2h3m4s5ms ", 93784.005),
        ("1.5h", 5400.0),
        ("0.25", 0.25),
        ("7", 7.0),
        ("1_000ms", 1.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "10 parsecs", "30m1h", "1h1h", "-1s", "1e3", "inf", "nan", "1,5s", "٣s", "1_s",
     "1" * 500, "1 1", "1S", "1 0s"],
)  # fmt: skip
def test_what_is_no_duration_is_not_read(text: str) -> None:
    assert parse_duration(text) is None


@given(st.integers(0, 10**12))
def test_a_duration_in_milliseconds_reads_back_as_it_was(ms: int) -> None:
    assert parse_duration(show_duration(ms / 1_000)) == ms / 1_000


@given(st.floats(0, 1e9, allow_subnormal=False))
def test_any_duration_reads_back_as_it_was(seconds: float) -> None:
    shown = show_duration(seconds)
    assert "e" not in shown
    if len(shown) < 60:  # beyond that it is a number that nobody writes
        assert parse_duration(shown) == seconds


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0s"), (0.25, "250ms"), (1.0, "1s"), (5400.0, "1h30m"), (1e-5, "10us"),
     (1e-8, "0.00000001s"), (86_400.0, "1d"), (90.5, "1m30s500ms"),
     (0.1 + 0.2, "0.30000000000000004s")],
)  # fmt: skip
def test_a_duration_is_shown_in_its_largest_units(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1000", 1_000),
        ("1_000", 1_000),
        ("7B", 7),
        ("64KiB", 65_536),
        ("64kib", 65_536),
        ("1MB", 1_000_000),
        ("1 MB", 1_000_000),
        ("1GB", 10**9),
        ("1.5GiB", 3 << 29),
        ("2TiB", 2 << 40),
        ("0.1KiB", 102),
    ],
)
def test_a_size_is_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text", ["", "MiB", "-1MB", "1 parsec", "1e6", "1,000", "1MiBs", "1M", "٣MB", "9" * 30, "1.MB"]
)
def test_what_is_no_size_is_not_read(text: str) -> None:
    assert parse_size(text) is None


@given(st.integers(0, 1 << 60))
def test_a_size_reads_back_as_it_was(count: int) -> None:
    assert parse_size(show_size(count)) == count


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0B"), (999, "999B"), (1_000, "1KB"), (1_024, "1KiB"), (4 << 20, "4MiB")],
)
def test_a_size_is_shown_in_its_largest_unit(count: int, shown: str) -> None:
    assert show_size(count) == shown
