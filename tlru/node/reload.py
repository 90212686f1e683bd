"""Taking up a changed configuration while the node runs, and beginning anew in its place.

Decides what a reload changes and in which order: first whatever can fail (to read the sources, to
open a port, to use a certificate), then the rest, which cannot. So a reload changes everything that
it can, or nothing. Which options can change at all, the table of options says (`Option.live`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from peers.cluster.cluster import ClusterLog
from peers.cluster.reload import go_by
from peers.ordered_log import NodeStatus
from peers.single import SingleLog
from tlru.config import OPTIONS, Config, ConfigError
from tlru.errors import TlruError
from tlru.node.access.access import read
from tlru.node.certificates import Certificates, Watch
from tlru.node.seats import plan_of
from tlru.node.tls import MESH_FILES, PORT_FILES

if TYPE_CHECKING:
    from tlru.node.server import Node

logger = logging.getLogger(__name__)

# What the caches of all nodes agree on, so that it is changed by an entry of the log: its option,
# its name there, and for a time what its seconds are multiplied by.
SETTINGS: Final[Mapping[str, tuple[str, int | None]]] = {
    "max_bytes": ("max_bytes", None),
    "max_entries": ("max_entries", None),
    "once_s": ("once_ms", 1_000),
    "tombstone_s": ("tombstone_ms", 1_000),
}
AWAY: Final = "the node does not serve: it has yet to start, or is about to stop"
_FILES: Final = {"tls_cert": PORT_FILES, "mesh_cert": MESH_FILES}
_ACCESS: Final = ("tokens_file", "jwt_keys", "revoked_file", "jwt_issuer", "jwt_audience")


class Process(Protocol):
    """The process that a node has for itself."""

    def resolve(self) -> Config:
        """The configuration that its sources make up now. ConfigError where they are wrong."""

    def taken_up(self, config: Config) -> None:
        """The node goes by this one from now on: so should what is the process's own."""

    def begin_anew(self) -> None:
        """Have the node stop in order, and this process begin anew, soon."""


def settings_of(config: Config, options: Iterable[str] = SETTINGS) -> dict[str, Any]:
    """What these options set the cluster to."""
    settings = {}
    for option in options:
        name, factor = SETTINGS[option]
        value = _of(config, option)
        settings[name] = value if factor is None else round(value * factor)
    return settings


class NotNow(Exception):
    """Why a configuration cannot be taken up, in a sentence."""


@dataclass(slots=True)
class Difference:
    """What a configuration has that the running one has not."""

    config: Config  # to go by: the running one with all of the wanted that can change in place
    wanted: Config
    changed: list[str] = field(default_factory=list)
    needs_restart: list[str] = field(default_factory=list)


class Reloading:
    """The reloads of one node, one after another."""

    def __init__(self, node: Node, process: Process | None) -> None:
        self._node, self._process = node, process
        self._one_at_a_time = asyncio.Lock()
        self._restarts = False
        self._tls = Certificates.of(node.config)
        self._show()
        self.watch = Watch(lambda: node.config, self.certificates)

    async def reload(self) -> dict[str, Any]:
        """Take up what the sources say now; see `Node.reload`."""
        async with self._one_at_a_time:
            return _told(await self._reload())

    async def certificates(self) -> list[str]:
        """Take up the files of certificates as they are now, and nothing else; which have changed.
        TlruError where they are of no use; then the old ones stay."""
        async with self._one_at_a_time:
            node, tls = self._node, Certificates.of(self._node.config)
            changed = tls.changed(self._tls)
            if "mesh_cert" in changed:
                try:
                    await self._tell_logs(node.config, node.port)
                except NotNow as exc:
                    raise TlruError(str(exc)) from exc
            self._tls = tls
            self._show()
            return changed

    def _show(self) -> None:
        port = self._tls.port
        self._node.gate.context = None if port is None else port.context

    async def restart(self) -> dict[str, Any]:
        """Begin anew with what the sources say now; see `Node.restart`."""
        async with self._one_at_a_time:
            if self._restarts:
                return {"restarting": True, **_answer()}
            answer = _told(await self._reload(for_restart=True))
            self._restarts = not answer["mistakes"]
            if self._restarts and self._process is not None:
                self._process.begin_anew()
            return {"restarting": self._restarts, **answer}

    async def _reload(self, *, for_restart: bool = False) -> dict[str, Any]:
        process = self._process
        try:
            if process is None:
                raise NotNow("the program that runs this node has configured it: it has no sources")
            if not self._node.serves:
                raise NotNow(AWAY)
            found = _difference(self._node.config, process.resolve())
            if for_restart:
                _look_at_directories(found.wanted)
            await self._take_up(found, process)
        except ConfigError as exc:
            return _answer(mistakes=[str(mistake) for mistake in exc.mistakes])
        except (NotNow, TlruError) as exc:
            return _answer(mistakes=[str(exc)])
        return _answer(found.changed, found.needs_restart)

    async def _take_up(self, found: Difference, process: Process) -> None:
        node, config = self._node, found.config
        tls = Certificates.of(config)
        for option in tls.changed(self._tls):
            if not any(name in found.changed for name in _FILES[option]):
                found.changed.append(option)  # its files are other ones, under the same names
        files = read(config)
        if node.access.differs(files) and not any(name in found.changed for name in _ACCESS):
            found.changed.append("tokens_file, jwt_keys or revoked_file")  # other files, as above
        settings = settings_of(config, [name for name in found.changed if name in SETTINGS])
        if settings:
            self._look_whether_settings_can_change()
        async with contextlib.AsyncExitStack() as undo:
            # A port speaks TLS to everybody or to nobody.
            turned = (config.tls_cert is None) is not (node.config.tls_cert is None)
            moves = "listen" in found.changed or turned
            if turned and tls.port is not None:
                node.gate.context = tls.port.context  # for who comes as soon as it listens
            listener = node.listen_beside(config, undo) if moves else None
            await self._tell_logs(config, node.port if listener is None else listener.port)
            if not node.serves:
                raise NotNow(AWAY)
            undo.pop_all()
        self._tls = tls
        node.access.go_by(config, files)
        node.go_by(config, listener)
        self._show()
        for service in node.services.values():
            service.want(settings)
        process.taken_up(config)

    def _look_whether_settings_can_change(self) -> None:
        for service in self._node.services.values():
            if service.log.node_status is not NodeStatus.ACTIVE:
                raise NotNow(
                    f"{', '.join(sorted(SETTINGS))} are changed by an entry of the log, and this "
                    f"node is {service.log.node_status}; reload it once it is active"
                )

    async def _tell_logs(self, config: Config, port: int) -> None:
        """What is told of the node to the others, and where it hears them."""
        urls = config.advertise or (self._node.url_at(config, port),)
        for service in self._node.services.values():
            if isinstance(service.log, ClusterLog):
                try:
                    await go_by(service.log, plan_of(config, urls))
                except OSError as exc:
                    raise NotNow(_cannot_listen("mesh", config.mesh, exc)) from exc
            elif isinstance(service.log, SingleLog):
                service.log.keep_every(config.snapshot_interval)


def _difference(running: Config, wanted: Config) -> Difference:
    """What changes, and what cannot. ConfigError where what can does not fit what cannot."""
    differing = [one for one in OPTIONS if _of(running, one.name) != _of(wanted, one.name)]
    live = [one.name for one in differing if one.live]
    others = [one.name for one in differing if not one.live]
    if "join" in live and running.clustered is not wanted.clustered:
        live.remove("join")  # one of several, or alone: another kind of log
        others.append("join")
    config = replace(running, **{name: _of(wanted, name) for name in live})
    return Difference(config, wanted, live, others)


def _of(config: Config, name: str) -> Any:  # Any: options are of many types
    return getattr(config, name)


def cannot_listen(name: str, address: str, problem: OSError) -> NotNow:
    """Why a port cannot be had."""
    return NotNow(_cannot_listen(name, address, problem))


def _cannot_listen(name: str, address: str, problem: OSError) -> str:
    return f"{name}: cannot listen on {address}: {problem.strerror or problem}; name another"


def _look_at_directories(config: Config) -> None:
    """A node that has stopped cannot go back: look first whether the next one could start."""
    for name in ("data_dir", "state_dir"):
        directory: Path | None = _of(config, name)
        if directory is None:
            continue
        there = directory.absolute()
        while not there.exists():
            there = there.parent
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise NotNow(f"{name}: {directory} cannot be written: {there} does not let this node")


def _answer(
    changed: list[str] | None = None,
    needs_restart: list[str] | None = None,
    mistakes: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "changed": changed or [],
        "needs_restart": needs_restart or [],
        "mistakes": mistakes or [],
    }


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """The log says what became of it, whoever asked."""
    for mistake in answer["mistakes"]:
        logger.error("not reloaded, nothing has changed: %s", mistake)
    if not answer["mistakes"]:
        changed, others = (", ".join(answer[each]) for each in ("changed", "needs_restart"))
        logger.info("reloaded", extra={"changed": changed or "nothing"})
        if others:
            logger.warning("a restart is needed to change %s: `tlru node restart`", others)
    return answer
