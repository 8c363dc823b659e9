"""Where which program is to be killed: the table's rows, and how they reach `sitecustomize`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

#: To be put into PYTHONPATH.
FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Crash:
    """KILL for `program` before (or `after`) call number `call` of `target`.

    `target`: "module:name" or "module:Class.name", where the module is the one that looks the name up. Only calls whose
    arguments hold the text `holds` count. `linger`: seconds between the call and the end, in which threads go on.
    """

    says: str
    program: Literal["boss", "datastore", "worker"]
    target: str
    after: bool = False
    call: int = 1
    holds: str = ""
    linger: float = 0.0
    #: True: what the task did is lost with the program, and it is run again.
    again: bool = False
    #: True: the datastore reaches the worker by SSH.
    by_ssh: bool = False

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self)))


def happened(path: Path) -> bool:
    return path.with_name(f"{path.name}.done").exists()
