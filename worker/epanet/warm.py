"""Networks kept open from one batch to the next, each with the digest of what it gives unchanged.

An open network is used again only while it was shown, after its last use, to give bit for bit what it gave
when it was opened. Knows when two batches may share one; the batches themselves are elsewhere.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from worker.epanet import codes
from worker.epanet.attributes import apply_simulation
from worker.epanet.errors import EngineError
from worker.epanet.project import Project
from worker.epanet.solve import Quantity, solve
from worker.epanet.specification import Simulation

#: SHA-256 of the INP file, and what is set for every scenario.
Key = tuple[str, Simulation]

_CAPACITY = 4
_COMPARED: tuple[Quantity, ...] = (
    (True, codes.NODE_VARIABLES["demand"][0]),
    (False, codes.LINK_VARIABLES["flow"][0]),
)


@dataclass
class OpenNetwork:
    project: Project
    #: Digest of the unchanged network's results; None when that run fails, or was not made.
    reference: bytes | None = None


def open_network(file: Path, simulation: Simulation) -> Project:
    project = Project(file)
    try:
        apply_simulation(project, simulation)
    except EngineError:
        project.close()
        raise
    return project


def fingerprint(project: Project) -> bytes | None:
    """Digest of all bits of pressures, demands and flows; None if EPANET fails."""
    solution = solve(project, _COMPARED)
    if solution.error:
        return None
    digest = hashlib.blake2b(repr((solution.times, solution.warnings)).encode(), digest_size=32)
    for values in solution.values.values():
        digest.update(values.tobytes())
    return digest.digest()


class OpenNetworks:
    """The few networks used last. What is taken out is given back only when it is as good as new."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self.capacity = capacity
        self.idle: OrderedDict[Key, OpenNetwork] = OrderedDict()

    def take(self, key: Key) -> OpenNetwork | None:
        return self.idle.pop(key, None)

    def give_back(self, key: Key, network: OpenNetwork) -> None:
        self.idle[key] = network
        while len(self.idle) > self.capacity:
            _, oldest = self.idle.popitem(last=False)
            oldest.project.close()

    def close(self) -> None:
        while self.idle:
            self.idle.popitem()[1].project.close()
