"""Ports for what tests and benchmarks start in processes of their own."""

from __future__ import annotations

import random
import socket
from pathlib import Path

PORT_MIN = 10_000


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment. They lie below those that the kernel gives to
    whoever dials out, since one of these may be gone before it is used."""
    dialled_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in random.sample(range(PORT_MIN, dialled_from), dialled_from - PORT_MIN):
        if len(found) == count:
            return found
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    raise OSError(f"{count} ports below {dialled_from} are not free")
