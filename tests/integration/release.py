"""`tlru` as another release would be: a node of the feature level and protocol versions told.

    TLRU_TEST_LEVEL=2 TLRU_TEST_VERSIONS=1-2 python -m tests.integration.release serve ...

This release has one level and one version, so that an upgrade needs a node that says otherwise. It
is this release in all else: it marks what it says with the version that it speaks with whom it says
it to, and refuses what is marked with none of its own.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Final

from peers import wire
from peers.cluster.plan import ClusterPlan
from tlru.cli import main
from tlru.config import Config
from tlru.node import seats, server

MODULE: Final = "tests.integration.release"
LEVEL: Final = "TLRU_TEST_LEVEL"
VERSIONS: Final = "TLRU_TEST_VERSIONS"


def plan_of(config: Config, urls: tuple[str, ...]) -> ClusterPlan:
    """What the log is told, by a node of that release."""
    plan = seats.plan_of(config, urls)
    plan = replace(plan, mesh=replace(plan.mesh, versions=(wire.VERSION_MIN, wire.VERSION)))
    return replace(plan, level=int(os.environ.get(LEVEL, plan.level)))


if __name__ == "__main__":
    vars(server)["plan_of"] = plan_of
    if told := os.environ.get(VERSIONS):
        first, last = map(int, told.split("-"))
        vars(wire).update(VERSION_MIN=first, VERSION=last)
    sys.exit(main())
