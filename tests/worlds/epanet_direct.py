"""Pressures of the Net3 study, computed without any of our code: a plain loop over owa-epanet's own module.

Run as a program of its own (that module holds the interpreter and warns at import):
`python epanet_direct.py NET.inp scenarios.csv out.npz`. A fresh project is opened for each scenario.
"""

from __future__ import annotations

import csv
import os
import sys

import numpy as np
from epanet import toolkit as en

HOUR, DAY = 3600, 86400


def pressures(inp: str, multiplier: float, roughness: float) -> list[list[float]]:
    project = en.createproject()
    en.open(project, inp, os.devnull, "")
    en.settimeparam(project, en.DURATION, DAY)
    en.setoption(project, en.DEMANDMULT, multiplier)
    for link in range(1, en.getcount(project, en.LINKCOUNT) + 1):
        if en.getlinktype(project, link) in (en.PIPE, en.CVPIPE):
            en.setlinkvalue(project, link, en.ROUGHNESS, en.getlinkvalue(project, link, en.ROUGHNESS) * roughness)
    nodes = range(1, en.getcount(project, en.NODECOUNT) + 1)
    en.openH(project)
    en.initH(project, en.NOSAVE)
    found = []
    while True:
        time = en.runH(project)
        if time % HOUR == 0:
            found.append([en.getnodevalue(project, node, en.PRESSURE) for node in nodes])
        if en.nextH(project) <= 0:
            break
    en.closeH(project)
    en.close(project)
    en.deleteproject(project)
    return found


def node_ids(inp: str) -> list[str]:
    project = en.createproject()
    en.open(project, inp, os.devnull, "")
    ids = [en.getnodeid(project, node) for node in range(1, en.getcount(project, en.NODECOUNT) + 1)]
    en.close(project)
    en.deleteproject(project)
    return ids


def main() -> None:
    inp, table, out = sys.argv[1:]
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    values = [pressures(inp, float(row["demand.multiplier"]), float(row["pipe[*].roughness*"])) for row in rows]
    np.savez(out, pressures=np.array(values), nodes=np.array(node_ids(inp)))


if __name__ == "__main__":
    main()
