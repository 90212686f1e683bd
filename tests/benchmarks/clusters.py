"""Clusters of three on this machine, each with its Python client: tlru, NATS JetStream KV, etcd.

All keep everything in memory: JetStream by its own setting, etcd on a file system in memory. Each
client talks to the node that leads, which is the best case of all three.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import tlru
from tests.benchmarks import bare_cluster as bare
from tests.benchmarks.processes import installed, running, until_reachable
from tests.ports import free_ports

NODES = 3
KEYS = 1_000
VALUE = b"x" * 100
PATIENCE_S = 120
LOOK_S = 0.05
IN_MEMORY = "/dev/shm"

Put = Callable[[int], Awaitable[Any]]


@dataclass
class Cluster:
    """One that runs."""

    name: str
    put: Put  # a write of one of the keys, answered once a majority holds it
    pids: dict[str, int]  # the one that leads is called "leader"


def tlru_commands(folder: str, *more: str) -> tuple[list[list[str]], list[int]]:
    """The command lines of three nodes, and where their clients come."""
    ports = free_ports(2 * NODES)
    clients, meshes = ports[:NODES], [f"127.0.0.1:{port}" for port in ports[NODES:]]
    commands = [
        [
            *(sys.executable, "-m", "tlru", "serve", "--id", f"n{n}", "--log-level", "error"),
            *("--listen", f"127.0.0.1:{clients[n]}", "--mesh", meshes[n]),
            *("--join", ",".join(meshes), "--expect", str(NODES), "--priority", str(100 - n)),
            *("--state-dir", f"{folder}/n{n}", *more),
        ]
        for n in range(NODES)
    ]
    return commands, clients


@contextlib.asynccontextmanager
async def tlru_cluster() -> AsyncIterator[list[Cluster]]:
    """Three nodes, with one client that talks to the one that leads, and one that does not."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        commands, ports = tlru_commands(folder)
        running_now = [stack.enter_context(running(command)) for command in commands]
        for port in ports:
            await until_active(port)
        pids = {"leader": running_now[0].pid}
        pids |= {f"follower {n}": running_now[n].pid for n in range(1, NODES)}
        async with (
            tlru.connect(f"ws://127.0.0.1:{ports[0]}", timeout=PATIENCE_S) as near,
            tlru.connect(f"ws://127.0.0.1:{ports[1]}", timeout=PATIENCE_S) as away,
        ):
            yield [
                Cluster("tlru", lambda n: near.set(f"k{n % KEYS}", VALUE), pids),
                Cluster(
                    "tlru, through a follower", lambda n: away.set(f"k{n % KEYS}", VALUE), pids
                ),
            ]


BARE = "bare, in Python"


@contextlib.asynccontextmanager
async def bare_cluster() -> AsyncIterator[Cluster]:
    """The least that a cluster in Python can do."""
    leads, *follow = free_ports(NODES)
    module = [sys.executable, "-m", "tests.benchmarks.bare_cluster"]
    with contextlib.ExitStack() as stack:
        pids = {}
        for n, port in enumerate(follow, 1):
            process = stack.enter_context(running([*module, "follower", str(port)]))
            pids[f"follower {n}"] = process.pid
            await until_reachable(port)
        process = stack.enter_context(running([*module, "leader", *map(str, (leads, *follow))]))
        await until_reachable(leads)
        client = await bare.Client().connect(leads)
        try:
            yield Cluster(
                BARE, lambda n: client.put(f"k{n % KEYS}", VALUE), {"leader": process.pid, **pids}
            )
        finally:
            client.close()


async def until_active(port: int, leads: bool | None = None) -> None:
    """Wait until a node serves, and leads or not if that is said."""
    await until_reachable(port)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            said = await asyncio.to_thread(_status, port)
            if said["status"] == "active" and leads in (None, said["leads"]):
                return
            await asyncio.sleep(LOOK_S)


def _status(port: int) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{port}/v1/status", timeout=PATIENCE_S) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


@contextlib.asynccontextmanager
async def nats_cluster() -> AsyncIterator[Cluster]:
    """Three NATS servers, and a bucket in memory on all of them."""
    import nats
    from nats.js.api import KeyValueConfig, StorageType

    program = installed("nats-server", "nats-server")
    ports = free_ports(2 * NODES)
    clients, meshes = ports[:NODES], ports[NODES:]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in meshes)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        processes = {}
        for n in range(NODES):
            command = [
                *(program, "-a", "127.0.0.1", "-p", str(clients[n]), "-n", f"s{n}"),
                *("-js", "-sd", f"{folder}/s{n}", "--cluster_name", "bench"),
                *("--cluster", f"nats://127.0.0.1:{meshes[n]}", "--routes", routes),
            ]
            processes[f"s{n}"] = stack.enter_context(running(command))
        for port in clients:
            await until_reachable(port)
        first = await nats.connect(f"nats://127.0.0.1:{clients[0]}")
        config = KeyValueConfig(bucket="bench", replicas=NODES, storage=StorageType.MEMORY)
        leader = await _nats_leader(first.jetstream(), config)
        await first.close()
        client = await nats.connect(f"nats://127.0.0.1:{clients[int(leader[1:])]}")
        try:
            bucket = await client.jetstream().key_value("bench")
            others = [processes[name].pid for name in processes if name != leader]
            pids = {"leader": processes[leader].pid}
            pids |= {f"follower {n}": pid for n, pid in enumerate(others, 1)}
            yield Cluster("NATS JetStream KV", lambda n: bucket.put(f"k{n % KEYS}", VALUE), pids)
        finally:
            await client.close()


async def _nats_leader(stream: Any, config: Any) -> str:
    """Make the bucket, once the servers have found each other; who leads it."""
    import nats.errors

    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await stream.create_key_value(config=config)
                found = await stream.stream_info("KV_bench")
                if found.cluster.leader and len(found.cluster.replicas) == NODES - 1:
                    return str(found.cluster.leader)
            except nats.errors.Error:
                pass
            await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def etcd_cluster() -> AsyncIterator[Cluster]:
    """Three etcd servers, on a file system in memory."""
    import aetcd

    program = installed("etcd", "etcd-server")
    ports = free_ports(2 * NODES)
    clients, meshes = ports[:NODES], ports[NODES:]
    members = ",".join(f"e{n}=http://127.0.0.1:{meshes[n]}" for n in range(NODES))
    memory = IN_MEMORY if os.path.isdir(IN_MEMORY) else None  # noqa: ASYNC240  before anything runs
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        processes = []
        for n in range(NODES):
            client, mesh = f"http://127.0.0.1:{clients[n]}", f"http://127.0.0.1:{meshes[n]}"
            command = [
                *(program, "--name", f"e{n}", "--data-dir", f"{folder}/e{n}"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", mesh, "--initial-advertise-peer-urls", mesh),
                *("--initial-cluster", members, "--log-level", "error"),
            ]
            processes.append(stack.enter_context(running(command)))
        leader = await _etcd_leader(clients)
        others = [process.pid for n, process in enumerate(processes) if n != leader]
        pids = {"leader": processes[leader].pid}
        pids |= {f"follower {n}": pid for n, pid in enumerate(others, 1)}
        async with aetcd.Client(host="127.0.0.1", port=clients[leader]) as client:
            yield Cluster("etcd", lambda n: client.put(b"k%d" % (n % KEYS), VALUE), pids)


async def _etcd_leader(ports: list[int]) -> int:
    """Which of them leads, once somebody does."""
    import aetcd

    async with asyncio.timeout(PATIENCE_S):
        while True:
            for n, port in enumerate(ports):
                with contextlib.suppress(aetcd.exceptions.ClientError):
                    await until_reachable(port)
                    async with aetcd.Client(host="127.0.0.1", port=port) as client:
                        said = await client.status()
                        if said.leader is not None and said.leader.name == f"e{n}":
                            return n
            await asyncio.sleep(LOOK_S)
