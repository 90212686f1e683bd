"""The mesh over TLS, one-sided and mutual, with certificates that are made here."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from peers.mesh.status import PeerState
from tests.peers.meshes import (
    SECRET,
    Noted,
    all_linked,
    half_open,
    introduce,
    mesh,
    run,
    started,
    stranger,
    timing,
    until,
)

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="certificates are made by openssl")


def certificate(folder: Path, name: str, nodes: Iterable[str] = ("a", "b", "c", "d", "n1")) -> Path:
    """A certificate for loopback and these nodes, signed by itself; its key stands beside it."""
    uris = "".join(f",URI:tlru://node/{node}" for node in nodes)
    made = folder / f"{name}.pem"
    assert OPENSSL is not None
    subprocess.run(
        [
            *(OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=IP:127.0.0.1,DNS:localhost{uris}"),
            *("-keyout", str(made.with_suffix(".key")), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return made


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("foreign"), "foreign")


def contexts(own: Path, trusted: Path, *, mutual: bool) -> dict[str, ssl.SSLContext]:
    listen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listen.load_cert_chain(own, own.with_suffix(".key"))
    dial = ssl.create_default_context(cafile=str(trusted))
    if mutual:
        listen.verify_mode = ssl.CERT_REQUIRED
        listen.load_verify_locations(trusted)
        dial.load_cert_chain(own, own.with_suffix(".key"))
    return {"tls_listen": listen, "tls_dial": dial}


async def large_and_small(a: Noted, b: Noted) -> None:
    sent = [bytes([number % 256]) * size for number, size in enumerate((1, 300_000, 0, 3 << 20, 5))]
    for data in sent:
        a.send("b", data)
        b.send("a", data)
    await until(lambda: a.notes.of("b") == b.notes.of("a") == sent)


@pytest.mark.parametrize("loop", [asyncio, pytest.importorskip("uvloop")])
@pytest.mark.parametrize("mutual", [True, False])
def test_everything_goes_through_tls(ours: Path, mutual: bool, loop: Any) -> None:
    async def main() -> None:
        a, b = (mesh(each, **contexts(ours, ours, mutual=mutual)) for each in "ab")
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            await large_and_small(a, b)

    run(main, loop.run)


def test_mutual_tls_is_enough_where_it_was_said_so(ours: Path) -> None:
    async def main() -> None:
        settings = {"secret": None, "secret_with_tls": False}
        a, b = (mesh(each, **settings, **contexts(ours, ours, mutual=True)) for each in "ab")
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)

    run(main)


def test_tls_does_not_stand_for_the_secret(ours: Path) -> None:
    async def main() -> None:
        secrets = {"a": SECRET, "b": b"the secret of another cluster"}
        a, b = (
            mesh(each, secret=secrets[each], **contexts(ours, ours, mutual=True)) for each in "ab"
        )
        async with started(a, b):
            introduce(a, b)
            await until(lambda: a.peer("b").state is PeerState.REFUSED)
            assert "secrets differ" in a.peer("b").why

    run(main)


def test_a_certificate_that_nobody_vouches_for_is_told(ours: Path, foreign: Path) -> None:
    async def main() -> None:
        a = mesh("a", **contexts(ours, ours, mutual=True))
        b = mesh("b", **contexts(foreign, foreign, mutual=True))
        async with started(a, b):
            introduce(a, b)
            await until(lambda: "certificate" in a.peer("b").why)
            await until(lambda: "certificate" in b.peer("a").why)
            assert a.notes.greetings == b.notes.greetings == []

    run(main)


def test_a_client_without_a_certificate_is_not_let_in(ours: Path) -> None:
    async def main() -> None:
        a = mesh("a", **contexts(ours, ours, mutual=True))
        plain = contexts(ours, ours, mutual=False)
        b = mesh("b", **plain)
        async with started(a, b):
            b.reach({"a": [a.address]})
            await until(lambda: b.peer("a").why not in ("", "it has not been tried yet"))
            assert a.notes.greetings == []

    run(main)


def test_who_speaks_no_tls_is_given_up(ours: Path) -> None:
    async def main() -> None:
        a = mesh("a", timing=timing(greeting_s=0.2), **contexts(ours, ours, mutual=False))
        plain = mesh("b")
        async with started(a, plain):
            plain.reach({"a": [a.address]})
            a.reach({"b": [plain.address]})
            await until(lambda: a.peer("b").why and "not been tried" not in a.peer("b").why)
            await until(lambda: plain.peer("a").why and "not been" not in plain.peer("a").why)
            assert a.notes.changes == plain.notes.changes == []

    run(main)


def test_handshakes_that_never_end_are_bounded_in_number_and_time(ours: Path) -> None:
    async def main() -> None:
        settings = contexts(ours, ours, mutual=False)
        a, b = mesh("a", half_open_max=8, **settings), mesh("b", **settings)
        async with started(a, b):
            crowd = [await asyncio.open_connection(*a.address.split(":")) for _ in range(40)]
            await until(lambda: half_open(a) == 8)
            b.reach({"a": [a.address]})
            await all_linked(a, b)
            for _, writer in crowd:
                writer.transport.abort()
            await until(lambda: not half_open(a))
        impatient = mesh("a", timing=timing(greeting_s=0.1), **settings)
        async with started(impatient), stranger(impatient.address, upgrade=False) as mute:
            await mute.until_gone()
            await until(lambda: not half_open(impatient))

    run(main)


def test_stopping_ends_handshakes_too(ours: Path) -> None:
    async def main() -> None:
        a = mesh("a", **contexts(ours, ours, mutual=False))
        async with started(a):
            _, writer = await asyncio.open_connection(*a.address.split(":"))
            await until(lambda: half_open(a))
        writer.transport.abort()

    run(main)


def test_a_node_cannot_greet_as_another(tmp_path: Path) -> None:
    """It knows the secret, and its certificate is good: for itself. Whichever of the two dials."""
    own, stolen = certificate(tmp_path, "own", ["a"]), certificate(tmp_path, "stolen", ["c", "d"])
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(own.read_bytes() + stolen.read_bytes())

    async def main() -> None:
        a = mesh("a", **contexts(own, trusted, mutual=True))
        thief = mesh("b", **contexts(stolen, trusted, mutual=True))
        honest = mesh("c", **contexts(stolen, trusted, mutual=True))
        said = "b shows a certificate for c, d: give it one that names tlru://node/b"
        async with started(a, thief, honest):
            thief.reach({"a": [a.address]})  # the listener refuses
            await until(lambda: thief.peer("a").state is PeerState.REFUSED)
            assert said in thief.peer("a").why
            a.reach({"b": [thief.address], "c": [honest.address]})  # the dialler refuses
            await until(lambda: a.peer("b").state is PeerState.REFUSED)
            assert said in a.peer("b").why
            await until(lambda: a.linked("c"))
            assert [each.node for each in a.notes.greetings] == ["c"]
            assert thief.notes.greetings == []

    run(main)


def test_a_certificate_that_names_no_node_is_none_for_a_mesh(tmp_path: Path) -> None:
    """As a public authority makes them for a web server."""
    plain = certificate(tmp_path, "plain", [])

    async def main() -> None:
        a, b = (mesh(each, **contexts(plain, plain, mutual=True)) for each in "ab")
        async with started(a, b):
            b.reach({"a": [a.address]})
            await until(lambda: "a certificate for no node at all" in b.peer("a").why)
            assert a.notes.greetings == b.notes.greetings == []

    run(main)
