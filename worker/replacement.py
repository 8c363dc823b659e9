"""Getting the boss's version of this program into the agent's home, for the keeper to start it from there.

In a thread of its own. Whole or not at all: what is there was checked against the digest that the boss ordered.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from worker.agent.effects import FetchBundle
from worker.agent.events import BundleFetched, BundleNotFetched
from worker.bootstrap.bootstrap import (
    BootstrapRefusedError,
    fetch,
    install,
    mark,
    write_private,
)
from worker.bootstrap.keeper import CURRENT, PROGRAMS

logger = logging.getLogger(__name__)

TRIES = 6
FIRST_PAUSE_SECONDS = 5.0
#: After an answer that trying again does not change: before the boss is asked for another order.
REFUSED_PAUSE_SECONDS = 60.0

Notify = Callable[[BundleFetched | BundleNotFetched], None]


class Replacement:
    def __init__(self, home: Path, boss_url: str, notify: Notify) -> None:
        self._programs = home / PROGRAMS
        self._boss_url = boss_url.rstrip("/")
        self._notify = notify

    def fetch(self, order: FetchBundle) -> None:
        """Notifies BundleFetched or BundleNotFetched, some time."""
        threading.Thread(target=self._work, args=(order,), name="replacement", daemon=True).start()

    def _work(self, order: FetchBundle) -> None:
        pause = FIRST_PAUSE_SECONDS
        for tries_left in reversed(range(TRIES)):
            try:
                self._get(order)
            except BootstrapRefusedError as error:
                logger.warning("the boss's version is not fetched: %s", error, extra={"action": "fetch_bundle"})
                time.sleep(REFUSED_PAUSE_SECONDS)  # in a thread of its own: the boss orders again as soon as it knows
                break
            except (
                Exception
            ) as error:  # BossAwayError, OSError; or an internal error: the boss is to hear of it as well
                logger.info("the boss's version is not here yet: %s", error, extra={"action": "fetch_bundle"})
                if tries_left:
                    time.sleep(pause)
                    pause *= 2
            else:
                logger.info("the boss's version is here: %s", order.digest, extra={"action": "fetch_bundle"})
                self._notify(BundleFetched(order.digest))
                return
        self._notify(BundleNotFetched(order.digest))

    def _get(self, order: FetchBundle) -> None:
        if not self._boss_url or not order.url.startswith(f"{self._boss_url}/"):
            raise BootstrapRefusedError(
                f"{order.url} is not of the boss that this machine knows ({self._boss_url or 'none'})"
            )
        self._programs.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = install(
            order.digest, self._programs, lambda archive: fetch(order.url, order.token, order.digest, archive)
        )
        text = json.dumps({"of": mark(os.environ), "digest": order.digest})
        write_private(self._programs / CURRENT, text)
        self._drop_others(folder)

    def _drop_others(self, folder: Path) -> None:
        """Those before, but what this very program still runs from."""
        mine = Path(__file__).resolve().parent.parent
        for other in self._programs.iterdir():
            if other.is_dir() and other not in (folder, mine):
                shutil.rmtree(other, ignore_errors=True)
