"""Every setting of ecloud, declared once, and how its value is found.

The table below is the only place where a setting has a name, a type, a unit, a default and a sentence;
docs/settings.md is written from it. Values come, later ones winning, from the defaults,
/etc/ecloud/settings.toml, settings.toml in the state directory (before it deployed.toml, where admin.py deploy
wrote one), ECLOUD_<NAME> in the environment, and options of the command line. Only programs import this module, and
hand values on; it knows nothing of what the values are for. How a word becomes a value is
`boss.configuration`, where the state directory is, `boss.state_directory.find`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from boss.common.suggestions import did_you_mean
from boss.configuration.pools import PoolValues, check_pool, new_pool, read_pools
from boss.configuration.values import (
    ConfigurationError,
    Setting,
    SettingsError,
    ShownSetting,
    Value,
    Values,
    former_names,
    masked,
    parse,
    renamed,
)

SYSTEM_FILE = Path("/etc/ecloud/settings.toml")
#: Below the state directory.
FILE = "settings.toml"
#: Written by admin.py deploy: where the boss is that it made. What users write in the other file wins.
DEPLOYED_FILE = "deployed.toml"
PREFIX = "ECLOUD_"
#: Where a value came from when it is not set.
DEFAULT = "default"

#: A file that holds a secret is no longer.
_SECRET_BYTES = 64 * 1024

MIB = 1024**2
GIB = 1024**3

SETTINGS: tuple[Setting, ...] = (
    # --- where things are
    Setting("database", str, "URL", "", "SQLAlchemy URL of the boss's database, such as "
            "mysql+pymysql://ecloud:password@host/ecloud; empty: SQLite in the state directory.", secret=True),
    Setting("datastore_tree", Path, "path", None, "Directory in which inputs and results live; "
            "empty: ecloud-data beside the state directory."),
    Setting("datastore_host", str, "address", "", "The host on which the datastore's program runs, started there "
            "manually or by its unit; empty: the boss starts it on its own machine."),
    Setting("boss_address", str, "address", "", "What other hosts call the boss's machine: for the files that "
            "admin.py login makes, and as a name by which HTTP requests may ask; empty: its host name."),
    # --- HTTP
    Setting("http_host", str, "address", "127.0.0.1", "Address on which the boss answers HTTP."),
    Setting("http_port", int, "port", 0, "Port on which the boss answers HTTP; "
            "0: one that is free, kept in the state directory and used again.", least=0, most=65535),
    Setting("boss_url", str, "URL", "", "For push_tasks.py and admin.py: a boss that runs elsewhere, such as "
            "http://boss:8080; empty: the boss of the state directory."),
    Setting("token", str, "text", "", "Token of the HTTP API, beside the one that is made at the first start and "
            "kept in the state directory, where the programs on the boss's machine read it.", secret=True),
    # --- MQTT
    Setting("broker_host", str, "address", "", "MQTT broker; empty: the boss starts one of its own on loopback."),
    Setting("broker_port", int, "port", 0, "Port of the MQTT broker; 0: 1883, or 8883 with TLS, or for a broker of "
            "the boss's own one that is free, kept in the state directory.", least=0, most=65535),
    Setting("broker_listen", str, "address", "127.0.0.1", "Where the broker of the boss's own listens beside loopback, "
            "for datastore and workers on other hosts; 0.0.0.0: on every address. Needs Mosquitto."),
    Setting("broker_username", str, "text", "boss", "The boss's login at the MQTT broker; at one that is set by "
            "broker_host also that of the datastore and the workers that the boss starts beside itself."),
    Setting("broker_password", str, "text", "", "Password of that login; a broker of the boss's own has one made.",
            secret=True),
    Setting("broker_tls_ca", Path, "path", None, "Certificates that the broker's own is checked against; "
            "set: the link uses TLS."),
    Setting("broker_tls_cert", Path, "path", None, "The boss's own certificate, where the broker asks for one."),
    Setting("broker_tls_key", Path, "path", None, "The key of that certificate."),
    Setting("embedded_broker", str, "name", "auto", "Which broker the boss starts when it starts one; "
            "auto: Mosquitto if it is installed, else amqtt.", choices=("auto", "mosquitto", "amqtt")),
    Setting("mqtt_prefix", str, "topic", "ecloud", "First part of every MQTT topic of this deployment."),
    # --- workers
    Setting("local_workers", int, "workers", 1, "Worker processes that the boss starts on its own machine; "
            "none unless set where there are pools or datastore_host is.", least=0),
    Setting("slots", int, "tasks", 0, "How many tasks such a worker runs at once; 0: as many as the machine has cores.",
            least=0),
    Setting("heartbeat_seconds", float, "seconds", 5.0, "How often a worker that has nothing else to report sends "
            "a heartbeat.", least=0.05),
    Setting("lease_seconds", float, "seconds", 30.0, "How long the boss trusts a silent worker; after that its tasks "
            "go to others.", least=0.1),
    Setting("orphan_after_seconds", float, "seconds", 600.0, "After how long without a boss a worker ends what it "
            "runs, and itself.", least=0.1),
    Setting("prefetch_seconds", float, "seconds", 0.5, "How much work a worker is sent ahead of its free slots, "
            "measured by how long such tasks took.", least=0),
    Setting("prefetch_max", int, "tasks", 256, "The most tasks that a worker is sent ahead of its free slots.",
            least=0),
    # --- a cloud's workers
    Setting("opennebula_endpoint", str, "URL", "", "XML-RPC address of an OpenNebula cloud, such as "
            "https://cloud.example:2633/RPC2; set: workers are its machines."),
    Setting("opennebula_user", str, "text", "", "The account there."),
    Setting("opennebula_password", str, "text", "", "Its password, or a login token.", secret=True),
    Setting("opennebula_template", str, "name", "", "Name or number of the template of workers' machines there."),
    Setting("opennebula_network", str, "name", "", "Network of all machines there, or owner/network; empty: as in "
            "their templates."),
    Setting("opennebula_boss_template", str, "name", "", "Template of the boss's machine, which admin.py deploy makes; "
            "empty: as workers'."),
    Setting("opennebula_datastore_template", str, "name", "", "Template of the datastore's machine; empty: as "
            "workers'."),
    Setting("opennebula_datastore_disk", str, "name", "ecloud-data", "Persistent image of the datastore's machine, "
            "where results stay. Made by admin.py deploy where there is none of that name."),
    Setting("opennebula_datastore_disk_bytes", int, "bytes", 100 * 1000**3, "How large it is made.", least=1_000_000),
    Setting("opennebula_image", str, "name", "", "Image of an operating system, or owner/image, for the templates that "
            "admin.py templates makes."),
    Setting("opennebula_cpus", int, "cores", 1, "Cores of a worker's machine in that template.", least=1),
    Setting("opennebula_memory_bytes", int, "bytes", 2 * 1024**3, "Memory of a worker's machine in that template.",
            least=64 * 1024**2),
    Setting("opennebula_mark", str, "text", "", "Written by admin.py deploy: marks every machine of one deployment."),
    Setting("max_workers", int, "workers", 10, "How many machines of the cloud there may be where no [pools.NAME] sets "
            "it.", least=0),
    # --- tasks
    Setting("retries", int, "times", 0, "How often a failed task is retried, where its file does not set it.",
            least=0),
    Setting("retry_delay_seconds", float, "seconds", 1.0, "Pause before the first retry, where the task's file does "
            "not set it; doubled each time.", least=0),
    Setting("retry_delay_max_seconds", float, "seconds", 300.0, "The longest pause before a retry.", least=0),
    Setting("output_limit_bytes", int, "bytes", 10 * MIB, "How much of a task's output is kept, of each of stdout and "
            "stderr; of more, the beginning and the end.", least=1024),
    Setting("attempt_disk_bytes", int, "bytes", 0, "How much one attempt may write into its directory, beyond its "
            "inputs: one that writes more is stopped, and fails; 0: as much as the disk holds.", least=0),
    Setting("max_task_bytes", int, "bytes", MIB, "The longest description of one task that a push may hold.",
            least=4096, most=4 * MIB),
    Setting("max_push_bytes", int, "bytes", 4 * GIB, "The largest task file that the boss accepts.", least=MIB),
    Setting("probe_seconds", float, "seconds", 60.0, "After how long a worker quarantined for failures gets "
            "one task to prove itself; doubled each time that it fails; 0: only an operator releases it.", least=0),
    # --- files
    Setting("transfers_at_once", int, "transfers", 16, "How many transfers between datastore and workers run at once.",
            least=1),
    Setting("cache_limit_bytes", int, "bytes", 10 * GIB, "How much a worker's cache of input files may hold.", least=0),
    Setting("placement", str, "name", "auto", "How a worker gives its tasks their inputs; auto: sharing disk blocks "
            "where the file system can, else copies; link: hard links that no task may write to.",
            choices=("auto", "copy", "link")),
    Setting("spool_limit_bytes", int, "bytes", 100 * GIB, "How much the boss keeps of files sent with pushes until "
            "the datastore has them.", least=MIB),
    # --- the programs themselves
    Setting("journal_days", float, "days", 30.0, "How long the journal (admin.py events, admin.py story) is kept; "
            "0: for ever.", least=0),
    Setting("log_level", str, "name", "info", "How much the programs write to their logs.",
            choices=("debug", "info", "warning", "error")),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}
#: What a file or the environment may say: a secret may also be named by the file that holds it.
KEYS = {**BY_NAME, **{f"{setting.name}_file": setting for setting in SETTINGS if setting.secret}}
FORMER = former_names(KEYS)

#: The tables of a file that describe kinds of workers (`boss.configuration.pools`).
POOLS = "pools"

#: Variables of that prefix that are no settings: of the set-up, and what a worker tells its tasks.
OTHER_VARIABLES = frozenset(
    f"{PREFIX}{word}"
    for word in (
        "HOME VENV PYTHON TASK TASK_ID ATTEMPT BATCH PROJECT PROGRESS DEPLOYMENT POOL LABELS ORPHAN_AFTER "
        "WORKER WORKER_ID WORKER_HOME WORKER_PASSWORD_FILE DATASTORE_PASSWORD_FILE DATASTORE_SSH_KEY "
        "DATASTORE_HTTP_TOKEN_FILE"
    ).split()
)


@dataclass(repr=False)
class Settings(Values):
    """All settings that hold, and the pools."""

    #: By name: the kinds of workers beside the boss's own processes.
    pools: dict[str, PoolValues]
    #: A line for each former name that was written, with its place and the present name.
    warnings: tuple[str, ...]

    def origin(self, name: str) -> str:
        """`default`, a file with the line, an environment variable, or an option."""
        return self.origins[name]

    def is_set(self, name: str) -> bool:
        return self.origins[name] != DEFAULT

    def show(self) -> Iterator[ShownSetting]:
        for setting in SETTINGS:
            yield ShownSetting(setting.name, masked(setting, self.values[setting.name]), self.origins[setting.name])
        for pool in self.pools.values():
            yield from pool.shown()


@dataclass(frozen=True)
class _Given:
    """One value as written. `base`: what a relative path of it is relative to."""

    #: As it was written: one of KEYS, a former name of one, or POOLS.
    written: str
    value: object
    origin: str
    base: Path

    @property
    def key(self) -> str:
        return FORMER.get(self.written, self.written)


def load(
    state_directory: Path | None = None,
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    system_file: Path = SYSTEM_FILE,
) -> Settings:
    """The settings that hold here. Options that are None were not given. Raises SettingsError with all faults."""
    faults: list[str] = []
    warnings: list[str] = []
    layers = [_from_file(system_file, faults)]
    if state_directory is not None:
        layers.append(_from_file(state_directory / DEPLOYED_FILE, faults))
        layers.append(_from_file(state_directory / FILE, faults))
    layers.append(_from_environment(os.environ if environment is None else environment, faults))
    layers.append(_from_options(options or {}, faults))
    values: dict[str, Value] = {setting.name: setting.default for setting in SETTINGS}
    origins = dict.fromkeys(values, DEFAULT)
    pools: dict[str, PoolValues] = {}
    for layer in layers:
        _take(layer, values, origins, faults, warnings)
    for layer in layers:
        for given in layer:
            if given.key == POOLS:
                read_pools(given.value, given.origin, given.base, pools, faults, warnings)
    if values["opennebula_endpoint"] and not pools:
        pools["cloud"] = _cloud(values, origins)
    for pool in pools.values():
        check_pool(pool, faults)
    _check_together(values, origins, pools, faults)
    if faults:
        raise SettingsError(faults)
    return Settings(values, origins, pools, tuple(warnings))


def _cloud(values: Mapping[str, Value], origins: Mapping[str, str]) -> PoolValues:
    """The pool of who names a cloud and no pool."""
    pool = new_pool("cloud")
    pool.values["max"] = values["max_workers"]
    pool.origins["max"] = origins["max_workers"]
    return pool


def _take(
    layer: list[_Given], values: dict[str, Value], origins: dict[str, str], faults: list[str], warnings: list[str]
) -> None:
    seen: dict[str, str] = {}
    for given in layer:
        if given.key == POOLS:
            continue
        setting = KEYS[given.key]
        if setting.name in seen:
            faults.append(
                f"{given.origin}: {given.written} sets again what {seen[setting.name]} sets; keep one of them"
            )
            continue
        seen[setting.name] = given.origin
        if given.written != given.key:
            warnings.append(f"{given.origin}: {renamed(given.written, given.key)}")
        try:
            values[setting.name] = _value_of(setting, given)
            origins[setting.name] = given.origin
        except ConfigurationError as error:
            faults.append(f"{given.origin}: {given.written} {error}")


def _value_of(setting: Setting, given: _Given) -> Value:
    if given.key == setting.name:
        return parse(setting, given.value, given.base)
    path = given.base / Path(str(given.value)).expanduser()
    try:
        with path.open() as file:
            text = file.read(_SECRET_BYTES + 1)  # a device may have no end
        if len(text) > _SECRET_BYTES:
            raise ConfigurationError(f"names the file {path}, which is no secret: it has more than 64 KiB")
        return parse(setting, text.strip(), given.base)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not a text"
        raise ConfigurationError(f"names the file {path}, which cannot be read: {reason}") from None


# --- the layers ------------------------------------------------------------------------------------


def _from_file(path: Path, faults: list[str]) -> list[_Given]:
    try:
        text = path.read_text()
        content = tomllib.loads(text)
    except FileNotFoundError:
        return []
    except OSError as error:
        faults.append(f"{path} cannot be read: {error.strerror}")
        return []
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{path} is not TOML: {error}")
        return []
    lines = {name: _line_of(name, text) for name in content}
    faults.extend(
        f"{path}, line {lines[name]}: there is no setting {name!r}{did_you_mean(name, KEYS)}"
        for name in content
        if not _is_known(name) and name != POOLS
    )
    return [
        _Given(name, value, f"{path}, line {lines[name]}", path.parent)
        for name, value in content.items()
        if _is_known(name) or name == POOLS
    ]


def _line_of(name: str, text: str) -> int:
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(name)}[\"']?[ \t]*[]=.]", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _from_environment(environment: Mapping[str, str], faults: list[str]) -> list[_Given]:
    """A variable of our prefix that is no setting may be another program's; one that looks like a setting is a slip."""
    layer = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if _is_known(name):
            layer.append(_Given(name, environment[variable], f"{variable} in the environment", Path.cwd()))
        elif did_you_mean(name, KEYS, cutoff=0.8):
            faults.append(
                f"{variable} in the environment: there is no setting {name!r}{did_you_mean(name, KEYS, cutoff=0.8)}"
            )
    return layer


def _from_options(options: Mapping[str, object], faults: list[str]) -> list[_Given]:
    given = {name: value for name, value in options.items() if value is not None}
    faults.extend(
        f"--{name}: there is no setting {name!r}{did_you_mean(name, KEYS)}" for name in given if not _is_known(name)
    )
    return [_Given(name, value, f"--{name}", Path.cwd()) for name, value in given.items() if _is_known(name)]


def _is_known(name: str) -> bool:
    return name in KEYS or name in FORMER


# --- what must agree -------------------------------------------------------------------------------


def _check_together(
    values: dict[str, Value], origins: Mapping[str, str], pools: Mapping[str, PoolValues], faults: list[str]
) -> None:
    for smaller, larger, factor in (
        ("heartbeat_seconds", "lease_seconds", 2),
        ("lease_seconds", "orphan_after_seconds", 1),
        ("retry_delay_seconds", "retry_delay_max_seconds", 1),
    ):
        low, high = values[smaller], values[larger]
        if isinstance(low, int | float) and isinstance(high, int | float) and high < factor * low:
            times = "twice " if factor == 2 else ""
            origin = origins[larger] if origins[larger] != DEFAULT else origins[smaller]
            faults.append(f"{origin}: {larger} ({high:g}) must be at least {times}{smaller} ({low:g})")
    if values["token"] and not re.fullmatch(r"[!-~]+", str(values["token"])):
        faults.append(f"{origins['token']}: token must be of ASCII letters, digits and signs, without blanks")
    if pools and origins["local_workers"] == DEFAULT:
        values["local_workers"] = 0  # the work is done elsewhere, and this machine serves it
    stores = [pool for pool in pools.values() if pool.role == "datastore"]
    if len(stores) > 1:
        faults.append(f"[pools.{stores[1].name}]: there is one datastore, and [pools.{stores[0].name}] is its machine")
    if stores and values["datastore_host"]:
        faults.append(
            f"{origins['datastore_host']}: datastore_host and [pools.{stores[0].name}] both set where the datastore is"
        )
    if (values["datastore_host"] or stores) and values["local_workers"]:
        if origins["local_workers"] == DEFAULT:
            values["local_workers"] = 0
        else:
            faults.append(
                f"{origins['local_workers']}: local_workers must be 0 where the datastore has a host of its own: it "
                "reaches such workers on its own machine only. Start workers of this machine by what admin.py login "
                "gives, as those of other hosts"
            )
    if values["broker_host"] and origins["broker_listen"] != DEFAULT:
        origin, host = origins["broker_listen"], values["broker_host"]
        faults.append(f"{origin}: broker_listen is for a broker of the boss's own, and broker_host names {host}")
    if bool(values["broker_tls_cert"]) != bool(values["broker_tls_key"]):
        given = "broker_tls_cert" if values["broker_tls_cert"] else "broker_tls_key"
        faults.append(f"{origins[given]}: broker_tls_cert and broker_tls_key are set together or not at all")
