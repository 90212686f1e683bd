"""The dashboard over TLS in a real browser, on a cluster with certificates of `tlru certs`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.processes import Processes
from tests.js.running_node import run_tests
from tests.js.signing import key_hash, keys_file, secret
from tests.running import run
from tlru.cli import certs

IDS = ("n1", "n2", "n3")


@pytest.mark.long
def test_it_outlives_the_node_that_served_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates for clients and between nodes, of an authority that `tlru certs` has made."""
    folder = tmp_path / "certs"
    certs.command.main(["authority", str(folder)], standalone_mode=False)
    keys = keys_file(tmp_path)
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(folder / "ca.pem"))

    async def scenario() -> None:
        cluster = Processes(tmp_path)
        try:
            for id in IDS:
                await cluster.add(id, *_safe(folder, id), "--jwt-keys", str(keys))
            told = {"nodes": await _started(cluster, folder), "secret": secret()}
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
            "spki": key_hash(folder / f"{node.id}.pem"),
        }
        for node in cluster.nodes.values()
    ]
