"""Stands where a worker's rsync should: does as HOSTILE in its environment says, by the real one or without it.

    asks OLD NEW     the real one, asked for NEW instead (of the same length) and sends that
    renames OLD NEW  the real one, but the name OLD reaches the other end as NEW (of the same length)
    grows NAME SIZE  the real one; files of that name are so large only after their size was sent
    links NAME       the real one, after files of that name have become links to /etc/passwd
    lies NAME        the real one, after files of that name have got another content of the same size
    junk             random bytes, for ever
    drips            the real one, a byte every tenth of a second
    silent           nothing, for ever

Only collecting is disturbed, unless the first word is `stages`. Tests only; needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

REAL = "/usr/bin/rsync"
PIECE = 65536
running: list[subprocess.Popen] = []


def main() -> None:
    words = os.environ["HOSTILE"].split(",")
    staging = words[0] == "stages"
    if staging:
        words.pop(0)
    if staging == ("--sender" in sys.argv):
        os.execv(REAL, [REAL, *sys.argv[1:]])
    tricks = {
        "asks": asks,
        "renames": renames,
        "grows": grows,
        "links": links,
        "lies": lies,
        "junk": junk,
        "drips": drips,
        "silent": silent,
    }
    tricks[words[0]](*words[1:])


def asks(old: str, new: str) -> None:
    between(lambda piece: piece.replace(old.encode(), new.encode()), same)


def renames(old: str, new: str) -> None:
    between(same, lambda piece: piece.replace(old.encode(), new.encode()))


def grows(name: str, size: str) -> None:
    passed = 0

    def later(piece: bytes) -> bytes:
        nonlocal passed
        if 0 <= passed < 100 <= passed + len(piece):  # more than the first exchange: the names and sizes are sent
            time.sleep(0.3)
            for folder, _, names in os.walk(f"/proc/{running[0].pid}/cwd/"):
                if name in names:
                    os.truncate(os.path.join(folder, name), int(size))
        passed += len(piece)
        return piece

    between(same, later)


def links(name: str) -> None:
    for path in attempts(name):
        os.unlink(path)
        os.symlink("/etc/passwd", path)
    os.execv(REAL, [REAL, *sys.argv[1:]])


def lies(name: str) -> None:
    for path in attempts(name):
        with open(path, "r+b") as file:
            file.write(b"LIES")
    os.execv(REAL, [REAL, *sys.argv[1:]])


def attempts(name: str) -> list[str]:
    """The files of that name that attempts have left in the home of the worker, which is the user's own folder.

    Where there is an agent only of those whose manifest it has made: a lie before that would be what it says itself.
    """
    top = os.path.expanduser("~/worker/attempts")
    made = manifests(os.path.expanduser("~/worker/journal.jsonl"))
    found = []
    for attempt in os.listdir(top):
        if made is None or attempt in made:
            found += [os.path.join(folder, name) for folder, _, names in os.walk(f"{top}/{attempt}") if name in names]
    return found


def manifests(journal: str) -> set[str] | None:
    """Attempts whose outcome the agent has written down; None: there is no agent."""
    try:
        with open(journal, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return None
    kept = [line["kept"] for line in lines if "kept" in line]
    return {f"{outcome['task']}.{outcome['attempt']}" for outcome in kept}


def junk() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # it ends when no program listens any more, without a word
    while True:
        os.write(1, os.urandom(PIECE))


def drips() -> None:
    def one_by_one(piece: bytes) -> bytes:
        for number in range(len(piece)):
            os.write(1, piece[number : number + 1])
            time.sleep(0.1)
        return b""

    between(same, one_by_one)


def silent() -> None:
    time.sleep(100_000)


def same(piece: bytes) -> bytes:
    return piece


def between(inwards, outwards) -> None:
    """The real one, with everything that is said to it and by it changed."""
    with subprocess.Popen([REAL, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as real:
        running.append(real)
        threading.Thread(target=carry, args=(0, real.stdin.fileno(), inwards, real.stdin), daemon=True).start()
        carry(real.stdout.fileno(), 1, outwards, None)
        os._exit(real.wait())


def carry(source: int, sink: int, change, then_close) -> None:
    while piece := os.read(source, PIECE):
        piece = change(piece)
        while piece:
            piece = piece[os.write(sink, piece) :]
    if then_close is not None:
        then_close.close()


main()
