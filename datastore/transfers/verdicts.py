"""What the end of an ssh or an rsync means: whose fault, and a sentence that names host, path and cause. Pure.

exit code          meaning                                   what follows
0                  all is there                              each file is verified
23, 24             some files are not                        each file is checked on its own
11                 a disk                                    ours full: results wait; the worker's: tried again
10 12 30 35 255    the connection                            tried again
20, a signal       stopped by a signal                       tried again
1-4, others        an internal error, or another rsync         tried again, and logged
"""

from __future__ import annotations

import re
import signal
from typing import Literal, NamedTuple

from datastore.paths import shown
from datastore.transfers.errors import TransferError

Direction = Literal["stage", "collect"]
#: `transfer`: tried again. `host`: the host is not the one that it was, or lies. `full`: our disk.
Fault = Literal["transfer", "host", "full"]

#: Exit codes of rsync.
PARTIAL = frozenset({23, 24})
#: Worth a line in the log beside the report: arguments that an rsync does not know, or a disagreement of two.
BUGS = frozenset({1, 2, 3, 4, 5, 6, 13, 14, 21, 125})
_CONNECTION = {
    10: "the connection broke",
    12: "the connection was cut",
    30: "nothing was heard for too long",
    35: "no connection in time",
    255: "the connection was cut",
}
_FILE_FAILURE = 11
#: Of one that sends: the other side has ended, of which a full disk may be the cause.
_OTHER_SIDE_ENDED = frozenset({10, 11, 12})
_STOPPED = 20
_NO_MEMORY = 22
#: What sh says of a program that is not there.
_NOT_FOUND = 127

_OTHER_KEY = re.compile(
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|host key is known for|"
    r"no matching host key type found|REVOKED HOST KEY"
)
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")
_TOO_LARGE = re.compile(r"File too large \(27\)")
_NOT_ASKED = re.compile(
    r"rejecting (?:unrequested|excluded|unsafe)|(?:unsafe|invalid) (?:path|file)|received request to"
)
#: rsync's and ssh's own last lines, which say less than those above them.
_EMPTY_WORDS = re.compile(r"^rsync error: |^\s*$|^@|^rsync: connection unexpectedly closed|^Killed by signal")
#: What one that sends says when the other side has ended: not why.
_NO_CAUSE = re.compile(r"write error: (?:Broken pipe|Connection reset by peer) \(\d+\)$")


class TransferFailedError(TransferError):
    """A transfer that did not come to its end; a sentence, with whose fault it is."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault: Fault = fault


class RemoteEnd(NamedTuple):
    """Who is at the other end, for sentences."""

    worker: str
    user: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.user}@{self.host} port {self.port} (worker {self.worker!r})"


class FreeSpace(NamedTuple):
    """Bytes that are free on a worker's host, and bytes of the files that are to come."""

    free: int
    needed: int

    @property
    def short(self) -> bool:
        return self.free < self.needed

    def __str__(self) -> str:
        return f"{self.free:,} bytes are free, {self.needed:,} are needed"


def of_connection(words: str, remote: RemoteEnd, key: str) -> TransferFailedError:
    """No connection came about: `words` is what ssh wrote."""
    cause = telling(words)
    if _OTHER_KEY.search(words):
        return TransferFailedError(
            "host",
            f"{remote} shows another host key than the worker stated, so nothing is sent to it or taken from it. "
            "If the host was reinstalled, release the worker: its newest keys are trusted then",
        )
    if "Permission denied (" in words:
        return TransferFailedError(
            "transfer",
            f"{remote} does not accept this datastore's key {key}: put the line of {key}.pub into "
            f"~{remote.user}/.ssh/authorized_keys there ({cause})",
        )
    if "UNPROTECTED PRIVATE KEY" in words or "Load key" in words:
        return TransferFailedError("transfer", f"the datastore's SSH key {key} cannot be used: {cause}")
    return TransferFailedError("transfer", f"{remote} cannot be reached: {cause or 'it did not answer in time'}")


def of_rsync(
    code: int, words: str, remote: RemoteEnd, direction: Direction, path: str, full: str
) -> TransferFailedError | None:
    """None: look at each file. `words`: what rsync wrote; `full`: what to say when our disk is full."""
    failure = _of_output(code, words, remote, direction, path, full)
    if failure is not None:
        return failure
    if code == 0 or (code in PARTIAL and direction == "collect"):
        return None
    cause = telling(words)
    at = doing(remote, direction, path)
    if code in _CONNECTION:
        return TransferFailedError("transfer", f"{at}: {_CONNECTION[code]}{_more(cause)}")
    if code < 0:
        return TransferFailedError("transfer", f"{at}: rsync was ended by {_signal_name(-code)}")
    if code == _STOPPED:
        return TransferFailedError("transfer", f"{at}: rsync was stopped")
    return TransferFailedError("transfer", f"{at}: rsync ended with code {code}{_more(cause)}")


def lost_connection_in(code: int, words: str) -> bool:
    """Whether an rsync that sends says only that the other side has ended: why may have been lost on the way."""
    said = [line for line in map(str.strip, words.splitlines()) if not _EMPTY_WORDS.search(line)]
    return code in _OTHER_SIDE_ENDED and all(_NO_CAUSE.search(line) for line in said)


def of_room(code: int, remote: RemoteEnd, path: str, room: FreeSpace | None) -> TransferFailedError | None:
    """What an end without words means where the host has so much room (None: it does not say); None: no more."""
    at = doing(remote, "stage", path)
    if room is not None and room.short:
        return TransferFailedError("transfer", f"{at}: the worker's disk is full ({room})")
    if code == _FILE_FAILURE:
        why = "it could not be written there, and why did not come through: a fault of the disk, a quota, a permission"
        return TransferFailedError("transfer", f"{at}: {why}{_more('' if room is None else str(room))}")
    return None


def telling(words: str) -> str:
    """The most telling line, cut to a sensible length; empty: nothing was said."""
    lines = [line.strip() for line in words.splitlines() if not _EMPTY_WORDS.search(line)]
    named = next((line for line in lines if "failed" in line or "denied" in line or "rror" in line), "")
    said = named or (lines[-1] if lines else "")
    return "".join(char if char.isprintable() else "?" for char in said)[:300]


def _of_output(
    code: int, words: str, remote: RemoteEnd, direction: Direction, path: str, full: str
) -> TransferFailedError | None:
    """What the messages tell whatever the code."""
    at = doing(remote, direction, path)
    if code != 0 and _OTHER_KEY.search(words):
        return TransferFailedError("host", f"{remote} shows another host key than the worker stated")
    if direction == "collect":
        if code == _NO_MEMORY:
            return TransferFailedError("host", f"{at}: its list of files has no end")
        if code == -signal.SIGXFSZ or _TOO_LARGE.search(words):
            return TransferFailedError("host", f"{at}: it sent more bytes than were said")
        if _NOT_ASKED.search(words):
            return TransferFailedError("host", f"{at}: it sent what was not asked for ({telling(words)})")
    if code != 0 and _NO_SPACE.search(words):
        if direction == "collect":
            return TransferFailedError("full", full)
        return TransferFailedError("transfer", f"{at}: the worker's disk is full")
    if code in (_NOT_FOUND, 12) and re.search(r"rsync: (command )?not found", words):
        return TransferFailedError("transfer", f"{at}: rsync is not installed there")
    if "is your shell clean?" in words:
        return TransferFailedError("transfer", f"{at}: what {remote.user}'s shell prints at a login disturbs rsync")
    return None


def doing(remote: RemoteEnd, direction: Direction, path: str) -> str:
    """What did not come about, where: the beginning of a sentence."""
    if direction == "stage":
        return f"inputs cannot be sent to {shown(path)} at {remote}"
    return f"results cannot be fetched from {shown(path)} at {remote}"


def _more(cause: str) -> str:
    return f" ({cause})" if cause else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
