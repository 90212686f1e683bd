"""Both sides of a greeting know each other at its end, or it ends; whatever is in between."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.core.entry import Epoch
from peers.errors import LinkError, WireError
from peers.mesh.certified import nodes_named, uri_of
from peers.mesh.ends import Close, End
from peers.mesh.greeting import (
    ADDRESSES_MAX,
    CHALLENGE_BYTES,
    MARKER,
    Greeting,
    Handshake,
    Side,
    pack_greeting,
    unpack_greeting,
)
from peers.wire_fields import pack_plain, unpack_plain

SECRET = b"a secret of the cluster"

Judge = Callable[[Greeting], LinkError | None]


def greeting(node: str, /, **said: Any) -> Greeting:
    plain = Greeting(
        marker=MARKER,
        version_min=1,
        version=1,
        node=node,
        birth=f"birth of {node}",
        incarnation=1,
        nonce=f"nonce of {node}",
        to="",
        secured=True,
        challenge=os.urandom(CHALLENGE_BYTES),
        epoch=Epoch(3, "e", "d"),
        ancestors=("c", "d"),
        addresses=("10.0.0.1:9",),
    )
    return dataclasses.replace(plain, **said)


def welcome(_: Greeting) -> LinkError | None:
    return None


def dialler(
    said: Greeting | None = None, secret: bytes | None = SECRET, judge: Judge = welcome
) -> Handshake:
    return Handshake(said or greeting("a", to="b"), Side.DIALLER, secret, judge)


def listener(
    said: Greeting | None = None, secret: bytes | None = SECRET, judge: Judge = welcome
) -> Handshake:
    return Handshake(said or greeting("b"), Side.LISTENER, secret, judge)


def converse(one: Handshake, two: Handshake) -> list[bytes]:
    """Carry messages to and fro until nobody says more; gives all of them."""
    said, turn = [], (two, one)
    messages = one.open()
    while messages:
        said += messages
        messages = [answer for message in messages for answer in turn[0].receive(message)]
        turn = (turn[1], turn[0])
    return said


def refusal(one: Handshake, two: Handshake) -> LinkError:
    with pytest.raises(LinkError) as error:
        converse(one, two)
    assert not (one.done and two.done)
    return error.value


def test_both_know_each_other_at_the_end() -> None:
    one, two = dialler(), listener()
    assert len(converse(one, two)) == 4
    assert one.done
    assert two.done
    assert (one.theirs, two.theirs) == (two.mine, one.mine)


def test_without_a_secret_on_either_side_they_greet_all_the_same() -> None:
    one = dialler(greeting("a", secured=False), None)
    two = listener(greeting("b", secured=False), None)
    converse(one, two)
    assert one.done
    assert two.done


def test_the_newest_version_that_both_speak_is_spoken() -> None:
    one = dialler(greeting("a", version_min=2, version=4))
    two = listener(greeting("b", version_min=1, version=3))
    converse(one, two)
    assert (one.version, two.version) == (3, 3)


def rotating(shows: bytes, takes: bytes | None, side: Side) -> Handshake:
    """One side with one or two secrets."""
    said = greeting("a", to="b") if side is Side.DIALLER else greeting("b")
    return Handshake(said, side, shows, welcome, secret_also=takes)


OLD, NEW = b"the old secret of this cluster", b"the new secret of this cluster"


@pytest.mark.parametrize("dials", [(OLD, None), (OLD, NEW), (NEW, OLD), (NEW, None)])
@pytest.mark.parametrize("hears", [(OLD, None), (OLD, NEW), (NEW, OLD), (NEW, None)])
def test_what_the_dialler_shows_has_to_be_one_of_the_listeners(
    dials: tuple[bytes, bytes | None], hears: tuple[bytes, bytes | None]
) -> None:
    """And nothing else: a listener answers with the secret that it was shown."""
    one, two = rotating(*dials, Side.DIALLER), rotating(*hears, Side.LISTENER)
    if dials[0] in hears:
        converse(one, two)
        assert (one.done, two.done) == (True, True)
    else:
        assert refusal(one, two).code == Close.SECRET
        assert not two.proved


@pytest.mark.parametrize("side", [Side.DIALLER, Side.LISTENER])
@pytest.mark.parametrize(
    ("named", "welcome_here"), [({"a", "b"}, True), ({"c"}, False), (set(), False), (None, True)]
)
def test_a_certificate_has_to_name_the_node_that_greets(
    side: Side, named: set[str] | None, welcome_here: bool
) -> None:
    certified = None if named is None else frozenset(named)
    shows = {each: certified if each is side else None for each in Side}
    one, two = (
        Handshake(said, each, SECRET, welcome, certified=shows[each])
        for said, each in (
            (greeting("a", to="b"), Side.DIALLER),
            (greeting("b"), Side.LISTENER),
        )
    )
    if welcome_here:
        converse(one, two)
        assert (one.done, two.done) == (True, True)
    else:
        assert refusal(one, two).code == Close.CERTIFICATE


@pytest.mark.parametrize("node", ["n1", "a.b-c_d", "name with / and %", "\u00e9"])
def test_a_name_in_a_certificate_reads_back_as_the_node(node: str) -> None:
    names = (("DNS", "n1"), ("URI", "https://n1"), ("URI", uri_of(node)))
    assert nodes_named({"subjectAltName": names}) == {node}
    assert nodes_named({}) == nodes_named(None) == frozenset()


# -- who is not let in


def test_different_secrets_are_found_out_by_the_listener() -> None:
    one, two = dialler(), listener(secret=b"another secret of a cluster")
    assert refusal(one, two).code == Close.SECRET
    assert not two.proved


@pytest.mark.parametrize("has", ["a", "b"])
def test_a_secret_on_one_side_only_is_refused_and_who_lacks_it_is_named(has: str) -> None:
    one = dialler(greeting("a", secured=has == "a"), SECRET if has == "a" else None)
    two = listener(greeting("b", secured=has == "b"), SECRET if has == "b" else None)
    error = refusal(one, two)
    assert error.code == Close.SECRET
    assert error.sentence.startswith(f"{'b' if has == 'a' else 'a'} has no cluster secret")


def test_who_claims_to_have_the_secret_still_has_to_prove_it() -> None:
    assert refusal(dialler(secret=None), listener()).code == Close.SECRET


def test_a_listener_without_the_secret_is_found_out_by_the_dialler() -> None:
    """One that lets everybody in cannot pass for a member."""
    one, two = dialler(), listener(secret=b"another secret of a cluster")
    two._mac = lambda *_: bytes(32)  # type: ignore[method-assign]
    (first,) = one.open()
    (answer,) = two.receive(first)
    one.receive(answer)
    with pytest.raises(LinkError, match="secrets differ"):
        one.receive(pack_plain((bytes(32), 0, "")))
    assert not one.proved


def test_no_version_in_common_is_refused_with_both_ranges() -> None:
    error = refusal(dialler(greeting("a", version_min=3, version=4)), listener())
    assert error.code == Close.VERSION
    assert "1 to 1" in error.sentence
    assert "3 to 4" in error.sentence


def test_a_later_greeting_that_we_cannot_read_still_says_which_versions_it_speaks() -> None:
    with pytest.raises(LinkError, match="upgrade the older node"):
        listener().receive(pack_plain((MARKER, 7, 9, b"?")))


def test_the_dialler_refuses_another_node_than_it_meant() -> None:
    error = refusal(dialler(greeting("a", to="c")), listener())
    assert error.code == Close.WRONG_NODE
    assert error.sentence == "b is here, not c: correct the peer's address"


def test_the_dialler_looks_for_itself_who_answers() -> None:
    one = dialler(greeting("a", to="c"))
    one.open()
    with pytest.raises(LinkError, match="b is here, not c"):
        one.receive(pack_greeting(greeting("b")))


def test_a_node_that_reaches_itself_says_so() -> None:
    me = greeting("a")
    error = refusal(dialler(me), listener(dataclasses.replace(me, challenge=os.urandom(32))))
    assert error.code == Close.ITSELF


def test_who_is_not_accepted_hears_why_in_full_and_from_a_node_that_has_proved_itself() -> None:
    sentence = "long " * 80
    two = listener(judge=lambda _: LinkError(Close.REFUSED, sentence))
    one = dialler()
    converse(one, two)
    assert two.end == End(Close.REFUSED, sentence, ours=True)
    assert one.end == End(Close.REFUSED, sentence, ours=False)
    assert one.proved
    assert {one.done, two.done} == {False}


def test_the_dialler_may_refuse_too() -> None:
    one = dialler(judge=lambda _: LinkError(Close.REFUSED, "not you"))
    assert refusal(one, listener()).sentence == "not you"


def test_nobody_is_judged_who_has_not_proved_himself() -> None:
    def never(_: Greeting) -> LinkError | None:
        raise AssertionError("asked too early")

    two = listener(judge=never)
    refusal(dialler(secret=b"another secret of a cluster"), two)


# -- who stands in between


def test_a_proof_is_of_no_use_in_another_conversation() -> None:
    """Replayed word for word to a listener that has drawn a new challenge."""
    recorded = converse(dialler(), listener())
    two = listener()
    two.receive(recorded[0])
    with pytest.raises(LinkError, match="secrets differ"):
        two.receive(recorded[2])


def test_a_proof_is_of_no_use_the_other_way_round() -> None:
    """The dialler is sent its own proof back."""
    one, two = dialler(), listener()
    (answer,) = two.receive(one.open()[0])
    (proof,) = one.receive(answer)
    with pytest.raises(LinkError, match="secrets differ"):
        one.receive(proof)


def test_a_greeting_that_is_sent_back_is_known_again() -> None:
    one = dialler()
    with pytest.raises(LinkError, match="reached itself"):
        one.receive(one.open()[0])


def test_a_proof_for_one_node_is_of_no_use_at_another() -> None:
    """Somebody without the secret lets a dialler greet him, and passes its words on to a third."""
    one, victim = dialler(greeting("a")), listener(greeting("c"))
    (answer,) = victim.receive(one.open()[0])
    forged = dataclasses.replace(unpack_greeting(answer, (1, 1)), node="b", nonce="mine")
    (proof,) = one.receive(pack_greeting(forged))
    with pytest.raises(LinkError, match="secrets differ"):
        victim.receive(proof)


@given(st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 255))
def test_whatever_byte_is_changed_on_the_way_somebody_notices(
    which: int, place: int, flip: int
) -> None:
    one, two = dialler(), listener()
    sides = (two, one, two, one)

    def carry_all() -> None:
        (message,) = one.open()
        for number, side in enumerate(sides):
            if number == which:
                at = place % len(message)
                message = message[:at] + bytes([message[at] ^ flip]) + message[at + 1 :]
            (message,) = side.receive(message) or [b""]

    with pytest.raises(LinkError):
        carry_all()
    assert not (one.done and two.done)


def test_a_verdict_cannot_be_forged() -> None:
    """A refusal that was put in the place of a welcome has no proof."""
    one, two = dialler(), listener()
    (answer,) = two.receive(one.open()[0])
    (verdict,) = two.receive(one.receive(answer)[0])
    mac, _, _ = unpack_plain(verdict)
    with pytest.raises(LinkError, match="secrets differ"):
        one.receive(pack_plain((mac, int(Close.COPY), "you are a copy")))
    assert one.end is None


# -- what is no greeting


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_no_greeting(data: bytes) -> None:
    with pytest.raises(LinkError) as error:
        listener().receive(data)
    assert error.value.code in (Close.GREETING, Close.VERSION)


@given(
    st.recursive(
        st.one_of(st.integers(0, 2**40), st.binary(max_size=40), st.text(max_size=10), st.none()),
        lambda inner: st.lists(inner, max_size=4).map(tuple),
    )
)
def test_any_proof_that_is_none_is_refused(plain: Any) -> None:
    one, two = dialler(), listener()
    two.receive(one.open()[0])
    with pytest.raises(LinkError):
        two.receive(pack_plain(plain))
    assert not two.proved


@pytest.mark.parametrize(
    "wrong",
    [
        {"node": ""},
        {"birth": ""},
        {"nonce": ""},
        {"node": "a\nb"},
        {"challenge": b"short"},
        {"addresses": ("h:1",) * (ADDRESSES_MAX + 1)},
        {"addresses": ("h" * 300,)},
        {"node": "n" * 65},
    ],
    ids=str,
)
def test_a_greeting_that_says_too_little_or_too_much_is_not_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        pack_greeting(greeting("a", **wrong))


def test_what_a_later_release_adds_is_passed_over() -> None:
    said = greeting("a")
    later = pack_plain((*unpack_plain(pack_greeting(said)), "something new"))
    assert unpack_greeting(later, (1, 1)) == said
