"""The bundles that a boss has ready for machines of its pools: made in a thread, waited for by who starts a machine.

Which Pythons a machine's image has is not known before it is up, so there is one for each; one that is not available
(no package index is reached, say) is reported when a machine asks for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from boss.bootstrap.bundle import Bundle, BundleError, Bundles, own_machine, own_python
from boss.bootstrap.bundle.contents import PYTHONS

logger = logging.getLogger(__name__)

Role = Literal["worker", "datastore"]
#: Role, and Python and machine.
Key = tuple[Role, str]
#: Once one is there, the others are waited for this long, by whoever waits then.
OTHERS_SECONDS = 30.0
FIRST_SECONDS = 900.0


class PoolBundles:
    """All calls are safe from any thread."""

    def __init__(self, bundles: Bundles, ready: Callable[[dict[str, str]], None]) -> None:
        """`ready` takes kind -> digest of the workers' bundles, whenever one more is there."""
        self._bundles = bundles
        self._ready = ready
        self._changed = threading.Condition()
        self._wanted: list[Key] = []
        self._made: dict[Key, Bundle] = {}
        self._faults: dict[Key, str] = {}
        #: Role -> when the first of its bundles was there (monotonic).
        self._first: dict[str, float] = {}

    def prepare(self, roles: Iterable[Role], machines: Iterable[str] = ()) -> None:
        """Begin to make them, those for this Python first. Returns at once."""
        pythons = sorted(PYTHONS, key=lambda python: python != own_python())
        kinds = [f"{python}-{machine}" for machine in (machines or [own_machine()]) for python in pythons]
        with self._changed:
            new = [(role, kind) for kind in kinds for role in roles if (role, kind) not in self._wanted]
            self._wanted += new
        if new:
            threading.Thread(target=self._make, args=(new,), name="bundles", daemon=True).start()

    def _make(self, keys: list[Key]) -> None:
        for role, kind in keys:
            python, _, machine = kind.partition("-")
            try:
                bundle = self._bundles.build(role, python, machine)
            except BundleError as error:
                logger.warning("no bundle of the %s for %s: %s", role, kind, error, extra={"action": "no_bundle"})
                self._settle((role, kind), None, str(error))
            except Exception as error:  # an internal error: who waits for this bundle is not to wait in vain
                logger.exception("no bundle of the %s for %s", role, kind, extra={"action": "no_bundle"})
                self._settle((role, kind), None, f"{type(error).__name__}: {error}")
            else:
                logger.info("bundle of the %s for %s: %s", role, kind, bundle.digest, extra={"action": "bundle"})
                self._settle((role, kind), bundle, "")

    def _settle(self, key: Key, bundle: Bundle | None, fault: str) -> None:
        with self._changed:
            if bundle is not None:
                self._made[key] = bundle
                self._first.setdefault(key[0], time.monotonic())
            else:
                self._faults[key] = fault
            self._changed.notify_all()
        if bundle is not None and key[0] == "worker":
            self._ready(self.made("worker"))

    def made(self, role: Role) -> dict[str, str]:
        """Kind -> digest, of those that are there."""
        with self._changed:
            return {kind: made.digest for (one, kind), made in self._made.items() if one == role}

    def offered(self, role: Role) -> dict[str, str]:
        """Kind -> digest of all that there are. Blocks until there is one; raises OSError where there will be none."""
        began = time.monotonic()
        with self._changed:
            while True:
                wanted = [key for key in self._wanted if key[0] == role]
                made = {kind: self._made[role, kind].digest for _, kind in wanted if (role, kind) in self._made}
                open_ones = [key for key in wanted if key not in self._made and key not in self._faults]
                until = self._first[role] + OTHERS_SECONDS if made else began + FIRST_SECONDS
                left = until - time.monotonic()
                if not open_ones or left <= 0:
                    break
                self._changed.wait(left)
            if not made:
                faults = "; ".join(dict.fromkeys(self._faults[key] for key in wanted if key in self._faults))
                raise OSError(f"there is no bundle for a machine of the {role}: {faults or 'none was made in time'}")
            return made

    def file(self, role: Role, kind: str, digest: str = "") -> tuple[Path, str]:
        """The newest, or the one of this digest. Raises LookupError with a sentence."""
        with self._changed:
            made = self._made.get((role, kind))
            fault = self._faults.get((role, kind), "")
            known = ", ".join(sorted(other for one, other in self._made if one == role)) or "none yet"
        if made is not None and digest in ("", made.digest):
            return made.path, made.digest
        former = self._bundles.former(digest) if digest else None
        if former is not None:
            return former.path, former.digest
        if made is not None:
            raise LookupError(f"the bundle {digest} is not kept any more; the newest for {kind} is {made.digest}")
        raise LookupError(f"there is no bundle for {kind!r}{f': {fault}' if fault else ''}; there are: {known}")
