"""What room a worker's host has, asked over its connection: for a transfer whose end named no cause.

An rsync that meets a full disk ends, and what it said before may be lost on the way. So the host is asked what is free,
and which of the files are not there. It is not trusted: it has little time, little is read of its answer, which
is used for a sentence only. Nothing reaches its login shell but the word `sh`.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterable, Mapping

from datastore.transfers.children import TransferProcess
from datastore.transfers.hosts import ALIAS
from datastore.transfers.verdicts import FreeSpace

_SECONDS = 10.0
#: Of the answer: a line for each file of the longest list, and what a login shell may say before.
_ANSWER_BYTES = 4 * 1024 * 1024

#: A line of `df -P`: blocks, used, available, capacity, where it is mounted.
_FREE = re.compile(r"\s[0-9]+\s+[0-9]+\s+(-?[0-9]{1,18})\s+(?:[0-9]+%|-)\s+/", re.ASCII)
_MISSING = re.compile(r"^missing ([0-9a-f]+)$", re.MULTILINE)


def ask(shell: str, environment: dict[str, str], folder: str, sizes: Mapping[str, int]) -> FreeSpace | None:
    """The room in a folder of the host; `sizes`: file names that a shell takes for what they are. None: no answer."""
    with tempfile.TemporaryFile() as script, tempfile.TemporaryFile() as answer:
        script.write(_script(folder, sizes).encode())
        script.seek(0)
        try:
            child = TransferProcess(
                [*shell.split(), ALIAS, "sh"], environment, stdin=script, stdout=answer, largest_file=_ANSWER_BYTES
            )
        except OSError:
            return None
        if child.wait(_SECONDS) is None:
            child.end()
            child.wait()
        answer.seek(0)
        return _read(answer.read(_ANSWER_BYTES).decode(errors="replace"), sizes)


def _script(folder: str, names: Iterable[str]) -> str:
    """Sent to `sh` as its input, so that no other shell takes it apart."""
    lines = [
        f"LC_ALL=C; export LC_ALL; cd {shlex.quote(folder)} && df -Pk . || exit 1",
        'while read -r name; do [ -f "$name" ] || echo "missing $name"; done <<"END"',
        *names,
        "END",
        "",
    ]
    return "\n".join(lines)


def _read(answer: str, sizes: Mapping[str, int]) -> FreeSpace | None:
    free = _FREE.search(answer)
    if free is None:
        return None
    missing = set(_MISSING.findall(answer))
    return FreeSpace(max(0, int(free[1])) * 1024, sum(size for name, size in sizes.items() if name in missing))
