"""Beginning anew in the same process: another program image under the same number.

Decides what goes over: the command line, the environment, the directory, and the listening socket,
whose number and address stand in a variable. Every other file of Python's is closed by the system.
Signals wait until the new image hears them, so that none is lost, and none ends it in between.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from typing import Final, NoReturn

VARIABLE: Final = "_TLRU_LISTENER"  # process, number and address, with spaces between
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)


def hold_signals() -> None:
    """Let signals wait; `hear_signals` undoes it, also in the next image."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def hear_signals() -> None:
    """Let come what has waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def begin_anew(listener: socket.socket | None, listen: str) -> NoReturn:
    """Run this command line again, in this process. OSError where the system does not let it."""
    if listener is not None:
        os.set_inheritable(listener.fileno(), True)
        os.environ[VARIABLE] = f"{os.getpid()} {listener.fileno()} {listen}"
    logger.info("beginning anew")
    logging.shutdown()
    sys.stdout.flush()
    # The name of the program as it was typed may lead to another Python than this one.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def listener_left(listen: str) -> socket.socket | None:
    """The listening socket that the image before has left, if it listens where we are to."""
    found = os.environ.pop(VARIABLE, "").split(" ", 2)
    if len(found) < 3 or found[0] != str(os.getpid()) or not found[1].isdecimal():
        return None
    with contextlib.suppress(OSError):
        sock = socket.socket(fileno=int(found[1]))
        sock.set_inheritable(False)
        if found[2] == listen and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return sock
        sock.close()
    return None
