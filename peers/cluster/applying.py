"""Committed entries and the application of a cluster's node: what none can apply is done by none.

Entries above this release's feature level do not come here: the core stops before them. So where
the application says all the same that it cannot apply one, it is no operation at all, to no release
that may be in the cluster. No node that keeps the protocol writes such a thing; a leader cannot
tell, since operations are bytes to it.

Invariant: whatever the operations are, every node of a cluster applies the same of them. One that
nobody knows counts as a void under its dot: it is not done. If it stopped a node it would stop all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peers.core.entry import Entry
from peers.errors import OutdatedError
from peers.ordered_log import Application, Checked

Tell = Callable[[Entry, OutdatedError], None]


def apply(application: Application, entries: Sequence[Entry], tell: Tell) -> Checked | None:
    """Apply them; `tell` is told of each that is none. What was found at the last checkpoint."""
    try:
        return application.apply(entries)
    except OutdatedError:
        pass  # nothing has changed
    checked: Checked | None = None
    for entry in entries:
        found = _apply_one(application, entry, tell)
        if found is not None:
            agrees = found.agrees and (checked is None or checked.agrees)
            checked = found._replace(agrees=agrees)
    return checked


def _apply_one(application: Application, entry: Entry, tell: Tell) -> Checked | None:
    try:
        return application.apply((entry,))
    except OutdatedError as exc:
        tell(entry, exc)
        return application.apply((entry._replace(operation=b""),))
