"""`tlru` as another release would be: a node of the feature level and protocol versions told.

    TLRU_TEST_LEVEL=2 TLRU_TEST_VERSIONS=1-1 python -m tests.integration.release serve ...

This release has one level and one version, so that an upgrade needs a node that says otherwise. It
is this release in all else.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Final

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
    if told := os.environ.get(VERSIONS):
        first, last = map(int, told.split("-"))
        plan = replace(plan, mesh=replace(plan.mesh, versions=(first, last)))
    return replace(plan, level=int(os.environ.get(LEVEL, plan.level)))


if __name__ == "__main__":
    vars(server)["plan_of"] = plan_of
    sys.exit(main())
