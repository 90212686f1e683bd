"""What a client tells of the trace that a write belongs to, and what it does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

import tlru
from tests.client.scripted import Link, Scripted, run, scripted, until
from tlru.client.cache import Cache
from tlru.wire.traceparent import Parent

FEATURES = ["trace"]


@contextmanager
def a_span(*, recorded: bool = True) -> Iterator[str]:
    """A span of the program's own is current; what names it on a wire."""
    provider = TracerProvider(sampler=ALWAYS_ON if recorded else ALWAYS_OFF, shutdown_on_exit=False)
    with provider.get_tracer("test").start_as_current_span("work") as span:
        context = span.get_span_context()
        yield str(Parent(context.trace_id, context.span_id, recorded))


async def answers(link: Link, number: int) -> None:
    """A node that knows traces."""
    await link.greet(features=FEATURES)
    await answer_all(link)


async def answer_all(link: Link) -> None:
    async for request in link.requests():
        facts = {"version": 2, "value": b"\x01", "held": True, "released": True, "fence": 7}
        link.reply(request, found=False, **facts)


def of(server: Scripted, op: str) -> list[dict[str, Any]]:
    """All requests of an operation that came."""
    every = (one for link in server.links for frame in link.frames for one in frame)
    return [one for one in every if one["op"] == op]


def test_a_write_tells_the_span_in_which_it_was_asked_for() -> None:
    """Not the one that is current when it leaves: what is asked in one turn leaves together."""

    async def main() -> None:
        async with scripted(answers) as server, tlru.connect(server.url, tracing=True) as cache:
            with a_span() as first:
                waiting = [cache.set("a", 1), cache.incr("n"), cache.get("a")]
                one = asyncio.gather(*waiting)
                await asyncio.sleep(0)
            with a_span() as second:
                other = asyncio.ensure_future(cache.delete("b"))
                await asyncio.gather(one, other)
            await cache.set("plain", 1)
            with a_span(recorded=False):
                await cache.set("unseen", 1)
            sets = {one["key"]: one.get("trace") for one in of(server, "set")}
            assert sets == {"a": first, "plain": None, "unseen": None}
            assert [one["trace"] for one in of(server, "incr")] == [first]
            assert [one["trace"] for one in of(server, "delete")] == [second]
            assert "trace" not in of(server, "get")[0]

    run(main)


def test_without_the_option_nothing_is_told() -> None:
    async def main() -> None:
        async with scripted(answers) as server, tlru.connect(server.url) as cache:
            with a_span():
                await cache.set("a", 1)
            assert "trace" not in of(server, "set")[0]

    run(main)


def test_a_node_that_does_not_know_the_field_is_not_told_and_the_next_one_is() -> None:
    """An earlier release would refuse the write for it."""

    async def script(link: Link, number: int) -> None:
        if number == 0:
            await link.greet()
            await link.next_of("incr")
            return  # cut: the write goes to the next connection under its name
        await answers(link, number)

    async def main() -> None:
        async with scripted(script) as server, tlru.connect(server.url, tracing=True) as cache:
            with a_span() as told:
                await cache.incr("n")
            first, second = of(server, "incr")
            assert first["once"]["n"] == second["once"]["n"]
            assert (first.get("trace"), second.get("trace")) == (None, told)

    run(main)


def test_a_lock_is_kept_outside_of_the_trace_in_which_it_was_taken() -> None:
    async def main() -> None:
        async with scripted(answers) as server, tlru.connect(server.url, tracing=True) as cache:
            with a_span() as told:
                async with cache.lock("job", ttl=0.03):
                    await until(lambda: of(server, "renew"))
            assert [of(server, op)[0].get("trace") for op in ("lock", "renew", "unlock")] == [
                told,
                None,
                told,
            ]

    run(main)


def test_the_blocking_client_tells_the_span_of_the_calling_thread() -> None:
    async def main() -> None:
        async with scripted(answers) as server:

            def work() -> str:
                with tlru.sync.connect(server.url, tracing=True) as cache:
                    cache.set("before", 1)
                    with a_span() as told:
                        cache.set("a", 1)
                        with cache.lock("job"):
                            pass
                return told

            told = await asyncio.to_thread(work)
            assert [one.get("trace") for one in of(server, "set")] == [None, told]
            assert [of(server, op)[0].get("trace") for op in ("lock", "unlock")] == [told, told]

    run(main)


def test_without_opentelemetry_the_option_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(tlru.TlruError, match="pip install opentelemetry-api"):
        tlru.connect("ws://127.0.0.1:1", tracing=True)
    assert isinstance(tlru.connect("ws://127.0.0.1:1"), Cache)


def test_a_client_that_traces_nothing_loads_nothing_of_opentelemetry() -> None:
    program = (
        "import sys, tlru; tlru.connect('ws://127.0.0.1:1'); "
        "print(any('opentelemetry' in name for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "False"
