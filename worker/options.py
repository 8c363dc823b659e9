"""How a worker agent is configured at its start: one table of options, each with its environment variable.

Reads values and checks them, all faults at once; opens the password's file, and writes down what it was started with.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wire.messages import MAX_LABEL, MAX_LABELS, MAX_SLOTS
from wire.topics import WORKER_ID
from worker.bootstrap.bootstrap import write_private
from worker.errors import WorkerError

#: In the home: what the agent was started with, replaced at each start.
START_FILE = "agent.env"
#: The folder that holds the packages.
ROOT = Path(__file__).resolve().parent.parent


class OptionError(WorkerError):
    """Some options cannot be used; one line each."""


@dataclass(frozen=True)
class Option:
    name: str
    variable: str
    parse: Callable[[str], Any]
    #: None: it must be given.
    default: Any
    sentence: str


@dataclass(frozen=True)
class WorkerOptions:
    """The values, checked."""

    id: str
    broker_host: str
    broker_port: int
    username: str
    password: str
    mqtt_prefix: str
    tls_ca: str
    tls_certificate: str
    tls_key: str
    deployment: str
    home: Path
    slots: int
    memory: int
    pool: str
    labels: dict[str, str]
    place: str
    address: str
    ssh_port: int
    ssh_user: str
    ssh_host_keys: str
    ssh_host_key: str
    orphan_after: float
    halt_when_orphaned: bool
    halt_command: str
    bundle: str
    given_up: str
    boss_url: str
    heartbeat: float
    grace: float
    cache_limit: int
    placement: Literal["auto", "copy", "link"]
    output_limit: int
    attempt_disk: int
    log_level: str


def _worker_id(text: str) -> str:
    if not WORKER_ID.match(text):
        raise ValueError("letters, digits, '.', '_' and '-', at most 63, beginning with a letter or digit")
    return text


def _whole(minimum: int, maximum: int = 2**53 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"-?[0-9]{1,20}", text.strip()) else None
        if value is None or not minimum <= value <= maximum:
            raise ValueError(f"a whole number from {minimum}" + (f" to {maximum}" if maximum < 2**53 - 1 else ""))
        return value

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise ValueError("a number of seconds above 0")
    return value


def _labels(text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError('a JSON object of texts such as {"engine": "2.3"}')
    if len(value) > MAX_LABELS or any(len(text) > MAX_LABEL for pair in value.items() for text in pair):
        raise ValueError(f"at most {MAX_LABELS} labels, with at most {MAX_LABEL} characters in each name and value")
    return value


def _name(text: str) -> str:
    if len(text) > MAX_LABEL:
        raise ValueError(f"at most {MAX_LABEL} characters")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in ("0", "1", "no", "yes", "false", "true"):
        raise ValueError("0 or 1")
    return text.lower() in ("1", "yes", "true")


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join(words))
        return text

    return parse


OPTIONS = [
    Option("id", "ECLOUD_WORKER_ID", _worker_id, None, "This worker's id; no other agent may have it."),
    Option("broker_host", "ECLOUD_BROKER_HOST", str, "127.0.0.1", "Where the MQTT broker is."),
    Option("broker_port", "ECLOUD_BROKER_PORT", _whole(1, 65535), 1883, "The broker's port."),
    Option("username", "ECLOUD_WORKER_USERNAME", str, "", "MQTT login; empty: the worker's id."),
    Option("password_file", "ECLOUD_WORKER_PASSWORD_FILE", str, "", "File that holds the login's password."),
    Option("mqtt_prefix", "ECLOUD_MQTT_PREFIX", str, "ecloud", "Beginning of all topics."),
    Option("tls_ca", "ECLOUD_BROKER_TLS_CA", str, "", "Certificates to verify the broker by; set: TLS is used."),
    Option("tls_certificate", "ECLOUD_BROKER_TLS_CERT", str, "", "Its own certificate, if the broker asks; TLS."),
    Option("tls_key", "ECLOUD_BROKER_TLS_KEY", str, "", "The key of that certificate."),
    Option("deployment", "ECLOUD_DEPLOYMENT", str, "", "Id of the deployment; empty: that of the first boss seen."),
    Option("home", "ECLOUD_WORKER_HOME", Path, Path("ecloud-worker"), "Directory for attempts and the input cache."),
    Option("slots", "ECLOUD_SLOTS", _whole(0, MAX_SLOTS), 0, "Attempts at once; 0: as many as there are cores."),
    Option("memory", "ECLOUD_WORKER_MEMORY", _whole(0), 0, "Bytes of memory for attempts; 0: what the machine has."),
    Option("pool", "ECLOUD_POOL", _name, "", "The pool that this worker belongs to."),
    Option("labels", "ECLOUD_LABELS", _labels, {}, "What this worker offers, a JSON object."),
    Option("place", "ECLOUD_WORKER_PLACE", _one_of("local", "ssh"), "local", "How the datastore reaches the home."),
    Option(
        "address",
        "ECLOUD_WORKER_ADDRESS",
        _name,
        "",
        "This machine's address as others see it; empty: the one by which it speaks to the broker.",
    ),
    Option("ssh_port", "ECLOUD_WORKER_SSH_PORT", _whole(1, 65535), 22, "Port of this machine's sshd, for place ssh."),
    Option("ssh_user", "ECLOUD_WORKER_SSH_USER", str, "", "The user it logs in as; empty: the agent's own."),
    Option(
        "ssh_host_keys",
        "ECLOUD_WORKER_SSH_HOST_KEYS",
        str,
        "/etc/ssh/ssh_host_*_key.pub",
        "This machine's public SSH host keys: a pattern of paths.",
    ),
    Option(
        "ssh_host_key",
        "ECLOUD_WORKER_SSH_HOST_KEY",
        str,
        "",
        "The public key that its sshd has shown to who started the agent; empty: those of the files.",
    ),
    Option("orphan_after", "ECLOUD_ORPHAN_AFTER", _seconds, 600.0, "Seconds without a boss before the agent ends."),
    Option(
        "halt_when_orphaned",
        "ECLOUD_HALT_WHEN_ORPHANED",
        _truth,
        False,
        "Without a boss for that long, halt this machine, if a boss started it; else the agent alone ends.",
    ),
    Option("halt_command", "ECLOUD_HALT_COMMAND", str, "", "What halts it; empty: whoever started the agent does it."),
    Option("bundle", "ECLOUD_BUNDLE", str, "", "The bundle that this is: Python-machine=digest; empty: none."),
    Option("given_up", "ECLOUD_GIVEN_UP", str, "", "Digest of a bundle that did not serve here: not fetched again."),
    Option("boss_url", "ECLOUD_BOSS_URL", str, "", "Where the boss answers HTTP; a new bundle comes from there only."),
    Option(
        "heartbeat", "ECLOUD_HEARTBEAT_SECONDS", _seconds, 5.0, "Seconds between signs of life, until the boss sets it."
    ),
    Option("grace", "ECLOUD_GRACE_SECONDS", _seconds, 5.0, "Seconds between TERM and KILL of an attempt."),
    Option("cache_limit", "ECLOUD_CACHE_LIMIT_BYTES", _whole(0), 10 * 1024**3, "Bytes of inputs kept in the cache."),
    Option(
        "placement",
        "ECLOUD_PLACEMENT",
        _one_of("auto", "copy", "link"),
        "auto",
        "How inputs get from the cache "
        "to a task; auto: by shared blocks where the file system can, else by copy; link: read-only hard links.",
    ),
    Option("output_limit", "ECLOUD_OUTPUT_LIMIT_BYTES", _whole(2), 10 * 1024**2, "Bytes kept of each output stream."),
    Option(
        "attempt_disk",
        "ECLOUD_ATTEMPT_DISK_BYTES",
        _whole(0),
        0,
        "Bytes that one attempt may write beyond its inputs; 0: as many as the disk holds.",
    ),
    Option(
        "log_level", "ECLOUD_LOG_LEVEL", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "How much is logged."
    ),
]


def read_options(arguments: Sequence[str], environ: Mapping[str, str]) -> WorkerOptions:
    """From the command line, else the environment, else the default. Raises OptionError with every fault."""
    given = vars(_parser().parse_args(arguments))
    faults: list[str] = []
    values = {option.name: _value(option, given, environ, faults) for option in OPTIONS}
    password_file = values.pop("password_file")
    values["password"] = _password(password_file, faults) if password_file else ""
    if faults:
        raise OptionError("\n".join(faults))
    values["username"] = values["username"] or values["id"]
    values["slots"] = values["slots"] or len(os.sched_getaffinity(0))
    values["memory"] = values["memory"] or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return WorkerOptions(**values)


def address_of(options: WorkerOptions) -> str:
    """This machine's, as others see it: as given, or that by which it speaks to the broker, else its name."""
    try:
        return options.address or own_address(options.broker_host, options.broker_port)
    except OSError:
        return socket.gethostname()


def own_address(host: str, port: int) -> str:
    """Of the interface that the route to `host` leaves by. Raises OSError: unknown name, no route."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


def host_keys(options: WorkerOptions) -> dict[str, str]:
    """The public SSH host keys that the agent states, each as a line -> the file, or the variable, that it is of.

    A file that cannot be read is passed over.
    """
    if options.ssh_host_key:
        return {options.ssh_host_key: "ECLOUD_WORKER_SSH_HOST_KEY"}
    found: dict[str, str] = {}
    for path in sorted(glob.glob(options.ssh_host_keys)):
        try:
            found[Path(path).read_text(encoding="ascii").strip()] = path
        except (OSError, UnicodeDecodeError):
            continue
    return found


def write_start(home: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """How the agent of this home was started, for worker/debug.sh, which an operator runs there. Raises OSError.

    Lines for a shell, without any secret: a password stands in a file of its own, which is only named.
    """
    write_private(home / START_FILE, start_lines(given_values(arguments, environ), os.getcwd()))


def start_lines(given: Mapping[str, str], folder: str) -> str:
    lines = [
        "# How the agent of this home was started. Read by worker/debug.sh; written at each start.",
        f"ecloud_python={shlex.quote(sys.executable)}",
        f"ecloud_root={shlex.quote(os.fspath(ROOT))}",
        f"cd {shlex.quote(folder)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in given.items()),
    ]
    return "\n".join(lines) + "\n"


def given_values(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """What was said, by variable, wherever it was said: the agent that these start is the same."""
    given = vars(_parser().parse_args(arguments))
    said = {option.variable: given[option.name] or environ.get(option.variable) for option in OPTIONS}
    return {variable: value for variable, value in said.items() if value}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description="The worker agent: takes attempts from the boss, runs their commands, reports.",
        epilog="TERM once: give back what has not begun, finish the rest, end. TERM again: kill what runs and end. "
        "Exit codes: 0 stopped, 1 no boss or another agent, 2 bad options, 3 the home cannot be used, "
        "4 the boss's version is fetched and to be started in its place, 5 no boss, and the machine is to be halted.",
    )
    for option in OPTIONS:
        default = "must be given" if option.default is None else f"default {option.default}"
        text = f"{option.sentence} [{option.variable}; {default}]".replace("%", "%%")
        alone: dict[str, Any] = {"nargs": "?", "const": "1"} if option.parse is _truth else {}
        parser.add_argument("--" + option.name.replace("_", "-"), metavar="VALUE", help=text, **alone)
    return parser


def _value(option: Option, given: Mapping[str, Any], environ: Mapping[str, str], faults: list[str]) -> Any:
    place = "--" + option.name.replace("_", "-")
    text = given[option.name]
    if text is None:
        text, place = environ.get(option.variable), option.variable
    if text is None or (text == "" and option.default is not None):
        if option.default is None:
            faults.append(f"{option.variable} (or --{option.name}) must be given: {option.sentence}")
        return option.default
    try:
        return option.parse(text)
    except ValueError as error:
        faults.append(f"{place} is {text!r}, and must be {error}")
        return None


def _password(path: str, faults: list[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"the password file {path} cannot be read: {getattr(error, 'strerror', None) or error}")
        return ""
