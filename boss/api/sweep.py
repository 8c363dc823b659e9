"""Sent files that no push refers to are removed a day later, and so is what was fetched from a datastore elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection

from boss.api.spool import Spool
from boss.core.state import State
from boss.inbox import Inbox

logger = logging.getLogger(__name__)

#: Removed after this; searched for as often.
UNREFERENCED_SECONDS = 24 * 3600.0


def sweep_daily(inbox: Inbox, sent: Spool, fetched: Spool | None) -> None:
    """At once and then daily, for as long as the loop runs. Never returns before: for a thread of its own."""

    def sweep(state: State) -> None:
        """Only the state has which files the datastore has not stored yet; removing blocks, so it has a thread."""
        keep = {row.digest for row in state.files.values()}
        threading.Thread(target=_remove, args=(sent, fetched, keep), name="sweep", daemon=True).start()

    while not inbox.ended:
        inbox.put(sweep)
        time.sleep(UNREFERENCED_SECONDS)  # a daemon thread: the end of the program does not wait for it


def _remove(sent: Spool, fetched: Spool | None, keep: Collection[str]) -> None:
    before = time.time() - UNREFERENCED_SECONDS
    try:
        removed = sent.sweep(keep, before)
        if fetched is not None:
            fetched.sweep((), before)
    except OSError as error:
        logger.warning("the spool cannot be swept: %s", error, extra={"action": "sweep_failed"})
        return
    if removed:
        logger.info("%d sent files that no push refers to were removed", len(removed), extra={"action": "swept"})
