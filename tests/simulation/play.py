"""Playing one seed: with all of its faults, and, if that fails, with ever fewer of them."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Collection
from types import FrameType

from tests.simulation.world import World
from tests.worlds.store import SimulatedStore

#: Worlds that are tried to make one failure smaller.
SHRINK_TRIES = 150
#: A world takes a twentieth of a second; one that takes so long on a loaded machine goes round in circles.
LONGEST_SECONDS = 20.0
_ENDLESS = "the world was still going on"


def _sqlite() -> SimulatedStore:
    from tests.simulation.sqlite_store import SqliteStore

    return SqliteStore()


STORES: dict[str, Callable[[], SimulatedStore]] = {"model": SimulatedStore, "sqlite": _sqlite}


def _too_long(number: int, frame: FrameType | None) -> None:
    where = "".join(traceback.format_stack(frame, limit=4))
    raise AssertionError(f"{_ENDLESS} after {LONGEST_SECONDS:g} s, here:\n{where}")


def _play(seed: int, only: Collection[str] | None, store: str) -> tuple[World | None, str]:
    """The world, and what was wrong with it; empty: nothing."""
    kept, world = STORES[store](), None
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)
    try:
        world = World(seed, only=only, store=kept)
        world.run()
    except AssertionError as error:
        return world, f"{type(error).__name__}: {error}"
    except Exception:  # whatever breaks a world is what is looked for
        return world, traceback.format_exc(limit=-3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        kept.close()
    return world, ""


def play(seed: int, store: str = "model", shrink: bool = True) -> tuple[int, str]:
    """The seed and what was wrong with its world; empty: nothing."""
    world, failure = _play(seed, None, store)
    if not failure or world is None:
        return seed, failure
    names, tries = list(world.faults.struck), 0
    if shrink:
        names, tries = smaller(names, lambda few: bool(_play(seed, few, store)[1]))
        world, failure = _play(seed, names, store)
    assert world is not None
    again = f"python -m tests.simulation --first {seed} --store {store} --only {';'.join(names)!r}"
    return seed, f"{failure}\nfaults, after {tries} tries to do with fewer:\n{world.faults.shown()}\nagain: {again}"


def catches(seed: int) -> str:
    """What a rule says was broken in this world; an error that is no rule's does not count."""
    failure = _play(seed, None, "model")[1]
    return "" if failure.startswith("Traceback") or _ENDLESS in failure else failure


def play_only(seed: int, names: list[str], store: str) -> str:
    return _play(seed, names, store)[1]


def smaller(names: list[str], fails: Callable[[list[str]], bool]) -> tuple[list[str], int]:
    """Fewer names with which it still fails: parts are left out, halves first, then ever smaller ones."""
    part, tries = max(1, len(names) // 2), 0
    while names and tries < SHRINK_TRIES:
        start, shrunk = 0, False
        while start < len(names) and tries < SHRINK_TRIES:
            fewer = names[:start] + names[start + part :]
            tries += 1
            if fails(fewer):
                names, shrunk = fewer, True
            else:
                start += part
        if part == 1 and not shrunk:
            break
        part = part if shrunk and part == 1 else max(1, part // 2)
    return names, tries
