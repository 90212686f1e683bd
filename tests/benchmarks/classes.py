"""A node in a process of its own whose clients have classes, and the tokens that say so."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.benchmarks.processes import free_port, running, until_reachable
from tlru.access import static
from tlru.access.grant import Grant

CLASSES = ("critical", "default", "bulk")
_ALL = ("",)


def write_tokens(file: Path) -> dict[str, str]:
    """Write the file that a node reads; the token of each class."""
    tokens = {name: static.make() for name in CLASSES}
    grants = [
        Grant(name, name, _ALL, _ALL, _ALL, _ALL, token_id=name, token_hash=static.hashed(token))
        for name, token in tokens.items()
    ]
    file.write_text("\n".join(map(static.line, grants)))
    return tokens


def serve_command(port: int, tokens_file: Path) -> list[str]:
    """What starts the node, as an operator would."""
    return [
        *(sys.executable, "-m", "tlru", "serve", "--listen", f"127.0.0.1:{port}"),
        *("--tokens-file", str(tokens_file), "--max-bytes", "256MiB", "--log-level", "error"),
    ]


@contextlib.asynccontextmanager
async def a_classed_node(
    core: int | None = None,
) -> AsyncIterator[tuple[int, dict[str, str], subprocess.Popen[bytes]]]:
    """A node, on one core if that is said: its port, a token of each class, its process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens.toml"
        tokens, port = write_tokens(file), free_port()
        with running(serve_command(port, file), core=core) as process:
            await until_reachable(port)
            yield port, tokens, process
