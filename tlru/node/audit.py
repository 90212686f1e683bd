"""What admins did: who, from where, what, and what became of it.

Decides how that is told: to the logger `tlru.audit`, and as one JSON object a line to a file, where
one is named. A file that cannot be written stops nobody's work; the log complains, once a minute.

Who is refused is told, too, but not as often as he likes: what strangers do must not fill a disk,
nor hide what somebody with a token tried. The next line says how many were left out.

Invariant: nothing is told of what was sent but what the table of routes names (`AUDITED`), so no
token or value can get in, and a line is bounded.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from peers.resilience import TokenBucket
from tlru.access.grant import NOBODY
from tlru.errors import Forbidden, TlruError, Unauthenticated

logger = logging.getLogger("tlru.audit")

COMPLAINT_EVERY_S: Final = 60.0
REFUSALS: Final = frozenset((Unauthenticated.code, Forbidden.code))
REFUSALS_A_S: Final = 0.5  # lines about strangers, and as many about those with a token
REFUSALS_AT_ONCE: Final = 30
WORD_CHARS_MAX: Final = 200  # of anything that was sent; the rest is cut


class Audit:
    """The audit log of one node."""

    def __init__(self, node: str, path: Path | None) -> None:
        """TlruError where the file cannot be appended to."""
        self._node, self._path = node, path
        self._file: TextIO | None = None
        self._complained: float | None = None
        self._left_out = 0  # refusals since the last line
        buckets = (TokenBucket(REFUSALS_A_S, REFUSALS_AT_ONCE) for _ in range(2))
        self._refusals = dict(zip((False, True), buckets, strict=True))  # by whether of strangers
        try:
            self._open()
        except OSError as exc:
            raise TlruError(_cannot(path, exc)) from exc

    def go_by(self, path: Path | None) -> None:
        """Write to this file from now on; one of the same name may be another one by now."""
        self.close()
        self._path = path
        try:
            self._open()
        except OSError as exc:
            logger.error("%s", _cannot(path, exc))

    def close(self) -> None:
        """Write to no file any more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        if self._path is not None:
            self._file = self._path.open("a", encoding="utf-8", buffering=1)

    def note(
        self, who: str, address: str, action: str, outcome: str, given: Mapping[str, Any]
    ) -> None:
        """Somebody did something, or was refused: `outcome` is `ok`, or the code of the error."""
        if outcome in REFUSALS and not self._room(stranger=who == NOBODY.name):
            self._left_out += 1
            return
        what = {name: _short(value) for name, value in given.items()}
        if self._left_out:
            what["left_out"], self._left_out = self._left_out, 0
        fields = {"who": who, "from": address, "action": action, "outcome": outcome, **what}
        logger.info("admin", extra=fields)
        if self._path is not None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._append(json.dumps({"time": now, "node": self._node, **fields}))

    def _room(self, *, stranger: bool) -> bool:
        return self._refusals[stranger].take(1, time.monotonic()) <= 0

    def _append(self, line: str) -> None:
        try:
            if self._file is None:
                self._open()
            assert self._file is not None
            self._file.write(f"{line}\n")
        except OSError as exc:
            now = time.monotonic()
            if self._complained is None or now - self._complained >= COMPLAINT_EVERY_S:
                self._complained = now
                logger.error("%s", _cannot(self._path, exc))


def _short(value: Any) -> Any:
    """As it is where that is little, else the beginning of its text."""
    if value is None or isinstance(value, bool | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if isinstance(value, int) and len(text) <= WORD_CHARS_MAX:
        return value
    return text if len(text) <= WORD_CHARS_MAX else f"{text[:WORD_CHARS_MAX]}..."


def _cannot(path: Path | None, problem: OSError) -> str:
    return (
        f"audit_file: {path} cannot be written: {problem.strerror or problem}; name another, or "
        "let this node write there"
    )
