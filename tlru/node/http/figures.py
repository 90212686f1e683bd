"""The figures of `/metrics`: the name of each, what it says, and where it is read.

This module decides the names; docs/metrics.md lists them, and a test compares the two. Labels come
from tables of ours (operations, error codes, routes, caches), never from a stranger's text, so the
number of series is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tlru._version import __version__
from tlru.node.http.figure import CACHE, Figure, Read, Sample, of_cache, of_node
from tlru.node.http.figures_backup import BACKUP_FIGURES
from tlru.node.http.figures_cluster import CLUSTER_FIGURES
from tlru.node.http.figures_health import HEALTH_FIGURES
from tlru.node.http.figures_limits import LIMIT_FIGURES
from tlru.node.http.figures_time import HISTOGRAMS, Histogram

if TYPE_CHECKING:
    from tlru.node.server import Node


def _counted(read: Callable[[Node], Counter[str]]) -> Read:
    return lambda node: [((name,), count) for name, count in sorted(read(node).items())]


def _http(node: Node) -> Iterator[Sample]:
    yield from sorted(node.rates.http.items())


def _events(node: Node) -> Iterator[Sample]:
    for cache, counts in node.http.metrics.events.items():
        for kind, count in sorted(counts.items()):
            yield (cache, kind), count


def _ready(node: Node) -> Iterator[Sample]:
    for purpose in ("read", "write"):
        yield (purpose,), node.health.ready(purpose)[0]


def _checked(name: str) -> Callable[[Node], float | None]:
    def seconds(node: Node) -> float | None:
        found = node.health.ready()[1]["checks"].get(name)
        return None if found is None else float(found["ms"]) / 1000

    return seconds


def _probes(node: Node) -> Iterator[Sample]:
    for cache in node.services:
        seconds = _checked(f"probe_{cache}")(node)
        if seconds is not None:
            yield (cache,), seconds


def _loop_lag(node: Node) -> Iterator[Sample]:
    seconds = _checked("loop_lag")(node)
    if seconds is not None:
        yield (), seconds


def _of_the_node() -> tuple[Figure, ...]:
    """What the node is and how it is."""
    return (
        Figure(
            "tlru_info",
            "Always 1; the labels say which node and release this is.",
            ("node", "release"),
            lambda node: [((node.config.id, __version__), 1)],
        ),
        Figure(
            "tlru_status",
            "Always 1; the label says which status the node has.",
            ("status",),
            lambda node: [((node.status,), 1)],
        ),
        Figure("tlru_ready", "1 where the node serves reads or writes, else 0.", ("for",), _ready),
        Figure(
            "tlru_start_time_seconds",
            "When the node started, in seconds since 1970.",
            (),
            of_node(lambda node: node.started_at),
        ),
        Figure(
            "tlru_connections",
            "Connections that are open, by protocol.",
            ("protocol",),
            lambda node: [
                (("http",), node.http.connections),
                (("websocket",), len(node.connections)),
            ],
        ),
        Figure(
            "tlru_connections_max",
            "Connections that may be open at once.",
            (),
            of_node(lambda node: node.config.connections),
        ),
        Figure(
            "tlru_loop_lag_seconds",
            "By how much the event loop was late when it was last measured.",
            (),
            _loop_lag,
        ),
    )


def _of_the_traffic() -> tuple[Figure, ...]:
    """What has been asked and done since the start."""
    return (
        Figure(
            "tlru_connections_opened_total",
            "Connections that were opened, by protocol.",
            ("protocol",),
            lambda node: [
                (("http",), node.http.connections_total),
                (("websocket",), node.connections_total),
            ],
            counter=True,
        ),
        Figure(
            "tlru_operations_total",
            "Operations that were asked for, by name, over both protocols.",
            ("op",),
            _counted(lambda node: node.rates.ops),
            counter=True,
        ),
        Figure(
            "tlru_errors_total",
            "Errors that were answered, by code, over both protocols.",
            ("code",),
            _counted(lambda node: node.rates.errors),
            counter=True,
        ),
        Figure(
            "tlru_hits_total",
            "Keys that were asked for and found.",
            (),
            of_node(lambda node: node.rates.hits),
            counter=True,
        ),
        Figure(
            "tlru_misses_total",
            "Keys that were asked for and not found.",
            (),
            of_node(lambda node: node.rates.misses),
            counter=True,
        ),
        Figure(
            "tlru_http_requests_total",
            "HTTP requests that were answered, by route and class of status.",
            ("route", "status"),
            _http,
            counter=True,
        ),
        Figure(
            "tlru_events_total",
            "Changes that were applied, by type: set, delete, expire, evict, ...",
            ("cache", "type"),
            _events,
            counter=True,
        ),
    )


def _of_the_caches() -> tuple[Figure, ...]:
    """How each cache stands."""
    return (
        Figure(
            "tlru_items",
            "Items that are kept.",
            CACHE,
            of_cache(lambda service: service.machine.items.count),
        ),
        Figure(
            "tlru_items_max",
            "Items that may be kept, where their number is bounded.",
            CACHE,
            of_cache(lambda service: service.machine.settings["max_entries"]),
        ),
        Figure(
            "tlru_bytes",
            "How much of the budget is taken.",
            CACHE,
            of_cache(lambda service: service.machine.items.bytes),
        ),
        Figure(
            "tlru_bytes_max",
            "The budget.",
            CACHE,
            of_cache(lambda service: service.machine.settings["max_bytes"]),
        ),
        Figure(
            "tlru_locks",
            "Locks that are held.",
            CACHE,
            of_cache(lambda service: len(service.machine.locks)),
        ),
        Figure(
            "tlru_reads_waiting",
            "Reads that wait for a position or for the leader's word.",
            CACHE,
            of_cache(lambda service: service.reads.waiting),
        ),
        Figure(
            "tlru_position",
            "How far the node has applied the log.",
            CACHE,
            of_cache(lambda service: service.machine.index),
        ),
        Figure(
            "tlru_lag",
            "Entries that are committed and not yet applied here.",
            CACHE,
            of_cache(lambda service: service.log.status().lag),
        ),
        Figure(
            "tlru_term",
            "The term of the log.",
            CACHE,
            of_cache(lambda service: service.log.status().term),
        ),
        Figure(
            "tlru_leads",
            "1 where this node leads, else 0.",
            CACHE,
            of_cache(lambda service: service.log.leads),
        ),
        Figure(
            "tlru_clock_error_seconds",
            "How far the node's clock may be from the cluster's.",
            CACHE,
            of_cache(lambda service: service.log.status().clock_error_ms / 1000),
        ),
        Figure(
            "tlru_probe_seconds",
            "How long the last probe took through the log and back.",
            CACHE,
            _probes,
        ),
    )


def _of_the_feeds() -> tuple[Figure, ...]:
    """Who watches each cache, and what he is sent."""
    return (
        Figure(
            "tlru_feeds",
            "Feeds: patterns that are watched, each once for all who watch it in one encoding.",
            CACHE,
            of_cache(lambda service: len(service.feeds.feeds.feeds)),
        ),
        Figure(
            "tlru_subscriptions",
            "Subscriptions, over both protocols.",
            CACHE,
            of_cache(lambda service: service.feeds.feeds.readers),
        ),
        Figure(
            "tlru_subscriptions_behind",
            "Subscriptions whose readers are behind, and served from what is retained.",
            CACHE,
            of_cache(lambda service: service.feeds.feeds.behind),
        ),
        Figure(
            "tlru_event_streams",
            "Streams of Server-Sent Events that are open.",
            CACHE,
            lambda node: [((name,), count) for name, count in _streams(node).items()],
        ),
        Figure(
            "tlru_subscription_resets_total",
            "Subscriptions that had to begin anew, since what followed was not retained.",
            CACHE,
            of_cache(lambda service: service.feeds.feeds.resets),
            counter=True,
        ),
        Figure(
            "tlru_events_pushed_total",
            "Events that were sent to subscribers, once for each of them.",
            CACHE,
            of_cache(lambda service: service.feeds.events_pushed),
            counter=True,
        ),
        Figure(
            "tlru_bytes_pushed_total",
            "Bytes that were sent to subscribers, before compression.",
            CACHE,
            of_cache(lambda service: service.feeds.bytes_pushed),
            counter=True,
        ),
    )


def _streams(node: Node) -> dict[str, int]:
    counts = dict.fromkeys(node.services, 0)
    for stream in node.http.streams:
        counts[stream.service.name] += 1
    return counts


FIGURES: tuple[Figure | Histogram, ...] = (
    *_of_the_node(),
    *_of_the_traffic(),
    *HISTOGRAMS,
    *_of_the_caches(),
    *HEALTH_FIGURES,
    *CLUSTER_FIGURES,
    *_of_the_feeds(),
    *BACKUP_FIGURES,
    *LIMIT_FIGURES,
)
