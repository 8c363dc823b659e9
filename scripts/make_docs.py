"""Writes the pages of docs/ that say what code says: docs/settings.md and docs/states.md. Run by `make docs`.

It knows the table of settings and the tables of legal moves; tests/unit/docs/test_docs.py compares the pages with them.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from boss.configuration.pools import POOL_SETTINGS  # noqa: E402
from boss.configuration.values import Setting, as_written  # noqa: E402
from boss.core import legal  # noqa: E402 - the checkout comes first
from boss.core.model import TERMINAL, Ended, InstanceState, NicState, Phase, TaskState, WorkerState  # noqa: E402
from datastore.agent import legal as of_datastore  # noqa: E402
from datastore.agent.state import PublishStep, Step  # noqa: E402
from settings import PREFIX, SETTINGS  # noqa: E402
from worker.agent import legal as of_worker  # noqa: E402

MADE = "<!-- Written by scripts/make_docs.py (`make docs`); change the code, not this page. -->\n"

SETTINGS_HEAD = f"""{MADE}
# Settings

Nothing has to be set. Values come, later ones winning, from

1. the defaults below,
2. `/etc/ecloud/settings.toml`,
3. `settings.toml` in the state directory (`.ecloud/`); before it `deployed.toml`, which `admin.py deploy` writes,
4. `{PREFIX}<NAME>` in the environment, such as `{PREFIX}SLOTS=2`,
5. options of the command line.

`admin.py settings` prints each value and where it came from. All errors are reported at once, with file and line.
Quantities may carry their unit: `lease_seconds = "2m"`, `cache_limit_bytes = "5GB"` (kB MB GB TB are powers of 1000,
KiB MiB GiB TiB of 1024; s m h d are times). A relative path is relative to the file that names it. Settings marked
*secret* are never shown, and may be named by the file that holds them: `token_file = "/etc/ecloud/token"`.

`{PREFIX}HOME` is no setting but where the state directory is; without it, it is `.ecloud` in the current directory or
above it.

"""

POOLS_HEAD = """
## Pools

A pool is a kind of worker beside the boss's own processes: a table `[pools.NAME]` in a settings file. A later file's
values win over an earlier one's, one by one. Where a cloud is named
(`opennebula_endpoint`) and no pool, there is one, `cloud`.

```toml
[pools.cloud]
max = 50
idle_seconds = "2m"
labels = { engine = "2.3" }
```

`labels` is a table of texts that tasks may ask for, `hosts` (static) the list of hosts, each a text such as
`"ecloud@10.0.0.5:22 SHA256:..."` or a table with `address`, `user`, `port`, `fingerprint`, `slots`, `python`, `home`
([operating.md](operating.md)), `options` a table that the provider reads.

"""

STATES_HEAD = f"""{MADE}
# States and their legal moves

The boss and the agents of worker and datastore are made of the state machines below; the words are explained in
[glossary.md](glossary.md). Each machine has one function that assigns its state, and a table in `legal.py` of its
package. A move that is not here cannot happen: it would be an error of ours, and raises with the last moves of what is
in question. Whatever a message reports that fits no state is dropped and counted.
"""


class Machine(NamedTuple):
    """One table of legal moves: its heading, the module and the name under which it stands there."""

    title: str
    module: ModuleType
    name: str
    #: Where it begins, and where it may rest although moves lead on from there.
    begins: tuple[Any, ...]
    rests: frozenset[Any] = frozenset()

    @property
    def moves(self) -> list[tuple[str, str, str]]:
        """From, to, why."""
        table = getattr(self.module, self.name)
        return [(word(start), word(end), why) for start, ends in table.items() for end, why in ends.items()]

    def prose(self) -> str:
        """The comment above the table."""
        above, _, _ = inspect.getsource(self.module).partition(f"\n{self.name}:")
        lines = list(takewhile(lambda line: line.startswith("#:"), reversed(above.splitlines())))
        return "\n".join(line.removeprefix("#: ") for line in reversed(lines))


MACHINES = [
    Machine("Task", legal, "TASK_MOVES", (TaskState.PENDING, TaskState.QUEUED, TaskState.BLOCKED), TERMINAL),
    Machine("Attempt", legal, "ATTEMPT_MOVES", (Phase.STAGING, Phase.STAGED), frozenset({Ended.LOST})),
    Machine("Worker", legal, "WORKER_MOVES", (WorkerState.ONLINE,)),
    Machine("Instance", legal, "INSTANCE_MOVES", (InstanceState.REQUESTED,)),
    Machine("Network interface for init tasks", legal, "NIC_MOVES", (NicState.NONE,), frozenset({NicState.NONE})),
    Machine("Attempt on its worker", of_worker, "HELD_MOVES", ("new",)),
    Machine("Collection on the datastore", of_datastore, "COLLECTION_MOVES", (Step.NEW,)),
    Machine("Batch that is published on the datastore", of_datastore, "BATCH_MOVES", (PublishStep.NEW,)),
]


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def row_of(setting: Setting) -> list[str]:
    notes = setting.sentence
    if setting.choices:
        notes += f" One of {', '.join(f'`{choice}`' for choice in setting.choices)}."
    if setting.least:
        notes += f" At least {as_written(setting.least, setting.unit)}."
    if setting.most is not None:
        notes += f" At most {as_written(setting.most, setting.unit)}."
    if setting.secret:
        notes += " *Secret.*"
    if setting.formerly:
        notes += f" Formerly {', '.join(f'`{former}`' for former in setting.formerly)}."
    default = as_written(setting.default, setting.unit)
    return [f"`{setting.name}`", setting.unit, default if default == "(empty)" else f"`{default}`", notes]


def settings_page() -> str:
    heads = ["name", "unit", "default", "what it is"]
    return SETTINGS_HEAD + table(heads, map(row_of, SETTINGS)) + POOLS_HEAD + table(heads, map(row_of, POOL_SETTINGS))


def word(state: object) -> str:
    return state.word if isinstance(state, TaskState) else str(state)


def states_of(machine: Machine) -> str:
    """The section of one machine: what it is, its picture, its table."""
    table_of = getattr(machine.module, machine.name)
    ends = [state for state, targets in table_of.items() if not targets or state in machine.rests]
    picture = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {word(state)}" for state in machine.begins)]
    picture += [f"    {start} --> {end}" for start, end, _ in machine.moves]
    picture += [f"    {word(state)} --> [*]" for state in ends]
    rows = [[f"`{start}`", f"`{end}`", why] for start, end, why in machine.moves]
    head = f"\n## {machine.title}\n\n{machine.prose()}\n\n"
    return head + "\n".join([*picture, "```", "", ""]) + table(["from", "to", "when"], rows)


def states_page() -> str:
    return STATES_HEAD + "".join(map(states_of, MACHINES))


PAGES = {"settings.md": settings_page, "states.md": states_page}


def main() -> None:
    for name, page in PAGES.items():
        (TOP / "docs" / name).write_text(page())


if __name__ == "__main__":
    main()
