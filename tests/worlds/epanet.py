"""Small networks for the EPANET tests, and shortcuts to run them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from wire.messages import EpanetRun
from worker.epanet.assess import BatchSummary
from worker.epanet.batch import run_batch
from worker.epanet.warm import OpenNetworks

TOP = Path(__file__).parents[2]
NET3 = TOP / "examples" / "net3_study" / "Net3.inp"
NET1 = TOP / "tests" / "networks" / "Net1.inp"
ANYTOWN = TOP / "tests" / "networks" / "Anytown.inp"

#: Two junctions on a line; J2 has two demand categories, P3 is a check valve.
LINE = """[JUNCTIONS]
 J1 10 0
 J2 10 0
[RESERVOIRS]
 R1 100
[TANKS]
 T1 60 10 1 20 50 0
[PIPES]
 P1 R1 J1 1000 12 100 0 Open
 P2 J1 J2 1000 12 100 0 Open
 P3 J2 T1 1000 12 100 0 CV
[DEMANDS]
 J1 100
 J2 30
 J2 10
[OPTIONS]
 Units GPM
 Headloss H-W
[TIMES]
 Duration 4:00
 Hydraulic Timestep 1:00
 Report Timestep 1:00
[END]
"""

BROKEN = LINE.replace("P2 J1 J2 1000", "P2 J1 J9 1000").replace("P3 J2 T1 1000", "P3 J2 T1 abc")


def run(directory: Path, inp: str | Path, networks: OpenNetworks | None = None, **parts: object) -> BatchSummary:
    """A batch in `directory`; a network given as text is written there first."""
    path = inp if isinstance(inp, Path) else directory / "net.inp"
    if isinstance(inp, str):
        path.write_text(inp)
    own = networks or OpenNetworks()
    try:
        return run_batch(EpanetRun(inp=str(path), **parts), directory, own)  # type: ignore[arg-type]
    finally:
        if networks is None:
            own.close()


def rows_of(directory: Path) -> list[dict[str, object]]:
    return pq.read_table(directory / "runs.parquet").to_pylist()


def values_of(directory: Path, variable: str = "pressure", scenario: int = 0) -> list[dict[str, float]]:
    """Without the columns `scenario` and `time`."""
    found = [row for row in pq.read_table(directory / f"{variable}.parquet").to_pylist() if row["scenario"] == scenario]
    return [{key: value for key, value in row.items() if key not in ("scenario", "time")} for row in found]
