"""Which boss to use: the one that is configured, else the one of the state directory, started where none runs.

Knows files of the state directory, Linux processes and the client. A boss that is started has a session of its own.
Two pushes may start one each: the lock of the state directory lets one through, the other ends, and both pushes use
the one that answers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from boss.client.client import Client, ClientError
from boss.state_directory.boss_file import LOCK_FILE, running_boss
from boss.state_directory.tokens import TOKEN_FILE, read_token

LOG_FILE = Path("logs") / "boss.log"
_START_SECONDS = 90.0
#: How long a boss that another push started is waited for, after ours found the lock taken.
_OTHER_SECONDS = 15.0
_LOG_LINES_SHOWN = 15


def configured_boss(url: str, token: str, state_directory: Path | None) -> Client:
    """The boss of the setting boss_url; its token is the setting `token`, else the state directory's.

    Asks nothing of it. Raises ClientError: there is no token, or it cannot be read.
    """
    if not token and state_directory is not None:
        token = _token_of(state_directory, reason=f"boss_url is {url}, and no token is set")
    if not token:
        raise ClientError(f"boss_url is {url}, but no token is set; set `token` or `token_file`")
    return Client(url, token)


def boss_of(state_directory: Path) -> Client | None:
    """The boss that runs on this state directory, or None.

    By its process; asks nothing of it. Raises ClientError: its token cannot be read.
    """
    boss = running_boss(state_directory)
    if boss is None:
        return None
    return Client(boss.url, _token_of(state_directory, reason=f"a boss runs at {boss.url}"))


def _token_of(state_directory: Path, reason: str) -> str:
    path = state_directory / TOKEN_FILE
    try:
        return read_token(state_directory)
    except PermissionError:
        raise ClientError(f"{reason}, and {path} is readable by its owner only; ask as that user") from None
    except (OSError, ValueError) as error:
        raise ClientError(f"{reason}, and its token cannot be read from {path}: {error}") from None


def start_boss(state_directory: Path, root: Path, command: list[str] | None = None) -> subprocess.Popen[bytes]:
    """A boss that stops when no client follows any more; its log goes to logs/boss.log.

    `root` is the checkout; -P and PYTHONPATH keep files of the current directory from being taken for ours. Does not
    wait until it answers: `wait_for_boss` does. Raises OSError.
    """
    log_path = state_directory / LOG_FILE
    log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "ECLOUD_HOME": str(state_directory), "PYTHONPATH": path}
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command or [sys.executable, "-P", "-m", "boss", "--while_followed"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=state_directory.parent,
            start_new_session=True,
        )
    finally:
        os.close(log)


def wait_for_boss(state_directory: Path, process: subprocess.Popen[bytes]) -> Client:
    """A client of the boss that answers, ours or another's. Raises ClientError with the end of the log.

    Blocks up to 90 s; where `process` ends before, up to 15 s more for a boss that another process has started.
    """
    until = time.monotonic() + _START_SECONDS
    ended = False
    while time.monotonic() < until:
        if not ended and process.poll() is not None:
            ended = True
            until = min(until, time.monotonic() + _OTHER_SECONDS)
        client = answering_boss(state_directory)
        if client is not None:
            return client
        if ended and not _lock_is_held(state_directory):
            break
        time.sleep(0.05)  # the boss writes its file when it answers, and does not notify
    what = f"ended with exit code {process.returncode}" if ended else f"did not answer within {_START_SECONDS:.0f} s"
    log = state_directory / LOG_FILE
    raise ClientError(f"the boss that was started {what}; {log} ends with:\n{_log_end(log)}")


def answering_boss(state_directory: Path) -> Client | None:
    """A client of the boss of this state directory if it answers `status`; else None. Blocks until it does.

    Raises ClientError: a boss runs, and its token cannot be read.
    """
    client = boss_of(state_directory)
    if client is None:
        return None
    try:
        client.status()
    except ClientError:
        client.close()
        return None
    return client


def _lock_is_held(state_directory: Path) -> bool:
    """Another process holds the state directory's lock: a boss that is starting, or one that is ending.

    Asked of the kernel's list: trying to take the lock could refuse it to a boss that starts at this moment.
    """
    try:
        inode = (state_directory / LOCK_FILE).stat().st_ino
        return any(line.split()[5].endswith(f":{inode}") for line in Path("/proc/locks").read_text().splitlines())
    except (OSError, IndexError):
        return False


def _log_end(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
    except OSError as error:
        return f"(cannot be read: {error})"
    return "\n".join(f"    {line}" for line in lines) or "    (nothing)"
