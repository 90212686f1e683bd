"""The pods of `config/kubernetes/`, run on loopback as a kubelet would run them: command line,
environment, files and probes, with nothing changed but names and folders into those to be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import tlru
from tests.authority import LOOPBACK, Authority
from tests.cli.commands import tlru as command
from tests.integration.manifests import ROOT, Document, PodFacts, documents, one, pod
from tests.ports import free_ports
from tests.running import run
from tlru.access import static
from tlru.cli.exits import Exit

PATIENCE_S = 40
LOOK_S = 0.1
LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


@dataclass
class Pod:
    """One pod: `folder` stands for the root of its file system."""

    facts: PodFacts
    folder: Path
    port: int
    replaced: dict[str, str]
    manifest: Document
    process: asyncio.subprocess.Process | None = None

    def put_files(self) -> None:
        """What is mounted. A volume of its own keeps what it holds."""
        for mount, files in self.facts.files.items():
            at = self.folder / mount.lstrip("/")
            at.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (at / name).write_text(self._here(text))

    def _here(self, text: str) -> str:
        mounts = "|".join(sorted(self.facts.files, key=len, reverse=True))
        text = re.sub(rf"(?<![\w/])(?:{mounts})\b", lambda found: f"{self.folder}{found[0]}", text)
        for name, address in self.replaced.items():
            text = text.replace(name, address)
        return text

    @property
    def data(self) -> Path:
        """The volume that outlives it."""
        return self.folder / "var/lib/tlru"

    @property
    def says(self) -> str:
        """Its log."""
        return (self.folder / "log").read_text()

    async def start(self) -> None:
        """Run it, as the image would."""
        self.put_files()
        env = {name: self._here(value) for name, value in self.facts.env.items()}
        mounted = {"TMPDIR": f"{self.folder}/tmp", "PYTHONPATH": str(ROOT), "PATH": os.defpath}
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tlru", *self.facts.args),
                env={**env, **mounted},
                cwd=self.data,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )

    async def stop(self) -> int:
        """End it as the kubelet does after preStop; its exit status."""
        assert self.process is not None
        spec = self.manifest["spec"]["template"]["spec"]
        first = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(spec["terminationGracePeriodSeconds"] - first):
            return await self.process.wait()

    async def kill(self) -> None:
        """Whatever happened, it is gone."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    async def until(self, probe: str) -> None:
        """Wait until one of its probes passes."""
        (container,) = self.manifest["spec"]["template"]["spec"]["containers"]
        get = container[probe]["httpGet"]
        url = f"{get.get('scheme', 'HTTP').lower()}://127.0.0.1:{self.port}{get['path']}"
        last: Any = None
        async with aiohttp.ClientSession() as session:
            for _ in range(round(PATIENCE_S / LOOK_S)):
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url, ssl=False) as answer:  # as the kubelet asks
                        last = await answer.text()
                        if answer.status == 200:
                            return
                assert self.process is not None
                assert self.process.returncode is None, self.says[-3000:]
                await asyncio.sleep(LOOK_S)
        raise AssertionError(f"{self.facts.name}: {probe}: {last}\n{self.says[-3000:]}")


@dataclass
class Pods:
    """A deployment that runs. `secrets` is what Kubernetes keeps."""

    pods: list[Pod]
    token: str
    ca: Path | None = None

    @property
    def urls(self) -> list[str]:
        """Where clients come, at each of them."""
        scheme = "ws" if self.ca is None else "wss"
        return [f"{scheme}://127.0.0.1:{each.port}/ws" for each in self.pods]

    def connect(self) -> Any:  # Any: the client's own face
        """A client that the deployment lets in."""
        return tlru.connect(*self.urls, token=self.token, ca=self.ca, timeout=10)

    def ask(self, *argv: str) -> Any:  # Any: what a command printed
        """Run a command against the first, with the token on stdin as docs/deploy.md says."""
        words = [*argv, "--server", self.urls[0], "--bearer-file", "/dev/stdin"]
        if self.ca is not None:
            words += ["--ca", str(self.ca)]
        ran = command(*words, stdin=self.token.encode())
        assert ran.status == Exit.OK, ran
        return ran


@asynccontextmanager
async def deployed(tmp_path: Path, folder: str = "base", more: int = 0) -> AsyncIterator[Pods]:
    """A fresh, empty deployment, ready by its own probes; `more` pods are not started yet."""
    token = static.make()
    line = f'ops = {{ hash = "{static.hashed(token)}", admin = true, read = [""], write = [""] }}\n'
    secrets = {"tlru-secrets": {"token": "a secret of the cluster " * 2, "tokens.toml": line}}
    found = documents(folder)
    manifest = one(found, "StatefulSet")
    count = manifest["spec"]["replicas"]
    ports = free_ports(2 * (count + more))
    ca: Path | None = None
    if folder == "tls":
        authority = Authority(tmp_path)
        ca = authority.ca
        files = {"ca.pem": ca.read_text()}
        for number in range(count + more):
            made = authority.node(f"tlru-{number}", LOOPBACK)
            files[f"tlru-{number}.pem"] = made.read_text()
            files[f"tlru-{number}.key"] = made.with_suffix(".key").read_text()
        secrets["tlru-certs"] = files
    names: dict[str, str] = {}
    for number, (port, mesh) in enumerate(zip(ports[::2], ports[1::2], strict=True)):
        names[f"tlru-{number}.tlru-nodes.cache.svc:8400"] = f"127.0.0.1:{port}"
        names[f"tlru-{number}.tlru-nodes:8401"] = f"127.0.0.1:{mesh}"
    pods = []
    for number in range(count + more):
        port, mesh = ports[2 * number], ports[2 * number + 1]
        own = {'":8400"': f'"127.0.0.1:{port}"', '":8401"': f'"127.0.0.1:{mesh}"'}
        facts = pod(found, number, secrets, dict.fromkeys(LABELS, f"zone-{number}"))
        root = tmp_path / facts.name
        root.mkdir()
        pods.append(Pod(facts, root, port, names | own, manifest))
    try:
        await asyncio.gather(*(each.start() for each in pods[:count]))
        await asyncio.gather(*(each.until("startupProbe") for each in pods[:count]))
        await asyncio.gather(*(each.until("readinessProbe") for each in pods[:count]))
        yield Pods(pods, token, ca)
    finally:
        await asyncio.gather(*(each.kill() for each in pods))


async def _write(cache: Any, written: list[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        key = f"k{len(written)}"
        await cache.set(key, len(written))  # a write that fails ends the test
        written.append(key)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("folder", ["base", pytest.param("tls", marks=pytest.mark.long)])
def test_pods_found_a_cluster_and_are_rolled_while_a_client_writes(
    tmp_path: Path, folder: str
) -> None:
    """One after another, the last first, and each only when the one before is ready. No write fails
    and none is lost."""

    async def test() -> None:
        async with deployed(tmp_path, folder) as made, made.connect() as cache:
            written: list[str] = []
            stop = asyncio.Event()
            writing = asyncio.ensure_future(_write(cache, written, stop))
            try:
                rolled = made.pods[::-1] if folder == "base" else made.pods[:1]
                for each in rolled:
                    before = len(written)
                    assert await each.stop() == Exit.OK, each.says[-3000:]
                    await each.start()
                    await each.until("startupProbe")
                    await each.until("readinessProbe")
                    assert len(written) > before, "it wrote meanwhile"
                    assert not writing.done(), writing
            finally:
                stop.set()
                await asyncio.wait([writing])
            writing.result()
            kept = await cache.get_many(written)
            assert kept == {key: number for number, key in enumerate(written)}
            rows = made.ask("node", "list", "--json").json["nodes"]
            assert {row["id"]: row["zone"] for row in rows} == {
                f"tlru-{n}": f"zone-{n}" for n in range(3)
            }
            assert {row["status"] for row in rows} == {"active"}

    run(test())


@pytest.mark.long
def test_a_pod_more_a_pod_less_and_a_volume_that_is_lost(tmp_path: Path) -> None:
    """As docs/deploy.md tells it."""

    async def test() -> None:
        async with deployed(tmp_path, more=1) as made, made.connect() as cache:
            await cache.set("a", 1)
            one_more = made.pods[3]
            await one_more.start()
            await one_more.until("readinessProbe")

            lost = made.pods[1]
            await lost.stop()
            shutil.rmtree(lost.data)
            await lost.start()
            await lost.until("readinessProbe")

            assert await one_more.stop() == Exit.OK
            await asyncio.to_thread(made.ask, "node", "remove", "tlru-3")
            rows = (await asyncio.to_thread(made.ask, "node", "list", "--json")).json["nodes"]
            assert {row["id"] for row in rows} == {"tlru-0", "tlru-1", "tlru-2"}

            shutil.rmtree(one_more.data)  # its claim is deleted; later it is scaled up again
            await one_more.start()
            await one_more.until("readinessProbe")
            assert await cache.get("a") == 1

    run(test())


_UNSHARE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def _cannot_be_process_1() -> bool:
    try:
        tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, timeout=20, check=False)
    except FileNotFoundError:
        return True
    return tried.returncode != 0


def _only_child(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@pytest.mark.skipif(_cannot_be_process_1(), reason="unshare may make no process 1 here")
def test_as_process_1_a_node_hears_that_it_is_to_stop(tmp_path: Path) -> None:
    """The system lets no signal end process 1 that it does not hear itself, so it must hear it."""

    async def test() -> None:
        started = "import os, runpy, sys; assert os.getpid() == 1; sys.argv[0] = 'tlru'; "
        started += "runpy.run_module('tlru', run_name='__main__')"
        outer = await asyncio.create_subprocess_exec(
            *(*_UNSHARE, sys.executable, "-c", started, "serve", "--listen", "127.0.0.1:0"),
            env={"PYTHONPATH": str(ROOT), "PATH": os.defpath, "TMPDIR": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert outer.stdout is not None
            async with asyncio.timeout(PATIENCE_S):
                assert b"is ready" in await outer.stdout.readline()
            os.kill(_only_child(outer.pid), signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                _, err = await outer.communicate()
            assert outer.returncode == Exit.OK, err
            assert b"stopping  signal=SIGTERM" in err.replace(b"tlru.cli.serving: ", b""), err
        finally:
            if outer.returncode is None:
                outer.kill()  # and its child with it
                await outer.wait()

    run(test())
