"""`Node`: a running server, from its start to its orderly stop.

This module decides in which order things come up and go down. What a client may ask is decided in
`service.py` and below; what the process is told, in `tlru.config`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from peers.awake import Awake
from peers.clocks import next_beat
from peers.cluster.cluster import ClusterLog
from peers.errors import StorageError
from peers.single import SingleLog
from tlru import errors
from tlru.config import Config
from tlru.node import facts
from tlru.node.access.access import Access
from tlru.node.addresses import Addresses
from tlru.node.audit import Audit
from tlru.node.backups import Backups
from tlru.node.cluster.desk import Desk
from tlru.node.door import Door
from tlru.node.health import Health
from tlru.node.http import HttpSide
from tlru.node.listener import Listener
from tlru.node.origins import Origins
from tlru.node.piecemeal import Piecemeal
from tlru.node.rates import Rates
from tlru.node.reload import Process, Reloading, cannot_listen, settings_of
from tlru.node.seats import alone, plan_of
from tlru.node.service import CacheService
from tlru.node.session import NodeOp, Session
from tlru.node.strain import StrainWatch
from tlru.node.tls_gate import TlsGate
from tlru.node.tracing.tracing import Tracing
from tlru.node.wary import Wary
from tlru.node.websocket import WebSocketConnection

logger = logging.getLogger(__name__)

TICK_MS = 250
LEAVING_S = 1.0  # what is left of a stop for clients to answer our goodbye


class Node:
    """A tlru node inside this process.

    >>> async with Node(listen="127.0.0.1:0") as node:   # doctest: +SKIP
    ...     print(node.url)
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        process: Process | None = None,
        listener: socket.socket | None = None,
        **options: Any,
    ) -> None:
        """`process`: where the node is all that it runs; `listener`: to use in place of opening
        one at `listen`. TlruError where files that it was told of are of no use."""
        if config is not None and options:
            raise TypeError("give Node a Config or options, not both")
        self.config = Config(**options) if config is None else config
        self.limits = self.config.limits()
        self.started_at = time.time()
        self.rates = Rates()
        self.rates.latency.slow.go_by(self.config.slow_op)
        self.audit = Audit(self.config.id, self.config.audit_file)
        self.origins = Origins.of(self.config)
        self.access = Access(self.config)
        self.tracing = Tracing(self.config)
        self.draining = False
        self.connections: set[WebSocketConnection] = set()
        self.doors: set[Door] = set()  # connections that have not said yet what they want
        self.connections_total = 0
        self.strain = StrainWatch(self)
        self.addresses = Addresses()
        self.wary = Wary()
        self.services = {name: self._service(name) for name in self.config.caches}
        self._desks = {name: Desk(self, service) for name, service in self.services.items()}
        self.session_ops: dict[str, NodeOp] = facts.session_ops(self)
        self.health = Health(self)
        self.backups = Backups(self)
        self.http = HttpSide(self)
        self.gate = TlsGate(lambda: self.full, lambda: self.limits.hello_s)
        self.reloading = Reloading(self, process)
        # Called after a reload, which may have changed what the log should say of this member.
        self.on_seat_changed: list[Callable[[], None]] = []
        self.listener_left: socket.socket | None = None  # by a stop that a start is to follow
        self._inherited = listener
        self._listener: Listener | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._looks = Piecemeal(self._look_at_all)
        self._closed: asyncio.Event | None = None
        self._told_servers: dict[str, tuple[list[dict[str, Any]], str | None]] = {}

    def _service(self, name: str) -> CacheService:
        settings = settings_of(self.config)
        service = CacheService(
            name,
            self._log(name),
            self.limits,
            self.rates,
            settings,
            stale_reads=self.config.stale_reads,
            retained_bytes=self.config.retained_bytes,
        )
        service.guard = self.strain.guard()
        return service

    def _log(self, name: str) -> SingleLog | ClusterLog:
        config = self.config
        if config.clustered:
            return ClusterLog(plan_of(config, config.advertise))
        directory = None if config.data_dir is None else Path(config.data_dir) / name
        return SingleLog(
            config.id,
            directory,
            snapshot_interval_s=config.snapshot_interval,
            member=lambda: alone(self.config, facts.addresses(self)),
        )

    # -- coming up

    async def start(self) -> None:
        """Come up and serve. OSError where the port cannot be had; TlruError for the directory."""
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        self.awake = Awake(self._loop, self.config.stay_awake)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self.tracing.stop)
            # The port first: nothing is touched on disk by a node that cannot serve.
            listener = self._listen()
            undo.callback(listener.close)
            self.port = listener.port
            for service in self.services.values():
                if isinstance(service.log, ClusterLog):
                    service.log.plan = plan_of(self.config, tuple(facts.addresses(self)))
                service.elsewhere = lambda service=service: facts.others(self, service)  # type: ignore[misc]
                service.on_epoch(lambda name=service.name: self._leave_epoch(name))  # type: ignore[misc]
                desk = self.desk(service)
                await self._start_service(service)
                undo.push_async_callback(service.stop)
                desk.start()
                undo.push_async_callback(desk.stop)
            self.access.start()
            undo.push_async_callback(self.access.stop)
            await self.http.start()
            undo.push_async_callback(self.http.stop)
            listener.serve(self._door, self._gate_of(self.config))
            self._listener = listener
            undo.pop_all()
        self.reloading.watch.start()
        self.health.start()
        self.backups.start()
        self.strain.start()
        self._tick_due = self._loop.time()
        self._tick()

    def _listen(self) -> Listener:
        inherited, self._inherited = self._inherited, None
        return Listener.at(self.config.listen_address) if inherited is None else Listener(inherited)

    def _gate_of(self, config: Config) -> TlsGate | None:
        return None if config.tls_cert is None else self.gate

    @staticmethod
    async def _start_service(service: CacheService) -> None:
        try:
            await service.start()
        except StorageError as exc:
            raise errors.TlruError(str(exc)) from exc

    def _door(self) -> Door:
        return Door(
            lambda: WebSocketConnection(self),
            self.http.connection,
            self.limits.hello_s,
            full=lambda: self.full,
            waiting=self.doors,
            addresses=self.addresses,
            welcomes=self._welcomes,
            serves=lambda: self.serves,
        )

    def _welcomes(self, transport: asyncio.BaseTransport) -> bool:
        config = self.config
        return self.addresses.come(transport, config.connections_per_address, config.connections)

    # -- changing in place

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again, and go by it as far as that can be in place: `changed`
        names those options, `needs_restart` those that need a new process. Where `mistakes` says
        what is wrong, nothing has changed."""
        return await self.reloading.reload()

    async def restart(self) -> dict[str, Any]:
        """Reload; then, soon, stop in order and begin anew in this very process, for what else has
        changed. `restarting` says whether that will be; where not, `mistakes` says why."""
        return await self.reloading.restart()

    def listen_beside(self, config: Config, undo: contextlib.AsyncExitStack) -> Listener:
        """Let clients in where this configuration says so, too. NotNow where that cannot be."""
        try:
            listener = Listener.at(config.listen_address, self._listener)
        except OSError as exc:
            raise cannot_listen("listen", config.listen, exc) from exc
        undo.callback(listener.close)
        listener.serve(self._door, self._gate_of(config))
        return listener

    def go_by(self, config: Config, listener: Listener | None) -> None:
        """Go by another configuration, and let clients in by another listener, if there is one."""
        self.config, self.limits = config, config.limits()
        if listener is not None:
            assert self._listener is not None
            self._listener.close()
            self._listener, self.port = listener, listener.port
        self.origins = Origins.of(config)
        self.http.go_by_config()
        self.awake.stay_s = config.stay_awake
        self.rates.latency.slow.go_by(config.slow_op)
        self.audit.go_by(config.audit_file)
        for service in self.services.values():
            service.go_by(self.limits)
            service.stale_reads = config.stale_reads
        for told in self.on_seat_changed:
            told()

    # -- what it is

    def desk(self, service: CacheService) -> Desk:
        """Where those ask who run the cluster of a cache."""
        return self._desks[service.name]

    @property
    def url(self) -> str:
        """Where WebSocket clients reach it."""
        return self.url_at(self.config, self.port)

    @property
    def http_url(self) -> str:
        """Where HTTP clients reach it."""
        scheme = "http" if self.config.tls_cert is None else "https"
        return f"{scheme}://{self._host(self.config)}:{self.port}"

    def url_at(self, config: Config, port: int) -> str:
        """Where WebSocket clients would reach it."""
        scheme = "ws" if config.tls_cert is None else "wss"
        return f"{scheme}://{self._host(config)}:{port}/ws"

    @staticmethod
    def _host(config: Config) -> str:
        host = config.listen_address.host
        if host in ("", "0.0.0.0", "::"):
            host = socket.gethostname() if host else "127.0.0.1"
        return f"[{host}]" if ":" in host else host

    @property
    def serves(self) -> bool:
        """Whether clients are let in."""
        return self._listener is not None

    @property
    def status(self) -> str:
        """The status of the node: that of its caches, or draining."""
        if self.draining:
            return "draining"
        found = {str(service.log.status().status) for service in self.services.values()}
        return next((status for status in sorted(found) if status != "active"), "active")

    # -- connections

    def entered(self, connection: WebSocketConnection) -> None:
        """A WebSocket session begins."""
        self.connections.add(connection)
        self.connections_total += 1
        connection.number(self.connections_total)

    def left(self, connection: WebSocketConnection) -> None:
        """A WebSocket session is over."""
        if connection in self.connections and connection.session is not None:
            extra = {"connection": connection.session.number}
            logger.debug("connection closed", extra=extra)
        self.connections.discard(connection)

    @property
    def full(self) -> bool:
        """Whether no more connections are taken."""
        taken = len(self.connections) + self.http.connections + len(self.doors)
        return taken + self.gate.shaking > self.config.connections

    def _look_at_all(self) -> Iterator[None]:
        for connection in list(self.connections):
            if connection in self.connections:
                connection.tick(self._loop.time(), self.limits.ping_s)
            yield
        yield from self.http.look_who_watches(self._loop.time)

    def _tick(self) -> None:
        now = self._loop.time()
        self._looks.begin()
        self.rates.tick(now)
        self.rates.latency.loop.add(max(0.0, now - self._tick_due))
        self._tick_due = next_beat(now, TICK_MS)
        self._tell_of_servers()
        self._ticker = self._loop.call_at(self._tick_due, self._tick)

    # -- going down

    async def stop(self, grace: float | None = None, *, leave_open: bool = False) -> None:
        """Take no more, answer what was asked, keep what is to be kept, and go. With `leave_open`
        the listener stays, as `listener_left`: who comes meanwhile waits for the next node."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        if leave_open:
            self.listener_left = listener.leave_open()
        grace = self.config.grace if grace is None else grace
        self.draining = True
        for service in self.services.values():
            service.draining = True
            self.desk(service).weights.say_now()
        self.strain.turns.rests.end()
        listener.close()
        await self.reloading.watch.stop()
        await self.gate.stop()
        for door in list(self.doors):
            door.close()
        self._say_goodbye()
        await asyncio.gather(self._until_answered(grace), self.http.stop(grace))
        await self.health.stop()
        self.strain.stop()
        await self.access.stop()
        await self.backups.stop()
        for service in self.services.values():
            service.send_away()
        await self._until_left(grace)
        await self._until_alone()
        if self._ticker is not None:
            self._ticker.cancel()
        self._looks.stop()
        for service in self.services.values():
            await self.desk(service).stop()
            await service.stop()
        await self.tracing.stop()
        self.audit.close()
        assert self._closed is not None
        self._closed.set()

    def _say_goodbye(self) -> None:
        """Let clients go elsewhere. Where nobody else serves this cache there is nothing to be
        gained by leaving slowly."""
        for service in self.services.values():
            others = facts.others(self, service)
            goaway = {"push": "goaway", "reason": "stopping", "within": 0, "servers": others}
            for session in self.sessions_of(service):
                session.push(goaway)
            for stream in self.http.streams_of(service):
                stream.leave(goaway)

    def _leave_epoch(self, cache: str) -> None:
        """What clients of this cache know of positions is of another epoch."""
        for connection in list(self.connections):
            if connection.session is not None and connection.session.service.name == cache:
                connection.close(4410, "the cache has begun another life; forget positions")
        for stream in self.http.streams_of(self.services[cache]):
            stream.leave()

    def server_urls(self) -> Iterator[str]:
        """Where clients reach this node and the others of its caches; gathered as they are asked
        for, which for most connections is never."""
        for service in self.services.values():
            yield from (server["url"] for server in facts.servers(self, service))

    def _tell_of_servers(self) -> None:
        """Clients are told when the list has changed."""
        for service in self.services.values():
            told, leader = facts.servers(self, service), service.log.status().leader
            service.nodes = max(1, sum(each.get("status") == "active" for each in told))
            if (told, leader) != self._told_servers.setdefault(service.name, (told, leader)):
                self._told_servers[service.name] = told, leader
                for session in self.sessions_of(service):
                    session.push({"push": "servers", "servers": told, "leader": leader})

    async def _until_answered(self, grace: float) -> None:
        """Let what was asked before be answered."""
        waits = [session.until_idle() for session in self._sessions()]
        if waits:
            await asyncio.wait(waits, timeout=grace)

    def sessions_of(self, service: CacheService) -> list[Session]:
        """The conversations about one cache."""
        return [session for session in self._sessions() if session.service is service]

    def _sessions(self) -> list[Session]:
        return [each.session for each in self.connections if each.session is not None]

    async def _until_left(self, grace: float) -> None:
        """Let clients leave by themselves, where they have somewhere to go: they hear no from us
        until they do. What one of them had sent while our close was on its way would be in doubt.
        """
        leaving = [
            each.gone
            for each in self.connections
            if each.session is not None and facts.others(self, each.session.service)
        ]
        if leaving:
            await asyncio.wait(leaving, timeout=min(grace, LEAVING_S))

    async def _until_alone(self) -> None:
        """Let clients answer the goodbye; cut whoever does not."""
        for connection in self.connections:
            connection.close(1012, "the node stops")
        gone = [connection.gone for connection in self.connections]
        if gone:
            await asyncio.wait(gone, timeout=LEAVING_S)
        for connection in list(self.connections):
            connection.abort()

    async def wait_closed(self) -> None:
        """Wait until somebody has stopped the node."""
        assert self._closed is not None, "the node was never started"
        await self._closed.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
