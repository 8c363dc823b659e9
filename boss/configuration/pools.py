"""What `[pools.NAME]` in a settings file may say: one table of settings, and how such tables are read.

A pool is a kind of worker: what makes its workers, how many there may be, what they cost and offer. Knows no file but
as text that was read already, and no provider: what a provider of another package wants besides stands in `options`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from boss.common.suggestions import did_you_mean
from boss.configuration.values import (
    ConfigurationError,
    Setting,
    ShownSetting,
    Values,
    former_names,
    masked,
    parse,
    renamed,
)

POOL_SETTINGS: tuple[Setting, ...] = (
    Setting("provider", str, "name", "opennebula", "What starts and stops its workers: opennebula, static, or one that "
            "another package brings."),
    Setting("role", str, "name", "workers", "What its machines do; datastore: the one that keeps inputs and results.",
            choices=("workers", "datastore")),
    # --- how many
    Setting("min", int, "workers", 0, "Never fewer workers than this.", least=0),
    Setting("max", int, "workers", 10, "Never more machines than this, those that are ending included.", least=0),
    Setting("spare", int, "workers", 0, "Kept ready beyond what the work requires, without work too.", least=0),
    Setting("cost_weight", float, "share", 0.25, "0: as fast as the limit allows; 1: as cheap as can be.",
            least=0, most=1, formerly=("thrift",)),
    Setting("idle_seconds", float, "seconds", 60.0, "How long a worker without work is kept where none is known to "
            "come.", least=0),
    Setting("vm_hours_month", float, "hours", 0.0, "Hours of its workers that may be spent within 30 days; "
            "0: no limit.", least=0),
    Setting("vm_hours_batch", float, "hours", 0.0, "Hours of its workers that a batch may use before it is "
            "paused; resumed, it gets as many again; 0: no limit.", least=0),
    # --- how long things take
    Setting("boot_seconds", float, "seconds", 60.0, "How long a worker takes from the request to its hello, until that "
            "was measured.", least=0),
    Setting("boot_timeout_seconds", float, "seconds", 900.0, "A machine whose worker has not said hello after this is "
            "replaced; sooner once boots were measured.", least=0.1),
    Setting("orphan_after_seconds", float, "seconds", 7200.0, "After how long without a boss its workers end what they "
            "run, and themselves.", least=0.1),
    # --- what its workers are
    Setting("slots", int, "tasks", 0, "How many tasks a worker runs at once; 0: as many as its machine has cores.",
            least=0),
    Setting("cost", float, "price", 1.0, "What an hour of a worker costs, in any unit: cheaper pools are used first.",
            least=0),
    Setting("priority", int, "rank", 0, "Pools of a higher one are used before those of a lower one, whatever they "
            "cost."),
    Setting("placement", str, "name", "auto", "How its workers give tasks their inputs, as the setting of that name.",
            choices=("auto", "copy", "link")),
    # --- opennebula
    Setting("template", str, "name", "", "OpenNebula: name or number of the template of its machines; empty: "
            "opennebula_template."),
    Setting("network", str, "name", "", "OpenNebula: network of its machines, or owner/network; empty: "
            "opennebula_network."),
    Setting("init_network", str, "name", "", "OpenNebula: network of a second NIC that a machine has only while init "
            "tasks run on it; empty: none."),
    Setting("halt_when_orphaned", bool, "truth", True, "OpenNebula: a worker cut off for longer than "
            "orphan_after_seconds halts its machine."),
    # --- static
    Setting("known_hosts", Path, "path", None, "Static: file of the hosts' keys, as ssh has it; empty: each host names "
            "its fingerprint."),
    Setting("home", str, "path", "ecloud-worker", "Static: directory of the agent on the host, below the user's home "
            "unless absolute."),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in POOL_SETTINGS}
FORMER = former_names(BY_NAME)
#: Values that are no single words, the last one for a provider of another package: type, type of what is in it, and how
#: that is called.
TABLES: dict[str, tuple[type[dict[str, Any]] | type[list[Any]], type | UnionType, str]] = {
    "labels": (dict, str, 'a table of texts, such as { engine = "2.3" }'),
    "hosts": (list, str | dict, 'a list of hosts, each a text such as "ecloud@10.0.0.5:22 SHA256:..." or a table'),
    "options": (dict, object, "a table"),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}\Z")
#: Names of pools that settings may not use: of the boss's own processes.
OWN = "local"


@dataclass(repr=False)
class PoolValues(Values):
    """One pool as the settings say it."""

    name: str

    def shown(self) -> Iterator[ShownSetting]:
        """All that holds."""
        shown = {setting.name: masked(setting, self.values[setting.name]) for setting in POOL_SETTINGS}
        shown |= {name: str(self.values[name]) for name in TABLES if name in self.origins}
        for name, value in shown.items():
            yield ShownSetting(f"pools.{self.name}.{name}", value, self.origins.get(name, "default"))


def new_pool(name: str) -> PoolValues:
    """With every default."""
    tables = {key: kind() for key, (kind, _, _) in TABLES.items()}
    return PoolValues({setting.name: setting.default for setting in POOL_SETTINGS} | tables, {}, name)


def read_pools(
    given: object, origin: str, base: Path, pools: dict[str, PoolValues], faults: list[str], warnings: list[str]
) -> None:
    """Take what the `pools` table of one file says over what earlier ones said; a line for each fault and warning."""
    if not isinstance(given, Mapping):
        faults.append(f"{origin}: pools must be tables, such as [pools.cloud]")
        return
    for name, table in given.items():
        if not NAME.match(name) or name == OWN:
            why = (
                "is the boss's own; local_workers says how many it has"
                if name == OWN
                else ("must be letters, digits, '_' and '-', at most 31, beginning with a letter or digit")
            )
            faults.append(f"{origin}: the pool name {name!r} {why}")
        elif not isinstance(table, Mapping):
            faults.append(f"{origin}: pools.{name} must be a table: [pools.{name}]")
        else:
            _read_pool(pools.setdefault(name, new_pool(name)), table, origin, base, faults, warnings)


def _read_pool(
    pool: PoolValues,
    table: Mapping[str, object],
    origin: str,
    base: Path,
    faults: list[str],
    warnings: list[str],
) -> None:
    place = f"{origin}, [pools.{pool.name}]"
    seen: dict[str, str] = {}
    for written, value in table.items():
        key = FORMER.get(written, written)
        if key in seen:
            faults.append(f"{place}: {written} sets again what {seen[key]} sets; keep {key}")
            continue
        seen[key] = written
        if written != key:
            warnings.append(f"{place}: {renamed(written, key)}")
        try:
            if key in TABLES:
                pool.values[key] = _table(key, value)
            elif key in BY_NAME:
                pool.values[key] = parse(BY_NAME[key], value, base)
            else:
                suggestion = did_you_mean(key, [*BY_NAME, *TABLES])
                faults.append(f"{place}: {key} is no setting of a pool{suggestion}")
                continue
        except ConfigurationError as error:
            faults.append(f"{place}: {written} {error}")
            continue
        pool.origins[key] = origin


def check_pool(pool: PoolValues, faults: list[str]) -> None:
    """What must agree."""
    where = f"{pool.origins.get('max') or pool.origins.get('min') or 'settings'}, [pools.{pool.name}]"
    if pool.role == "datastore":
        pool.values["min"], pool.values["max"], pool.values["spare"] = 1, 1, 0
    if pool.provider == "static":
        if not pool.hosts:
            faults.append(f'{where}: a static pool needs hosts, such as hosts = ["ecloud@10.0.0.5 SHA256:..."]')
        if "max" not in pool.origins:
            pool.values["max"] = len(pool.hosts)
    if pool.min > pool.max:
        faults.append(f"{where}: min ({pool.min}) must be at most max ({pool.max})")


def _table(key: str, value: object) -> Any:
    kind, inside, wanted = TABLES[key]
    if isinstance(value, kind) and all(
        isinstance(each, inside) for each in (value.values() if isinstance(value, dict) else value)
    ):
        return value
    raise ConfigurationError(f"is {value!r}; it must be {wanted}")
