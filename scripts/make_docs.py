"""Writes the pages of docs/ that say what code says: docs/settings.md and docs/states.md. Run by `make docs`.

It knows the table of settings and the tables of legal moves; tests/unit/docs/test_docs.py compares the pages with them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from boss.configuration.pools import POOL_SETTINGS  # noqa: E402
from boss.configuration.values import Setting, as_written  # noqa: E402
from boss.core.legal import TASK_MOVES  # noqa: E402 - the checkout comes first
from boss.core.model import TERMINAL, UNFINISHED, TaskState  # noqa: E402
from settings import PREFIX, SETTINGS  # noqa: E402

MADE = "<!-- Written by scripts/make_docs.py (`make docs`); change the code, not this page. -->\n"

SETTINGS_HEAD = f"""{MADE}
# Settings

Nothing has to be set. Values come, later ones winning, from

1. the defaults below,
2. `/etc/ecloud/settings.toml`,
3. `settings.toml` in the state directory (`.ecloud/`); before it `deployed.toml`, which `admin.py deploy` writes,
4. `{PREFIX}<NAME>` in the environment, such as `{PREFIX}SLOTS=2`,
5. options of the command line.

`admin.py settings` prints each value and where it came from. All faults are told at once, with file and line.
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
# States of a task

The table of legal moves of `boss/core/legal.py`. A move that is not here cannot happen; words are explained in
[glossary.md](glossary.md).

"""


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


def kind_of(state: TaskState) -> str:
    return "moves by itself" if state in UNFINISHED else "moves only when a person asks"


def states_page() -> str:
    moves = [(start, end, why) for start, ends in TASK_MOVES.items() for end, why in ends.items()]
    picture = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {word}" for word in ("pending", "queued", "blocked"))]
    picture += [f"    {start.word} --> {end.word}" for start, end, _ in moves]
    picture += [f"    {state.word} --> [*]" for state in TaskState if state in TERMINAL]
    rows = [[f"`{start.word}`", f"`{end.word}`", why] for start, end, why in moves]
    kinds = [[f"`{state.word}`", kind_of(state)] for state in TaskState]
    return (
        STATES_HEAD
        + "\n".join([*picture, "```", "", ""])
        + table(["from", "to", "when"], rows)
        + "\n"
        + table(["state", ""], kinds)
    )


PAGES = {"settings.md": settings_page, "states.md": states_page}


def main() -> None:
    for name, page in PAGES.items():
        (TOP / "docs" / name).write_text(page())


if __name__ == "__main__":
    main()
