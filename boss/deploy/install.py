"""What is put on the boss's machine, and started there: the program's bundle, settings, tokens, a unit. Safe to repeat;
what is there already is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from boss.deploy import settings_text
from boss.deploy.errors import DeployError
from boss.deploy.remote import BossHost
from boss.embedded.environments import ROOT

_SCRIPT = "/etc/ecloud/boss-install.sh"
_UNIT = "/etc/systemd/system/ecloud-boss.service"
#: python and machine -> (the bundle's file, its digest). May take minutes; raises DeployError.
BundleFor = Callable[[str, str], tuple[Path, str]]


def install(remote: BossHost, files: dict[str, str], bundle_for: BundleFor, say: Callable[[str], None]) -> None:
    """`files`: path there -> content, secrets of the boss's user. Raises DeployError."""
    remote.run("mkdir -p /etc/ecloud")
    _put(remote, _SCRIPT, _template("boss-install.sh"), "700")
    facts = dict(line.partition(" ")[::2] for line in _run(remote, "prepare", seconds=900.0).splitlines())
    python, _, machine = facts.get("python", "").partition(" ")
    if not machine:
        raise DeployError("the boss's machine has no python3 of its own: take an image of Debian 12 or Ubuntu 24.04")
    bundle, digest = bundle_for(python, machine)
    folder = f"boss-{digest.removeprefix('b2:')[:32]}"
    new = facts.get("program") != folder
    if new:
        say(f"Sending the boss's program for Python {python} ({bundle.stat().st_size / 1e6:.0f} MB) ...")
        remote.run(f"exec sh {_SCRIPT} unpack {folder}", given=bundle.read_bytes(), seconds=3600.0)
    for path, content in files.items():
        owner = "ecloud:" if path.startswith(f"{settings_text.FOLDER}/") else "root"
        new = _put(remote, path, content, "600", owner) or new
    new = _put(remote, "/etc/ecloud/start-boss", _template("start-boss"), "755") or new
    if remote.run("[ ! -d /run/systemd/system ] || echo yes"):
        new = _put(remote, _UNIT, _template("ecloud-boss-machine.service"), "644") or new
    say("Starting the boss ..." if new else "All of it is there already; the boss is started if it does not run ...")
    _run(remote, "start", "yes" if new else "no")


def log_tail(remote: BossHost) -> str:
    """The end of what the boss said there."""
    return remote.run(
        "if [ -d /run/systemd/system ]; then journalctl -q -n 15 --no-pager -u ecloud-boss; "
        "else tail -n 15 /var/log/ecloud-boss.log; fi 2>&1 || true"
    )


def _run(remote: BossHost, *words: str, seconds: float = 120.0) -> str:
    return remote.run(f'exec sh {_SCRIPT} "$@"', *words, seconds=seconds)


def _put(remote: BossHost, path: str, content: str, mode: str, owner: str = "root") -> bool:
    """True: it was not there, or otherwise."""
    wanted = hashlib.sha256(content.encode()).hexdigest()
    there = remote.run('sha256sum "$1" 2>/dev/null | cut -c1-64 || true', path)
    if there == wanted:
        return False
    remote.write(path, content.encode(), mode, owner)
    return True


def _template(name: str) -> str:
    return (ROOT / "templates" / name).read_text()
