"""The figures of `/metrics` about a cluster as this node sees it: members, the log, links.

This module decides their names. The label `peer` is the id of a node that has shown the cluster's
secret, so it is no stranger's text, and there are as many as there are members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from peers.cluster.cluster import ClusterLog
from peers.mesh.status import PeerState, PeerStatus
from tlru.node import facts
from tlru.node.http.figure import CACHE, Figure, Read, Sample, of_cache

if TYPE_CHECKING:
    from tlru.node.server import Node

_LINK = ("cache", "peer")


def _of_link(read: Callable[[PeerStatus], float | None]) -> Read:
    def samples(node: Node) -> Iterator[Sample]:
        for cache, service in node.services.items():
            log = service.log
            for peer in log.mesh.status() if isinstance(log, ClusterLog) else ():
                if peer.listed and (value := read(peer)) is not None:
                    yield (cache, peer.node), value

    return samples


def _bytes(node: Node) -> Iterator[Sample]:
    for way, read in (
        ("in", _of_link(lambda peer: peer.bytes_in)),
        ("out", _of_link(lambda peer: peer.bytes_out)),
    ):
        for labels, value in read(node):
            yield (*labels, way), value


def _members(node: Node) -> Iterator[Sample]:
    for cache, service in node.services.items():
        roles = Counter(str(member["role"]) for member in service.log.status().members)
        for role, count in sorted(roles.items()):
            yield (cache, role), count


def _silence(node: Node) -> Iterator[Sample]:
    for cache, service in node.services.items():
        for member in service.log.status().members:
            silent_ms = member.get("silent_ms")
            if silent_ms is not None and member["id"] != node.config.id:
                yield (cache, str(member["id"])), silent_ms / 1000


CLUSTER_FIGURES = (
    Figure(
        "tlru_has_leader",
        "1 where the node knows who leads, else 0.",
        CACHE,
        of_cache(lambda service: service.log.status().leader is not None),
    ),
    Figure("tlru_members", "Members of the cluster, by role.", ("cache", "role"), _members),
    Figure(
        "tlru_member_silent_seconds",
        "For how long nothing was heard of another member.",
        _LINK,
        _silence,
    ),
    Figure(
        "tlru_alarms",
        "Things that a person has to look at; `tlru status` says what they are.",
        CACHE,
        of_cache(lambda service: len(facts.alarms(service))),
    ),
    Figure(
        "tlru_writes_waiting",
        "Entries that somebody waits for; sets that came together are one.",
        CACHE,
        of_cache(lambda service: service.writes_waiting),
    ),
    Figure(
        "tlru_link_connected",
        "1 where there is a link with the other node, else 0.",
        _LINK,
        _of_link(lambda peer: peer.state is PeerState.CONNECTED),
    ),
    Figure(
        "tlru_link_breaker_open",
        "1 where the other node is dialled seldom, after many failures in a row, else 0.",
        _LINK,
        _of_link(lambda peer: peer.circuit != "closed"),
    ),
    Figure(
        "tlru_link_round_trip_seconds",
        "There and back over a link, smoothed.",
        _LINK,
        _of_link(lambda peer: peer.round_trip_s),
    ),
    Figure(
        "tlru_link_clock_offset_seconds",
        "How far the other node's clock is ahead of this one's.",
        _LINK,
        _of_link(lambda peer: peer.offset_s),
    ),
    Figure(
        "tlru_link_queued_bytes",
        "Bytes that wait to leave over a link.",
        _LINK,
        _of_link(lambda peer: peer.queued_bytes),
    ),
    Figure(
        "tlru_link_bytes_total",
        "Bytes that went over a link, by way: in and out.",
        (*_LINK, "way"),
        _bytes,
        counter=True,
    ),
    Figure(
        "tlru_link_dropped_total",
        "Messages that were dropped, since the other node did not take them in time.",
        _LINK,
        _of_link(lambda peer: peer.dropped),
        counter=True,
    ),
    Figure(
        "tlru_link_reconnects_total",
        "Times that a link was made anew.",
        _LINK,
        _of_link(lambda peer: peer.reconnects),
        counter=True,
    ),
)
