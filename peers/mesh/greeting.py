"""Who is at the other end of a link, and how both sides prove it: the greeting.

Pure: messages go in and come out; chance is handed in within the greeting. It decides nothing that
needs to know other links: `judge` does, once the other side has proved itself.

Four messages: the dialler's greeting, the listener's, the dialler's proof, the listener's proof
with its verdict. A proof is an HMAC-SHA256, under the cluster secret, of both greetings as they
came and of the side that gives it. Both greetings hold a fresh challenge, so no proof is of use a
second time; the side is in it, so none is of use the other way round. The dialler proves itself
first: whoever dials without the secret gets nothing from which it could be guessed.

Two secrets may be valid for a while: a dialler shows the first of its own, a listener answers with
the one that it was shown, and either side takes both. Under mutual TLS the certificate of the other
side must name the node that it says it is: else each node could greet as any other.

Invariant: `proved` is true only once the other side has shown that it knows the secret, and `judge`
is asked only then.
"""

from __future__ import annotations

import enum
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from peers.core.entry import Epoch
from peers.errors import LinkError, WireError
from peers.mesh.certified import uri_of
from peers.mesh.ends import SENTENCE_CHARS_MAX, Close, End, shown
from peers.wire_fields import Codecs, pack_plain, unpack_plain

MARKER: Final = "tlru-mesh"
GREETING_BYTES_MAX: Final = 32 << 10  # of any message before a link is in use
CHALLENGE_BYTES: Final = 32
ADDRESSES_MAX: Final = 16
ADDRESS_CHARS_MAX: Final = 256
_CONTEXT: Final = b"tlru-mesh-1 proof\0"
_LENGTH: Final = struct.Struct("!I")
_RANGE_LENGTH: Final = 3  # what every release reads of a greeting: marker, and the versions spoken


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a node says of itself before anything else. Nothing in it is secret.

    A new field stands last and has a default: an earlier release passes over it, and lacks it.
    """

    marker: str
    version_min: int
    version: int
    node: str
    birth: str
    incarnation: int
    nonce: str  # drawn when the process starts: tells copies of one state directory apart
    to: str  # whom the dialler means to reach; empty where it cannot know, and from the listener
    secured: bool  # whether it has a cluster secret
    challenge: bytes
    epoch: Epoch
    ancestors: tuple[str, ...]
    addresses: tuple[str, ...]  # where it can be dialled


@dataclass(frozen=True, slots=True)
class Proof:
    """That one side knows the secret. The listener's also tells its verdict; 0 is welcome."""

    mac: bytes
    code: int = 0
    sentence: str = ""


class Side(enum.Enum):
    """Who gives a proof."""

    DIALLER = b"dialler"
    LISTENER = b"listener"


_CODECS: Final = Codecs(
    own={},
    items_max={},
    chars_max={
        (Greeting, "addresses"): ADDRESS_CHARS_MAX,
        (Proof, "sentence"): SENTENCE_CHARS_MAX,
    },
    laws={},
)
_GREETING: Final = _CODECS.of(Greeting)
_PROOF: Final = _CODECS.of(Proof)


def pack_greeting(greeting: Greeting) -> bytes:
    """The bytes of a greeting. WireError where others would refuse them."""
    assert _GREETING.pack is not None
    data = pack_plain(_GREETING.pack(greeting))
    if len(data) > GREETING_BYTES_MAX:
        raise WireError(
            f"a greeting of {len(data)} bytes, where {GREETING_BYTES_MAX} are the most: "
            "advertise fewer or shorter addresses"
        )
    _check(_GREETING.unpack(unpack_plain(data)))
    return data


def unpack_greeting(data: bytes, versions: tuple[int, int]) -> Greeting:
    """A greeting of these bytes; `versions` are those that this node speaks. LinkError where it is
    none, or has no version in common with us."""
    try:
        parts = unpack_plain(data)
        if type(parts) is not tuple or len(parts) < _RANGE_LENGTH or parts[0] != MARKER:
            raise WireError("it does not begin as a greeting")
        _check_versions(parts[1], parts[2], versions)
        greeting: Greeting = _GREETING.unpack(parts)
        _check(greeting)
    except WireError as exc:
        raise LinkError(Close.GREETING, f"no greeting: {exc}") from exc
    return greeting


def _check_versions(first: Any, last: Any, ours: tuple[int, int]) -> None:
    if type(first) is not int or type(last) is not int:
        raise WireError("its versions are no numbers")
    if first > ours[1] or last < ours[0]:
        raise LinkError(
            Close.VERSION,
            f"one speaks protocol versions {ours[0]} to {ours[1]}, the other "
            f"{first} to {last}: upgrade the older node",
        )


def _check(greeting: Greeting) -> None:
    if not (greeting.node and greeting.birth and greeting.nonce):
        raise WireError("the node, its birth or its nonce is empty")
    if not greeting.node.isprintable():
        raise WireError("the node's id holds what cannot be printed")
    if len(greeting.challenge) != CHALLENGE_BYTES:
        raise WireError(f"a challenge of {len(greeting.challenge)} bytes, not {CHALLENGE_BYTES}")
    if len(greeting.addresses) > ADDRESSES_MAX:
        raise WireError(f"{len(greeting.addresses)} addresses, where {ADDRESSES_MAX} are the most")


class Handshake:
    """One side of a greeting, from the first message to the last."""

    def __init__(
        self,
        mine: Greeting,
        side: Side,
        secret: bytes | None,
        judge: Callable[[Greeting], LinkError | None],
        *,
        secret_also: bytes | None = None,
        certified: frozenset[str] | None = None,
    ) -> None:
        """`certified`: whom the other side's certificate names; None where none is asked for."""
        self.mine, self.side = mine, side
        self.theirs: Greeting | None = None
        self.proved = False  # the other side knows the secret
        self.done = False  # and is welcome, on both sides as far as this one knows
        self.end: End | None = None  # or it is not: which is told only to who is proved
        self._judge = judge
        self._secret = secret or b""
        self._secrets = (self._secret, secret_also) if secret_also else (self._secret,)
        self._certified = certified
        self._own = pack_greeting(mine)
        self._other = b""

    @property
    def version(self) -> int:
        """The protocol version in which both will speak."""
        assert self.theirs is not None, "both have greeted"
        return min(self.mine.version, self.theirs.version)

    def open(self) -> list[bytes]:
        """What this side says unasked."""
        return [self._own] if self.side is Side.DIALLER else []

    def receive(self, message: bytes) -> list[bytes]:
        """Take the other side's next message; gives the answer. LinkError where it must end."""
        assert not self.done, "nothing of the greeting comes after its end"
        assert self.end is None, "nor after a refusal"
        if self.theirs is None:
            return self._on_greeting(message)
        return self._on_proof(message)

    def _on_greeting(self, message: bytes) -> list[bytes]:
        mine = self.mine
        theirs = unpack_greeting(message, (mine.version_min, mine.version))
        self._check_whom(theirs)
        self._check_certificate(theirs)
        self._check_secured(theirs)
        self.theirs, self._other = theirs, message
        if self.side is Side.LISTENER:
            return [self._own]
        return [_pack_proof(Proof(self._mac(Side.DIALLER)))]

    def _check_whom(self, theirs: Greeting) -> None:
        mine = self.mine
        if theirs.nonce == mine.nonce:
            raise LinkError(Close.ITSELF, "a node has reached itself: correct the peer's address")
        meant, found = theirs.to, mine.node
        if self.side is Side.DIALLER:
            meant, found = mine.to, theirs.node
        if meant not in ("", found):
            raise LinkError(
                Close.WRONG_NODE, f"{found} is here, not {meant}: correct the peer's address"
            )

    def _check_certificate(self, theirs: Greeting) -> None:
        named = self._certified
        if named is not None and theirs.node not in named:
            whom = ", ".join(sorted(named)) or "no node at all"
            raise LinkError(
                Close.CERTIFICATE,
                f"{theirs.node} shows a certificate for {whom}: give it one that names "
                f"{uri_of(theirs.node)}"[:SENTENCE_CHARS_MAX],
            )

    def _check_secured(self, theirs: Greeting) -> None:
        if theirs.secured is not self.mine.secured:
            without = theirs.node if self.mine.secured else self.mine.node
            raise LinkError(
                Close.SECRET, f"{without} has no cluster secret: give both nodes the same"
            )

    def _on_proof(self, message: bytes) -> list[bytes]:
        assert self.theirs is not None, "a proof comes after a greeting"
        proof = _unpack_proof(message)
        other = Side.LISTENER if self.side is Side.DIALLER else Side.DIALLER
        shown_secret = self._which(proof, other)
        if shown_secret is None:
            raise LinkError(
                Close.SECRET, "the cluster secrets differ: give both nodes the same secret"
            )
        self._secret = shown_secret
        self.proved = True
        if proof.code:
            self.end = End(proof.code, shown(proof.sentence), ours=False)
            return []
        verdict = self._judge(self.theirs)
        if self.side is Side.DIALLER:
            if verdict is not None:
                raise verdict
            self.done = True
            return []
        return [self._verdict(verdict)]

    def _which(self, proof: Proof, side: Side) -> bytes | None:
        """The secret that a proof was made with; None where it is none of ours."""
        found = None
        for secret in self._secrets:  # all of them, however soon one fits
            if hmac.compare_digest(
                proof.mac, self._mac(side, proof.code, proof.sentence, secret=secret)
            ):
                found = secret
        return found

    def _verdict(self, verdict: LinkError | None) -> bytes:
        code, sentence = 0, ""
        if verdict is None:
            self.done = True
        else:
            code, sentence = verdict.code, verdict.sentence[:SENTENCE_CHARS_MAX]
            self.end = End(code, sentence, ours=True)
        return _pack_proof(Proof(self._mac(Side.LISTENER, code, sentence), code, sentence))

    def _mac(
        self, side: Side, code: int = 0, sentence: str = "", *, secret: bytes | None = None
    ) -> bytes:
        mine_first = self.side is Side.DIALLER
        dialler, listener = (self._own, self._other) if mine_first else (self._other, self._own)
        said = sentence.encode("utf-8", "surrogatepass")
        parts = (side.value, dialler, listener, _LENGTH.pack(code & 0xFFFFFFFF), said)
        framed = b"".join(_LENGTH.pack(len(part)) + part for part in parts)
        return hmac.digest(self._secret if secret is None else secret, _CONTEXT + framed, "sha256")


def _pack_proof(proof: Proof) -> bytes:
    pack = _PROOF.pack
    assert pack is not None
    return pack_plain(pack(proof))


def _unpack_proof(message: bytes) -> Proof:
    try:
        proof: Proof = _PROOF.unpack(unpack_plain(message))
    except WireError as exc:
        raise LinkError(Close.GREETING, f"no proof: {exc}") from exc
    return proof
