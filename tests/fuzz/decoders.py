"""Everything that turns bytes of others into something, each with the errors that it may raise.

A decoder gives what its annotations say, or raises one of its own errors. Whatever else comes out
of it is a finding: an exception that nobody foresaw, or a law below that does not hold.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgpack

from peers import wire
from peers.cluster import asking
from peers.errors import LinkError, WireError
from peers.mesh import frames as mesh_frames
from peers.mesh import greeting
from peers.mesh.pulse import read_pong
from peers.mesh.upgrade import Upgrade
from peers.wire_batches import unpack_batch
from peers.wire_fields import unpack_plain
from tests.peers.meshes import a_greeting
from tests.peers.wire_samples import BATCH, in_envelope, sample
from tlru.access import keys
from tlru.access.authority import Authority
from tlru.client import framing
from tlru.engine import operations
from tlru.engine.snapshot import Loader, SnapshotError
from tlru.engine.state import State
from tlru.errors import TlruError
from tlru.node.http import targets
from tlru.wire import codec, frames, strict_json, values
from tlru.wire.limits import Limits
from tlru.wire.requests import OPS, checked, request_id

LIMITS = Limits()
SECRET = b"a secret of more than thirty-two bytes, made for tests"
_ROW = {"kty": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(SECRET).decode().rstrip("=")}
AUTHORITY = Authority(keys=keys.parse(json.dumps({"keys": [_ROW]}).encode()))
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


@dataclass(frozen=True)
class Decoder:
    """Something that reads what others wrote."""

    name: str
    read: Callable[[bytes], object]
    may_raise: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...] = ()

    def try_it(self, data: bytes) -> bool:
        """Read; whether it was taken. Anything that it may not raise goes through."""
        try:
            self.read(data)
        except self.may_raise:
            return False
        return True


# -- between nodes


def _envelope(data: bytes) -> None:
    found = wire.decode(data)
    assert wire.decode(wire.encode(found)) == found, "what was read is written, and read alike"


def _batch(data: bytes) -> None:
    batch = unpack_batch(data)
    assert [each.index for each in batch.entries] == list(range(batch.first, batch.last.index + 1))


def _mesh_frames(masked: bool) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        reader, taken = mesh_frames.FrameReader(masked=masked, bytes_max=1 << 16), 0
        for at in range(0, len(data), 7):
            taken += sum(len(body) for _, body in reader.feed(data[at : at + 7]))
        assert taken <= len(data)

    return read


def _upgrade(data: bytes) -> None:
    upgrade = Upgrade(greeting.Side.LISTENER, "127.0.0.1:1", tls=False)
    upgrade.receive(data)
    upgrade.to_send()


def _handshake(data: bytes) -> None:
    """Two messages of somebody who dials: the first is cut from the second by its first byte."""
    size = data[0] if data else 0
    shake = greeting.Handshake(
        a_greeting("b"), greeting.Side.LISTENER, SECRET, judge=lambda _: None
    )
    for message in (data[1 : 1 + size], data[1 + size :]):
        if shake.end is None:
            shake.receive(message)
    assert not shake.proved, "nobody proves a secret that he does not know"


# -- between clients and nodes


def _requests(kind: type[codec.MsgpackCodec] | type[codec.JsonCodec]) -> Callable[[bytes], None]:
    speaks = kind(LIMITS)

    def read(data: bytes) -> None:
        for message in speaks.decode(data):
            if isinstance(message, TlruError):
                continue
            name = message.get("op")
            op = OPS.get(name) if isinstance(name, str) else None
            with contextlib.suppress(TlruError):
                request_id(message)
                if op is not None:
                    checked(op, message, speaks.reading)

    return read


def _whole_frames(data: bytes) -> None:
    found = frames.whole(data, frames.BINARY, masked=True)
    assert found is None or sum(map(len, found)) <= len(data)


def _value(data: bytes) -> None:
    shown = values.unpack(data)
    if values.is_one_object(data):
        again = values.pack(strict_json.parse(strict_json.dumps(shown)))
        assert values.unpack(again) == shown or shown != shown  # NaN is never itself


def _json(data: bytes) -> None:
    strict_json.dumps(strict_json.parse(data))


def _answers(data: bytes) -> None:
    """What a client reads, in pieces, from a server that has taken its upgrade."""
    client = framing.Framing("ws://localhost/ws", 1 << 16)
    asked = client.to_send().decode()
    key = asked.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
    accept = base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()
    client.receive(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: tlru.v1.msgpack\r\n\r\n"
        % accept.encode()
    )
    assert client.upgraded
    half = len(data) // 2
    for piece in (data[:half], data[half:]):
        for reply in client.receive(piece):
            assert type(reply) is dict
        client.to_send()


def _token(data: bytes) -> None:
    AUTHORITY.grant_of(data.decode("latin-1"), 0.0)
    raise AssertionError("nobody signs a token with a secret that he does not know")


def _snapshot(data: bytes) -> None:
    loader = Loader(State())
    loader.take(data)
    loader.finish()


def _targets(data: bytes) -> None:
    target = targets.split(data.decode("latin-1"))
    targets.fields(target.query)
    targets.form(data)


def _samples() -> Iterator[bytes]:
    for kind in wire.CODES:
        yield wire.encode(in_envelope(sample(kind)))


_OPERATION = operations.encode(operations.Incr("k", 1, None))
_ASKED = msgpack.packb((1, asking._Code.QUESTION, "a", "1", "2", 3, 1000, b"x", ""))
_FRAME = frames.frame(msgpack.packb({"id": 1, "op": "ping"}), frames.BINARY, b"abcd")
_PACKED = greeting.pack_greeting(a_greeting("a"))[:255]
_GREETS = bytes((len(_PACKED),)) + _PACKED + msgpack.packb((b"m" * 32, 0, ""))
_DIALS = Upgrade(greeting.Side.DIALLER, "127.0.0.1:1", tls=False).to_send()
_REPLY = frames.frame(msgpack.packb({"id": 1, "ok": True, "pos": 3}), frames.BINARY)
_SET = {"id": 1, "op": "set", "key": "k", "value": msgpack.packb(1), "ttl": 5, "if": "absent"}

DECODERS: tuple[Decoder, ...] = (
    Decoder("envelope", _envelope, (WireError,), tuple(_samples())),
    Decoder("batch", _batch, (WireError,), (BATCH.packed,)),
    Decoder("plain", unpack_plain, (WireError,), (b"\x93\x01\xa1a\xc4\x01x",)),
    Decoder("question", asking._read, (WireError,), (_ASKED,)),
    Decoder("pong", lambda data: read_pong(data.split(b" ")), (LinkError,), (b"15 25",)),
    Decoder("mesh frames in", _mesh_frames(True), (LinkError,), (_FRAME,)),
    Decoder("mesh frames out", _mesh_frames(False), (LinkError,), (_REPLY,)),
    Decoder("mesh upgrade", _upgrade, (LinkError,), (_DIALS,)),
    Decoder("mesh greeting", _handshake, (LinkError,), (_GREETS,)),
    Decoder(
        "requests, msgpack",
        _requests(codec.MsgpackCodec),
        (codec.FramingError,),
        (msgpack.packb(_SET),),
    ),
    Decoder(
        "requests, JSON",
        _requests(codec.JsonCodec),
        (codec.FramingError,),
        (b'{"id":1,"op":"set","key":"k","value":{"$b64":"AA=="},"ttl":1}',),
    ),
    Decoder("whole frames", _whole_frames, (), (_FRAME,)),
    Decoder("values", _value, (TlruError,), (msgpack.packb({"a": [1, 2.5, None, b"x"]}),)),
    Decoder("JSON", _json, (TlruError,), (b'{"a":[1,2.5e3,null,"\\u00e9"]}',)),
    Decoder("answers", _answers, (), (_REPLY,)),
    Decoder("tokens", _token, (TlruError,), (b"eyJhbGciOiJIUzI1NiJ9.e30.AA", b"tlru_x")),
    Decoder("operations", operations.decode, (operations.UnknownOperationError,), (_OPERATION,)),
    Decoder("snapshots", _snapshot, (SnapshotError,)),
    Decoder("targets", _targets, (TlruError,), (b"/v1/keys/a%2Fb?ttl=5",)),
)
