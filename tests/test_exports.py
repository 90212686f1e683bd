"""`import tlru` gives every name that it promises, and loads only what is asked for."""

from __future__ import annotations

import subprocess
import sys

import tlru


def loaded_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_every_promised_name_is_there() -> None:
    for name in tlru.__all__:
        assert getattr(tlru, name) is not None
    assert set(tlru.__all__) == set(dir(tlru))


def test_a_name_that_is_not_there_says_so() -> None:
    assert not hasattr(tlru, "nonsense")


def test_the_library_alone_loads_no_network() -> None:
    loaded = loaded_after("from tlru import TTLCache; TTLCache(10, 1)['a'] = 1")
    assert not loaded & {"asyncio", "websockets", "aiohttp", "msgpack"}


def test_the_client_loads_no_server() -> None:
    loaded = loaded_after("import tlru; tlru.connect('ws://127.0.0.1:1')")
    assert not loaded & {"aiohttp", "tlru.node", "prometheus_client", "rich", "click"}


def test_the_node_loads_no_client() -> None:
    loaded = loaded_after("import tlru; tlru.Node")
    assert not loaded & {"tlru.client", "rich", "click"}
