"""The client on the other event loop in use: its clock and its transports are not asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
import uvloop

from tests.client import test_lost_connections as lost
from tests.client import test_refusals as refusals
from tests.client import test_time_and_load as load

T = TypeVar("T")


@pytest.mark.parametrize(
    "test",
    [
        lost.test_reads_are_asked_again_on_the_next_connection,
        lost.test_a_named_write_is_asked_again_under_the_same_name,
        refusals.test_goaway_costs_no_request,
        load.test_a_late_write_may_have_been_done,
        load.test_a_silent_server_is_asked_and_then_left,
        load.test_a_quiet_server_that_answers_is_kept,
        load.test_a_long_outage_is_told_at_once,
        load.test_a_server_that_does_not_read_is_not_written_to_without_end,
        load.test_a_storm_of_cancellations_harms_nobody_else,
        load.test_closing_tells_everybody_who_waits,
    ],
    ids=lambda test: test.__name__.removeprefix("test_"),
)
def test_it_is_the_same_there(test: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "run", run_there)
    test()


def run_there(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
