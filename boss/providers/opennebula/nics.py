"""Further network cards of machines: for init tasks, which may need a network that nothing else should have.

A wish is carried out when the machine runs, and told when a list shows what was wished for: asking twice, or again
after a boss died, finds the card that is there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.machines import Card, CloudMachine, Seen

logger = logging.getLogger(__name__)

#: (the card's number, why not): one of them is empty.
Done = Callable[[str, str], None]
#: A machine that does not come to run in this time gets no card.
WISH_SECONDS = 120.0


class Wish(msgspec.Struct):
    """One card that somebody waits for, or wants out."""

    machine: int
    #: NIC of the card to be put in; empty: one is to be taken out.
    network: Mapping[str, str]
    #: Number of the card to be taken out.
    card: str
    done: Done
    since: float
    asked: bool = False


class _Calls(Protocol):
    def attach(self, machine: int, card: Mapping[str, str]) -> None: ...
    def detach(self, machine: int, card: int) -> None: ...


class Cards:
    """Added to from any thread; compared by the provider's."""

    def __init__(self, calls: _Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._wishes: list[Wish] = []

    def __bool__(self) -> bool:
        return bool(self._wishes)

    def add(self, wish: Wish) -> None:
        with self._lock:
            self._wishes.append(wish)

    def compare(self, listed: Iterable[CloudMachine], now: float) -> None:
        """Carry out what can be, and tell what has become true."""
        machines = {machine.id: machine for machine in listed}
        with self._lock:
            wishes = list(self._wishes)
        for wish in wishes:
            answer = self._look_at(wish, machines.get(wish.machine), now)
            if answer is not None:
                with self._lock:
                    self._wishes.remove(wish)
                wish.done(*answer)

    def _look_at(self, wish: Wish, machine: CloudMachine | None, now: float) -> tuple[str, str] | None:
        """None: not yet."""
        if machine is None or machine.seen in (Seen.ENDING, Seen.GONE, Seen.BROKEN):
            return ("", "its machine is gone") if wish.network else (wish.card, "")
        steady = machine.seen is Seen.RUNNING
        found = _in_network(machine, wish.network) if wish.network else _numbered(machine, wish.card)
        if steady and (found is not None) is bool(wish.network):
            return (found.id if found is not None else wish.card, "")
        if now - wish.since > WISH_SECONDS:
            what = "no further network card came" if wish.network else f"the network card {wish.card} stays"
            return "", f"{what} within {WISH_SECONDS:.0f} s"
        if steady and not wish.asked:
            return self._ask(wish)
        return None

    def _ask(self, wish: Wish) -> tuple[str, str] | None:
        try:
            if wish.network:
                self._calls.attach(wish.machine, wish.network)
            else:
                self._calls.detach(wish.machine, int(wish.card))
        except CloudError as error:
            if error.kind in ("state", "away", "busy"):
                return None  # asked again with the next list
            if error.kind != "unclear":
                return "", str(error)
        wish.asked = True
        return None


def _in_network(machine: CloudMachine, network: Mapping[str, str]) -> Card | None:
    """A further card: the first one is the machine's own, whatever its network."""
    wanted = network.get("NETWORK", "")
    number = network.get("NETWORK_ID", "")
    return next(
        (card for card in machine.cards[1:] if (card.network == wanted if wanted else card.network_id == number)), None
    )


def _numbered(machine: CloudMachine, card: str) -> Card | None:
    return next((each for each in machine.cards if each.id == card), None)
