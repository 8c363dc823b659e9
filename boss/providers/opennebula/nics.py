"""Further network interfaces (NICs) of machines: for init tasks, which may need a network that others should not have.

A request is carried out when the machine runs, and answered when a list shows what was requested: asking twice, or
again after a boss died, finds the NIC that is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

import msgspec

from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.machines import CloudMachine, Nic, Seen

#: (the number of the NIC, why not): one of them is empty.
Done = Callable[[str, str], None]
#: A machine that does not come to run in this time gets no NIC.
REQUEST_SECONDS = 120.0


class NicRequest(msgspec.Struct):
    """One NIC that is waited for, or that is to be removed."""

    machine: int
    #: The NIC to be attached, as OpenNebula writes it; empty: one is to be detached.
    network: Mapping[str, str]
    #: Number of the NIC to be detached.
    nic: str
    done: Done
    since: float
    asked: bool = False


class NicRequests:
    """Added to from any thread; compared by the provider's."""

    def __init__(self, calls: CloudClient) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._requests: list[NicRequest] = []

    def __bool__(self) -> bool:
        return bool(self._requests)

    def add(self, request: NicRequest) -> None:
        """It is carried out and answered by the calls of `compare` that follow."""
        with self._lock:
            self._requests.append(request)

    def compare(self, listed: Iterable[CloudMachine], now: float) -> None:
        """Carry out what can be, and tell what has become true."""
        machines = {machine.id: machine for machine in listed}
        with self._lock:
            requests = list(self._requests)
        for request in requests:
            answer = self._look_at(request, machines.get(request.machine), now)
            if answer is not None:
                with self._lock:
                    self._requests.remove(request)
                request.done(*answer)

    def _look_at(self, request: NicRequest, machine: CloudMachine | None, now: float) -> tuple[str, str] | None:
        """None: not yet."""
        if machine is None or machine.seen in (Seen.ENDING, Seen.GONE, Seen.BROKEN):
            return ("", "its machine is gone") if request.network else (request.nic, "")
        steady = machine.seen is Seen.RUNNING
        found = _in_network(machine, request.network) if request.network else _numbered(machine, request.nic)
        if steady and (found is not None) is bool(request.network):
            return (found.id if found is not None else request.nic, "")
        if now - request.since > REQUEST_SECONDS:
            what = (
                "no further network interface came" if request.network else f"the network interface {request.nic} stays"
            )
            return "", f"{what} within {REQUEST_SECONDS:.0f} s"
        if steady and not request.asked:
            return self._ask(request)
        return None

    def _ask(self, request: NicRequest) -> tuple[str, str] | None:
        try:
            if request.network:
                self._calls.attach(request.machine, request.network)
            else:
                self._calls.detach(request.machine, int(request.nic))
        except CloudError as error:
            if error.kind in ("state", "away", "busy"):
                return None  # asked again with the next list
            if error.kind != "unclear":
                return "", str(error)
        request.asked = True
        return None


def _in_network(machine: CloudMachine, network: Mapping[str, str]) -> Nic | None:
    """A further NIC: the first one is the machine's own, whatever its network."""
    wanted = network.get("NETWORK", "")
    number = network.get("NETWORK_ID", "")
    return next(
        (nic for nic in machine.nics[1:] if (nic.network == wanted if wanted else nic.network_id == number)), None
    )


def _numbered(machine: CloudMachine, nic: str) -> Nic | None:
    return next((each for each in machine.nics if each.id == nic), None)
