"""Which modules become machine code, where `TLRU_COMPILE=1` asks for it: docs/compiled.md.

Without it nothing is compiled, and nothing is needed for it. All else about the package stands in
setup.cfg.
"""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent

# What an operation passes on its way through a client, a node, its cluster and its engine.
COMPILED = (
    "peers/awake.py",
    "peers/clocks.py",
    "peers/cluster/*.py",
    "peers/core/*.py",
    "peers/mesh/*.py",
    "peers/wire.py",
    "peers/wire_batches.py",
    "peers/wire_fields.py",
    "tlru/client/connection.py",
    "tlru/client/exchange.py",
    "tlru/client/flights.py",
    "tlru/client/framing.py",
    "tlru/client/outbox.py",
    "tlru/client/plain.py",
    "tlru/client/requests.py",
    "tlru/client/together.py",
    "tlru/engine/*.py",
    "tlru/node/duties.py",
    "tlru/node/feeds.py",
    "tlru/node/grouping.py",
    "tlru/node/knocking.py",
    "tlru/node/latency.py",
    "tlru/node/limits.py",
    "tlru/node/outgoing.py",
    "tlru/node/pending.py",
    "tlru/node/reads.py",
    "tlru/node/service.py",
    "tlru/node/session.py",
    "tlru/node/turns.py",
    "tlru/node/websocket.py",
    "tlru/node/writes.py",
    "tlru/wire/*.py",
)
# And what is left as it is, by the reason.
SCHEMA = "its classes are read as schemas; a compiled one does not say what its fields are"
OPEN = "its classes have subclasses in Python: users' or tests'"
CHECKS = "it checks what its annotations promise, and a compiler would take them at their word"
JSON = "only what JSON clients say comes by; and the compiler gives up on value_writer.py"
SELDOM = "an operation does not come by here"
AS_IT_IS = {
    "peers/cluster/asking.py": SELDOM,
    "peers/cluster/beginning.py": SELDOM,
    "peers/cluster/met.py": SELDOM,
    "peers/cluster/opening.py": SELDOM,
    "peers/cluster/plan.py": SELDOM,
    "peers/cluster/reload.py": SELDOM,
    "peers/cluster/snapshots.py": SELDOM,
    "peers/cluster/wishes.py": SELDOM,
    "peers/core/base.py": SCHEMA,
    "peers/core/entry.py": SCHEMA,
    "peers/core/membership.py": SCHEMA,
    "peers/core/messages.py": SCHEMA,
    "peers/core/origin.py": SCHEMA,
    "peers/core/output.py": SCHEMA,
    "peers/mesh/certified.py": SELDOM,
    "peers/mesh/dialler.py": SELDOM,
    "peers/mesh/door.py": SELDOM,
    "peers/mesh/ends.py": SELDOM,
    "peers/mesh/greeting.py": SCHEMA,
    "peers/mesh/lives.py": SELDOM,
    "peers/mesh/mesh.py": OPEN,
    "peers/mesh/settings.py": SELDOM,
    "peers/mesh/status.py": SELDOM,
    "peers/mesh/upgrade.py": SELDOM,
    "tlru/engine/cache.py": OPEN,
    "tlru/engine/client_limits.py": SELDOM,
    "tlru/engine/inspection.py": OPEN,
    "tlru/engine/operations.py": CHECKS,
    "tlru/engine/removal.py": OPEN,
    "tlru/engine/settings.py": SELDOM,
    "tlru/engine/stats.py": OPEN,
    "tlru/engine/timer.py": OPEN,
    "tlru/wire/limits.py": SELDOM,
    "tlru/wire/strict_json.py": JSON,
    "tlru/wire/value_reader.py": JSON,
    "tlru/wire/value_tags.py": JSON,
    "tlru/wire/value_writer.py": JSON,
    "tlru/wire/values.py": JSON,
}
BUILDS = {"bdist_wheel", "build", "build_ext", "editable_wheel", "install"}
NEEDED = ("mypy>=1.11", "sortedcontainers-stubs>=2.4")  # and what is imported, for its types


def needed() -> list[str]:
    """What has to be there when it is compiled."""
    told = configparser.ConfigParser()
    told.read(HERE / "setup.cfg")
    return [*NEEDED, *told["options"]["install_requires"].strip().splitlines()]


def compiled() -> list[str]:
    """The files to compile."""
    found = {
        str(path.relative_to(HERE))
        for pattern in COMPILED
        for path in HERE.glob(pattern)
        if path.name != "__init__.py"
    }
    unknown = AS_IT_IS.keys() - found
    assert not unknown, f"AS_IT_IS names what is not there: {sorted(unknown)}"
    return sorted(found - AS_IT_IS.keys())


if os.environ.get("TLRU_COMPILE") != "1":
    setup()
elif BUILDS.isdisjoint(sys.argv):
    setup(setup_requires=needed())  # who builds asks what it needs, and comes again with it
else:
    from mypyc.build import mypycify

    # Packages that only extras bring may be missing.
    what = ["--ignore-missing-imports", *compiled()]
    # Of the levels the first: more makes it larger, slower to compile, and no faster.
    setup(ext_modules=mypycify(what, opt_level="1", group_name="tlru", multi_file=True))
