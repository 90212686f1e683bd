"""The JavaScript client on nodes that ask who it is, and how much it wants."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.integration.processes import Processes, free_ports
from tests.js.running_node import run_tests
from tests.node.access.holders import SECRET, jwks
from tests.running import a_node, run
from tlru.cli import certs

IDS = ("n1", "n2", "n3")


def test_tokens_run_out_under_it(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(tests=SECRET))

    async def scenario() -> None:
        async with a_node(jwt_keys=keys) as node:
            told = {
                "url": node.url,
                "nowhere": f"ws://127.0.0.1:{free_ports(1)[0]}/ws",
                "secret": _secret(),
            }
            await run_tests("tokens.test.js", told)

    run(scenario())


def test_the_dashboard_asks_for_a_token_and_offers_what_it_allows(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(tests=SECRET))
    pictures = tmp_path / "pictures"
    pictures.mkdir()

    async def scenario() -> None:
        async with a_node(jwt_keys=keys) as node:
            told = {
                "url": node.url,
                "page": f"{node.http_url}/dashboard/",
                "secret": _secret(),
                "pictures": str(pictures),
            }
            await run_tests("dashboard_tokens.test.js", told)

    run(scenario())
    assert len(list(pictures.glob("*.png"))) == 8


def test_the_dashboard_over_tls_outlives_the_node_that_served_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates for clients and between nodes, of an authority that `tlru certs` has made."""
    folder = tmp_path / "certs"
    certs.command.main(["authority", str(folder)], standalone_mode=False)
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(tests=SECRET))
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(folder / "ca.pem"))

    async def scenario() -> None:
        cluster = Processes(tmp_path)
        try:
            for id in IDS:
                await cluster.add(id, *_safe(folder, id), "--jwt-keys", str(keys))
            told = {"nodes": await _started(cluster, folder), "secret": _secret()}
            said = await run_tests("dashboard_tls.test.js", told)
            assert "pass 2" in said
        finally:
            await cluster.end()

    run(scenario())


def _safe(folder: Path, id: str) -> list[str]:
    """The flags of a node with a certificate of its own, which is made here."""
    asked = ["node", str(folder), "--id", id, "--host", "127.0.0.1"]
    certs.command.main(asked, standalone_mode=False)
    pem, key, ca = (str(folder / name) for name in (f"{id}.pem", f"{id}.key", "ca.pem"))
    shown = ["--tls-cert", pem, "--tls-key", key]
    return [*shown, "--mesh-cert", pem, "--mesh-key", key, "--mesh-ca", ca]


async def _started(cluster: Processes, folder: Path) -> list[dict[str, object]]:
    """Start them as one cluster; what the browser is to know of each."""
    meshes = ",".join(node.mesh for node in cluster.nodes.values())
    for node in cluster.nodes.values():
        node.flags += ["--join", meshes, "--expect", str(len(cluster.nodes))]
    await asyncio.gather(*(node.start() for node in cluster.nodes.values()))
    return [
        {
            "id": node.id,
            "port": node.port,
            "pid": node.pid,
            "url": f"wss://127.0.0.1:{node.port}/ws",
            "page": f"https://127.0.0.1:{node.port}/dashboard/",
            "spki": _key_hash(folder / f"{node.id}.pem"),
        }
        for node in cluster.nodes.values()
    ]


def _key_hash(file: Path) -> str:
    """Of the public key of a certificate, as a browser is told whom to take for good."""
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def _secret() -> str:
    return base64.b64encode(SECRET).decode()
