"""`tlru` whose node begins anew at SIGUSR1, for tests: what asks for it in earnest is elsewhere.
With NEVER_STOPS in the environment it never comes to its end, and is not waited for long.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from tlru.cli import main
from tlru.node import Node


class Restarted(Node):
    """A node that also hears SIGUSR1."""

    async def start(self) -> None:
        await super().start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._asked)

    async def stop(self, grace: float | None = None, *, leave_open: bool = False) -> None:
        if "NEVER_STOPS" in os.environ:
            for service in self.services.values():
                vars(service)["stop"] = asyncio.Event().wait  # so what it holds stays locked
        await super().stop(grace, leave_open=leave_open)

    def _asked(self) -> None:
        self._task = asyncio.ensure_future(self._restart())

    async def _restart(self) -> None:
        first, second = await asyncio.gather(self.restart(), self.restart())
        print(json.dumps([first, second]), flush=True)


if __name__ == "__main__":
    from tlru.cli import serving

    if "NEVER_STOPS" in os.environ:
        vars(serving)["STOP_MARGIN_S"] = 0.1
    vars(serving)["Node"] = Restarted  # the node that is run
    sys.exit(main(sys.argv[1:]))
