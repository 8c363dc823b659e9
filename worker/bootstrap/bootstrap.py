"""The first program of a machine that the boss started: keeps its context, fetches the bundle, hands over to it.

One file of the standard library, for it is all that a machine has at first: where worker/startup.sh is handed out, this
is put inside. `start` returns at once and may be repeated; `keep` stays until it can hand over.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

#: In the folder of settings: what the machine was given; the lock of its keeper; which bundle it has.
CONTEXT_FILE, LOCK, BUNDLE = "guest.json", "keeper.lock", "bundle.json"
#: Where the keeper's lock is after the hand-over: a descriptor's number.
LOCK_VARIABLE = "ECLOUD_KEEPER_LOCK"
API = "/api/v1/guests"  # wire.http.GUESTS; this file runs before `wire` is there
SECONDS = 30.0
LONGEST_PAUSE = 30.0
#: Exit codes of a keeper: an unusable context; refused by the boss. A retry mends neither.
UNUSABLE, REFUSED = 2, 3
UNIT = """\
[Unit]
Description=ecloud on a machine that its boss started
Wants=network-online.target
After=network-online.target ssh.service

[Service]
ExecStart={python} -P {program} keep {settings}
StandardOutput=append:{log}
StandardError=append:{log}
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2 3
KillMode=mixed
TimeoutStopSec=60
UMask=0022
"""


class InstanceBootstrapError(Exception):
    """Root of what ends a bootstrap; the text is a sentence."""


class BossAwayError(InstanceBootstrapError):
    """The environment: not now; trying again later may help."""


class BootstrapRefusedError(InstanceBootstrapError):
    """The boss, or what the machine was given: trying again does not help."""


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} ecloud: {text}\n")
    sys.stderr.flush()


# --- the context, and where things are --------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    programs: Path
    settings: Path
    state: Path
    log: Path


def places(context: Mapping[str, str]) -> Places:
    """Root's are those of the system; of another user all is in one folder of its own, as of root where it says so."""
    if os.geteuid() == 0 and not context.get("ECLOUD_GUEST_ROOT"):
        return Places(Path("/opt/ecloud"), Path("/etc/ecloud"), Path("/var/lib/ecloud"), Path("/var/log/ecloud.log"))
    home = context.get("ECLOUD_WORKER_HOME", "")
    root = Path(context.get("ECLOUD_GUEST_ROOT") or (os.path.dirname(home) if home else Path.home() / "ecloud-guest"))
    return Places(root / "programs", root / "settings", root / "state", root / "ecloud.log")


def mark(context: Mapping[str, str]) -> list[str]:
    """Which instance this is: what was kept for another (a machine made from the disk of a used one) is not used."""
    return [context.get(f"ECLOUD_{word}", "") for word in ("DEPLOYMENT", "WORKER_ID", "INSTANCE")]


def kind() -> str:
    """Of bundle that this Python on this machine needs."""
    return f"{sys.version_info.major}.{sys.version_info.minor}-{platform.machine()}"


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Whole or not at all, with this mode from the first byte on."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


# --- the bundle --------------------------------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token is for the boss, not for whoever the answer names."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def ask(url: str, token: str, body: bytes | None = None) -> http.client.HTTPResponse:
    """The boss's answer, past no proxy. Raises BossAwayError or BootstrapRefusedError with a sentence."""
    if not url.startswith(("http://", "https://")):
        raise BootstrapRefusedError(f"ECLOUD_BOSS_URL cannot be used: {url} is no address of HTTP")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        answer: http.client.HTTPResponse = opener.open(urllib.request.Request(url, body, headers), timeout=SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            sentence = f"{url} answers {error.code}: {_said(error)}"
        raise (BossAwayError if error.code >= 500 or error.code == 429 else BootstrapRefusedError)(sentence) from None
    except (OSError, http.client.HTTPException) as error:
        raise BossAwayError(f"{url} does not answer: {getattr(error, 'reason', None) or error}") from None
    except ValueError as error:
        raise BootstrapRefusedError(f"ECLOUD_BOSS_URL cannot be used: {error}") from None
    return answer


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(65536))["error"])[:500]
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return str(error.reason)


def fetch(url: str, token: str, digest: str, into: Path) -> None:
    """The bundle of this digest. Raises BossAwayError, BootstrapRefusedError."""
    with ask(url, token) as answer:
        try:
            copy_checked(answer, digest, into)
        except http.client.HTTPException as error:
            raise BossAwayError(f"{url}: the answer broke off: {error}") from None


def copy_checked(source: Any, digest: str, into: Path) -> None:
    """Into a file, if it is what the digest says."""
    content = hashlib.blake2b(digest_size=32)
    temporary = into.with_name(f".{into.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            while piece := source.read(256 * 1024):
                content.update(piece)
                file.write(piece)
        if (found := f"b2:{content.hexdigest()}") != digest:
            raise BootstrapRefusedError(f"the bundle is {found}, and {digest} was expected: it is not used")
        temporary.replace(into)
    except OSError as error:
        raise BossAwayError(f"{into} was not written: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def folder_of(digest: str, programs: Path) -> Path:
    if not re.fullmatch("b2:[0-9a-f]{64}", digest):
        raise BootstrapRefusedError(f"{digest[:80]!r} is no digest of a bundle")
    return programs / digest.removeprefix("b2:")


def unpack(archive: Path, digest: str, programs: Path) -> Path:
    """At once whole, and compiled: who runs it may not write there."""
    folder = folder_of(digest, programs)
    temporary = programs / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        with tarfile.open(archive, "r:gz") as file:
            for entry in file:
                if not entry.isfile() or entry.name.startswith("/") or ".." in entry.name.split("/"):
                    raise BootstrapRefusedError(f"the bundle has an entry that none has: {entry.name!r}")
                path = temporary / entry.name
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                content = file.extractfile(entry)
                assert content is not None
                with content, open(path, "xb") as copy:
                    shutil.copyfileobj(content, copy, 1024 * 1024)
                    os.fchmod(copy.fileno(), 0o755 if entry.mode & 0o111 else 0o644)
        compiling = [sys.executable, "-P", "-m", "compileall", "-q", "-j", "0", os.fspath(temporary)]
        subprocess.run(compiling, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
        os.sync()
        if not folder.exists():
            temporary.rename(folder)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise BossAwayError(f"the bundle cannot be unpacked: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def install(digest: str, programs: Path, get: Callable[[Path], None]) -> Path:
    """The folder of this bundle; if it is missing, `get` puts the archive at a path. Raises as `get` and `unpack`."""
    folder = folder_of(digest, programs)
    if not folder.is_dir():
        archive = programs / f"{folder.name}.tar.gz"
        try:
            get(archive)
            unpack(archive, digest, programs)
        finally:
            archive.unlink(missing_ok=True)
    return folder


def ensure_bundle(context: Mapping[str, str], where: Places) -> Path:
    """The folder of this machine's bundle, fetched if it is not there. Raises BossAwayError, BootstrapRefusedError."""
    kept = read_json(where.settings / BUNDLE)
    if kept.get("of") == mark(context) and (folder := folder_of(str(kept["digest"]), where.programs)).is_dir():
        return folder
    #: Kind -> digest of each bundle that the boss has.
    have = dict(item.split("=", 1) for item in context.get("ECLOUD_BUNDLES", "").split() if "=" in item)
    digest = have.get(kind())
    if digest is None:
        known = ", ".join(sorted(have)) or "none"
        raise BootstrapRefusedError(f"the boss has no bundle for Python and machine {kind()}; it has {known}")

    def get(archive: Path) -> None:
        if context.get("ECLOUD_BUNDLE_FILE"):
            with open(context["ECLOUD_BUNDLE_FILE"], "rb") as file:
                copy_checked(file, digest, archive)
        else:
            url = f"{context['ECLOUD_BOSS_URL'].rstrip('/')}{API}/{context['ECLOUD_WORKER_ID']}/bundle/{kind()}"
            fetch(f"{url}?digest={digest}", context["ECLOUD_START_TOKEN"], digest, archive)

    folder = install(digest, where.programs, get)
    write_private(where.settings / BUNDLE, json.dumps({"of": mark(context), "digest": digest}))
    return folder


# --- start and keep ----------------------------------------------------------------------------------------


def start(environ: Mapping[str, str]) -> int:
    """Keep this machine's context, and see that its keeper runs. Returns at once."""
    context = {name: value for name, value in environ.items() if name.startswith("ECLOUD_")}
    where = places(context)
    for folder in (where.programs, where.settings, where.state):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if read_json(where.settings / CONTEXT_FILE) != context:
        write_private(where.settings / CONTEXT_FILE, json.dumps(context, indent=1))
    lock = take_lock(where.settings)
    if lock is None:
        say("it runs already")
        return 0
    os.close(lock)
    program = where.programs / "bootstrap.py"
    if Path(__file__).resolve() != program.resolve():
        write_private(program, Path(__file__).read_text(encoding="utf-8"), 0o644)
    systemd = os.geteuid() == 0 and os.path.isdir("/run/systemd/system")
    return _by_systemd(program, where) if systemd else _detached(program, where)


def _by_systemd(program: Path, where: Places) -> int:
    unit = UNIT.format(python=sys.executable, program=program, settings=where.settings, log=where.log)
    write_private(Path("/run/systemd/system/ecloud-guest.service"), unit, 0o644)
    for command in (["systemctl", "daemon-reload"], ["systemctl", "start", "--no-block", "ecloud-guest.service"]):
        code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        if code:
            say(f"{' '.join(command)} ended with {code}")
            return 1
    return 0


def _detached(program: Path, where: Places) -> int:
    command = [sys.executable, "-P", os.fspath(program), "keep", os.fspath(where.settings)]
    with open(where.log, "ab") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
    return 0


def take_lock(settings: Path) -> int | None:
    """None: a keeper has it."""
    descriptor = os.open(settings / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def retry_while_away(work: Callable[[], T]) -> T:
    """Its result; retried for as long as it raises BossAwayError."""
    pause = 1.0
    while True:
        try:
            return work()
        except BossAwayError as error:
            say(f"{error}; trying again in {pause:g} s")
        time.sleep(pause)  # no event says that the boss is back
        pause = min(pause * 2, LONGEST_PAUSE)


def exit_code_of(error: Exception) -> int:
    """Log what a retry does not mend; the exit code for it. A KeyError: what its context lacks."""
    if isinstance(error, KeyError):
        say(f"this machine's context has no {error}")
        return UNUSABLE
    say(str(error))
    return REFUSED


def keep(settings: Path) -> int:
    """Until there is a bundle; then its keeper takes this process over."""
    lock = take_lock(settings)
    if lock is None:
        say("it runs already")
        return 0

    def bundle() -> Path:
        context = read_json(settings / CONTEXT_FILE)  # each time: another start may have replaced it
        return ensure_bundle(context, places(context))

    try:
        folder = retry_while_away(bundle)
    except (BootstrapRefusedError, KeyError) as error:
        return exit_code_of(error)
    os.set_inheritable(lock, True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ECLOUD_", "PYTHON"))}
    environment |= {"PYTHONPATH": os.fspath(folder), LOCK_VARIABLE: str(lock)}
    command = [sys.executable, "-P", "-m", "worker.bootstrap", os.fspath(settings)]
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    sys.exit(start(os.environ) if sys.argv[1:] == ["start"] else keep(Path(sys.argv[2])))
