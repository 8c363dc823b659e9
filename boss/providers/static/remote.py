"""What the boss runs on a host of a static pool, with the host's own Python: sent over the connection, not installed.

Reads one question, a line of JSON, from its input, and what belongs to it after that; answers with one line. Standard
library only, and nothing newer than Python 3.9. Processes are named by pid, start time and boot of the machine, and
signalled through a pidfd that was opened before these were compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import sys
import time
from typing import Any, BinaryIO

#: In the command line of what keeps an agent: of a bundle, of one of before, of the start script.
_KEEPERS = {b"worker.bootstrap", b"worker.guest", b"keep"}
#: Before the answer, which may stand behind what a login prints.
ANSWER = "ecloud-answer: "
_ENDING = (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL)


def boot() -> str:
    """Another value after each start of the machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_of(pid: int) -> int:
    """Clock ticks since the boot; 0: there is no such process, or it has ended."""
    fields = _stat(pid)
    return 0 if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def agents(folder: str) -> list[dict[str, Any]]:
    """What keeps an agent of this folder, or is one without a keeper."""
    settings, home = os.path.join(folder, "settings"), os.path.join(folder, "home")
    holder = _holder(home)
    keepers: dict[int, dict[str, Any]] = {}
    found: dict[int, dict[str, Any]] = {}
    for name in os.listdir("/proc"):
        words = _read(f"/proc/{name}/cmdline").split(b"\0")[:-1] if name.isdigit() else []
        if words[-1:] == [settings.encode()] and _KEEPERS & set(words):
            keepers[int(name)] = _entry(int(name), _variables_of(settings))
        elif _runs_worker(words):
            variables = _environment(int(name))
            if variables.get("ECLOUD_WORKER_HOME") == home or int(name) == holder:
                found[int(name)] = {**_entry(int(name), variables), "holds": int(name) == holder}
    for agent in found.values():
        if agent["parent"] in keepers and agent["holds"]:
            keepers[agent["parent"]]["holds"] = True
    # A process that an agent is just starting has its name up to the exec.
    alone = [agent for agent in found.values() if agent["parent"] not in (*keepers, *found)]
    return [each for each in (*keepers.values(), *alone) if each["start"]]


def _runs_worker(words: list[bytes]) -> bool:
    return any(words[at : at + 2] == [b"-m", b"worker"] for at in range(len(words)))


def _entry(pid: int, variables: dict[str, Any]) -> dict[str, Any]:
    return {
        "pid": pid,
        "parent": _parent(pid),
        "start": start_of(pid),
        "worker": str(variables.get("ECLOUD_WORKER_ID", "")),
        "deployment": str(variables.get("ECLOUD_DEPLOYMENT", "")),
        "pool": str(variables.get("ECLOUD_POOL", "")),
        "instance": str(variables.get("ECLOUD_INSTANCE", "")),
        # Its agent has taken its home: it is up, and no other one can be there.
        "holds": False,
    }


def _read(path: str) -> bytes:
    """Empty: it is gone, or another user's."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _environment(pid: int) -> dict[str, Any]:
    pairs = (each.partition(b"=") for each in _read(f"/proc/{pid}/environ").split(b"\0"))
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}


def _variables_of(settings: str) -> dict[str, Any]:
    """What the keeper of these settings was given."""
    try:
        variables = json.loads(_read(os.path.join(settings, "guest.json")))
    except ValueError:
        return {}
    return variables if isinstance(variables, dict) else {}


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[bytes]:
    """State, parent and what follows, of a process that there is: the name before may hold blanks and brackets."""
    text = _read(f"/proc/{pid}/stat")
    return text[text.rindex(b")") + 2 :].split() if text else []


def _holder(home: str) -> int:
    """What an agent's home says of its process."""
    text = _read(os.path.join(home, "lock")).strip()
    return int(text) if text.isdigit() else 0


def look(question: dict[str, Any]) -> dict[str, Any]:
    """The fields of `calls.HostObservation`, of an agent's folder, which is made if it is missing. Raises OSError."""
    folder = question["folder"]
    os.makedirs(folder, mode=0o700, exist_ok=True)
    log = _read(os.path.join(folder, "ecloud.log"))[-4096:].decode(errors="replace").split("\n")
    return {
        "boot": boot(),
        "agents": agents(folder),
        "free_bytes": shutil.disk_usage(folder).free,
        "has": os.path.exists(question["bundle"]) if question.get("bundle") else False,
        "log": next((line for line in reversed(log) if line.strip()), ""),
    }


def put(question: dict[str, Any], given: BinaryIO) -> dict[str, Any]:
    """Keep what follows under this name if it has this digest; others beside it go."""
    path = question["path"]
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    partial = f"{path}.{os.getpid()}"
    digest = hashlib.blake2b(digest_size=32)
    try:
        with open(partial, "wb") as file:
            while True:
                piece = given.read(1 << 20)
                if not piece:
                    break
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != question["digest"]:
            return {"fault": "what arrived is not what was sent"}
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
    for name in os.listdir(folder):
        if name != os.path.basename(path):
            os.unlink(os.path.join(folder, name))
    return {}


def wait(question: dict[str, Any]) -> dict[str, Any]:
    """Until the process has ended, or for so many seconds."""
    handle = _open(question)
    if handle is None:
        return {"lives": False}
    return {"lives": not _gone(handle, question["seconds"])}


def stop(question: dict[str, Any]) -> dict[str, Any]:
    """TERM, TERM, KILL, with these pauses after them."""
    handle = _open(question)
    if handle is None:
        return {"ended": True}
    for number, pause in zip(_ENDING, question["pauses"]):  # noqa: B905  # Python 3.9 has no strict
        # A keeper hands TERM on; after KILL it cannot.
        below = _children(question["pid"]) if number == signal.SIGKILL else []
        try:
            signal.pidfd_send_signal(handle, number)
            for child in below:
                signal.pidfd_send_signal(child, number)
        except ProcessLookupError:
            pass
        if _gone(handle, pause) and all([_gone(child, pause) for child in below]):
            return {"ended": True}
    return {"ended": False}


def _children(pid: int) -> list[int]:
    """A pidfd of each agent that this keeper has."""
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(int(name)) == pid]
    return [os.pidfd_open(each) for each in numbers if b"-m\0worker\0" in _read(f"/proc/{each}/cmdline")]


def _open(question: dict[str, Any]) -> int | None:
    if question["boot"] != boot():
        return None
    try:
        handle = os.pidfd_open(question["pid"])
    except OSError:
        return None
    if start_of(question["pid"]) == question["start"]:
        return handle
    os.close(handle)
    return None


def _gone(handle: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        if poll.poll(max(0.0, left) * 1000):
            return True
        if left <= 0:
            return False


def main() -> None:
    """Read the question from the standard input, and what belongs to it; write ANSWER and the answer as JSON. What the
    system refuses (OSError) is answered as a `fault`.
    """
    given = sys.stdin.buffer
    question = json.loads(given.readline())
    doing = {"look": look, "wait": wait, "stop": stop}
    try:
        answer = put(question, given) if question["do"] == "put" else doing[question["do"]](question)
    except OSError as error:
        answer = {"fault": f"{error.filename or 'the host'}: {error.strerror or error}"}
    sys.stdout.write(f"\n{ANSWER}{json.dumps(answer)}\n")
