"""The small parts of the mesh: addresses, settings, clocks, lives, and what is complained of."""

from __future__ import annotations

import dataclasses
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.errors import LinkError
from peers.mesh.ends import Close
from peers.mesh.lives import LIVES_MAX, Lives
from peers.mesh.pulse import RECENT, Pulse, ping, pong, read_pong
from peers.mesh.settings import MeshSettings, is_loopback, join_address, split_address
from peers.mesh.status import COMPLAINT_EVERY_S, COMPLAINTS_MAX, Complaints
from tests.peers.meshes import SECRET, a_greeting


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("localhost:1", ("localhost", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("node-1.example.org:7071", ("node-1.example.org", 7071)),
    ],
)
def test_an_address_is_taken_apart_and_put_together(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
    assert join_address(*parts) == address


@pytest.mark.parametrize(
    "wrong", ["", "host", "host:", ":1", "host:0x1", "host:70000", "h:1/x", "u@h:1", "::1:80"]
)
def test_what_is_no_address_is_said_to_be_none(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no address of a node"):
        split_address(wrong)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_is_not(text: str) -> None:
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert host
    assert 0 <= port < 65536


def test_what_is_this_machine() -> None:
    ours = ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"]
    others = ["0.0.0.0", "10.0.0.1", "::", "example.org", "", "fe80::1%eth0", "::ffff:10.0.0.1"]
    assert [is_loopback(host) for host in ours] == [True] * len(ours)
    assert [is_loopback(host) for host in others] == [False] * len(others)


def contexts(verified: ssl.VerifyMode) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    listen, dial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    listen.verify_mode = verified
    return listen, dial


def test_mutual_tls_may_stand_for_the_secret_where_the_owner_says_so() -> None:
    listen, dial = contexts(ssl.CERT_REQUIRED)
    settings = MeshSettings(host="0.0.0.0", tls_listen=listen, tls_dial=dial, secret_with_tls=False)
    assert settings.permits("10.0.0.1")
    with pytest.raises(ValueError, match="no cluster secret"):
        dataclasses.replace(settings, secret_with_tls=True)


def test_tls_that_asks_for_no_client_certificate_does_not() -> None:
    listen, dial = contexts(ssl.CERT_NONE)
    with pytest.raises(ValueError, match="no cluster secret"):
        MeshSettings(host="0.0.0.0", tls_listen=listen, tls_dial=dial, secret_with_tls=False)


def test_tls_for_one_direction_only_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="give both"):
        MeshSettings(tls_dial=ssl.create_default_context())


def test_without_a_secret_other_machines_are_not_linked() -> None:
    assert not MeshSettings().permits("10.0.0.1")
    assert MeshSettings().permits("127.0.0.1")
    assert MeshSettings(secret=SECRET).permits("10.0.0.1")
    assert MeshSettings(insecure=True).permits("10.0.0.1")


# -- clocks


def test_the_offset_is_that_of_the_quickest_answer() -> None:
    """The other clock is 100 s ahead; one way of a slow answer took longer than the other."""
    pulse = Pulse()
    pulse.answered(sent=1.0, theirs=101.9, now=2.0)
    pulse.answered(sent=3.0, theirs=103.05, now=3.1)
    assert pulse.offset == pytest.approx(100.0)
    assert pulse.least == pytest.approx(0.1)
    assert pulse.round_trip == pytest.approx(1.0 - 0.9 / 8)


def test_what_is_long_ago_says_nothing_any_more() -> None:
    pulse = Pulse()
    pulse.answered(0, 0, 0)
    for _ in range(RECENT):
        pulse.answered(10, 11, 12)
    assert pulse.least == 2


@given(st.floats(-(10.0**9), 10.0**9), st.floats(-(10.0**9), 10.0**9))
def test_a_ping_comes_back_with_both_clocks(here: float, there: float) -> None:
    asked = ping(here).split(b" ")
    sent, theirs = read_pong(pong(asked[1], there).split(b" ")[1:])
    assert sent == pytest.approx(here, abs=2e-6)
    assert theirs == pytest.approx(there, abs=2e-6)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_ping_or_an_error(text: bytes) -> None:
    try:
        answer = pong(text, 1.0)
    except LinkError as error:
        assert error.code == Close.PROTOCOL  # noqa: PT017
        return
    assert len(answer) <= 125


# -- lives


def lives() -> Lives:
    return Lives("a", "birth of a")


def test_a_later_start_is_welcome_and_an_earlier_one_is_not() -> None:
    known = lives()
    known.met(a_greeting("b", incarnation=2, nonce="two"))
    assert known.judge(a_greeting("b", incarnation=2, nonce="two")) is None
    assert known.judge(a_greeting("b", incarnation=3, nonce="three")) is None
    earlier = known.judge(a_greeting("b", incarnation=1, nonce="one"))
    assert earlier is not None
    assert earlier.code == Close.COPY
    copy = known.judge(a_greeting("b", incarnation=2, nonce="other"))
    assert copy is not None
    assert copy.code == Close.COPY


def test_a_new_birth_under_an_old_name_is_somebody_else() -> None:
    known = lives()
    known.met(a_greeting("b", incarnation=9, nonce="nine"))
    assert known.judge(a_greeting("b", birth="new", incarnation=1)) is None


def test_whoever_has_our_birth_is_our_copy_whatever_its_incarnation() -> None:
    verdict = lives().judge(a_greeting("a", incarnation=8))
    assert verdict is not None
    assert verdict.code == Close.COPY


def test_what_is_remembered_of_lives_is_bounded() -> None:
    known = lives()
    for number in range(2 * LIVES_MAX):
        known.met(a_greeting("b", birth=f"{number}"))
    assert len(known._met) == LIVES_MAX


def test_a_copy_is_news_once() -> None:
    known, copy = lives(), a_greeting("b", nonce="copy")
    asked = [known.is_news(each) for each in (copy, copy, a_greeting("b", nonce="third"), copy)]
    assert asked == [True, False, True, True]
    for number in range(2 * LIVES_MAX):
        known.is_news(a_greeting("b", birth=f"{number}"))
    assert len(known._copies) == LIVES_MAX


# -- complaints


def test_each_kind_of_complaint_is_told_at_most_once_a_minute_and_kinds_are_bounded() -> None:
    now = 0.0
    complaints = Complaints(lambda: now)
    assert [complaints.may("x"), complaints.may("x"), complaints.may("y")] == [True, False, True]
    told = sum(complaints.may(number) for number in range(10_000))
    assert told == COMPLAINTS_MAX - 2
    now = COMPLAINT_EVERY_S
    assert complaints.may("x")
    assert complaints.may("new")
