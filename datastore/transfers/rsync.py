"""One rsync: its arguments, its run, and what it said. It knows the connection only as a command that reaches the host.

Both directions take names from a list that is separated by NUL, follow and create no links, devices or pipes, and keep
partial data in a folder beside the file for the next try.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from datastore.transfers.children import TransferProcess
from datastore.transfers.hosts import ALIAS

#: Silence after which a transfer is given up, in seconds.
QUIET_SECONDS = 60
#: What even a bad network moves each second, and what a file costs besides: a host that is slower is given up.
MIN_BYTES_PER_SECOND = 64 * 1024
_FILE_SECONDS = 0.05
_BASE_SECONDS = 180.0
#: Between two looks whether a transfer is too slow; whether it has brought too much.
_LOOK_SECONDS = 15.0
_LOOK_AT_WRITTEN_SECONDS = 0.5
#: What an rsync that fetches writes beside the files: requests of them, its list, and what it says.
_WRITTEN_BESIDE, _WRITTEN_BESIDE_A_FILE = 32 * 1024 * 1024, 4096
#: Between the polite signal, at which rsync keeps what it has of a file, and the other one.
_GRACE_SECONDS = 5.0
#: Bytes of address space: many times what our longest lists take, so that a host's list without an end does no harm.
_MEMORY = 1024**3
#: Of what rsync says: enough for every sentence; and what it may say (it says so into files, which have a limit).
_WORDS_BYTES = 100_000
_SAID_BYTES = 16 * 1024 * 1024

_COMMON = (
    "-s",  # names never reach a shell; every rsync since 3.0 knows this letter of it
    "--files-from=-",
    "--from0",
    "--no-implied-dirs",
    "--perms",
    "--no-links",
    "--no-devices",
    "--no-specials",
    "--no-human-readable",
    "--ignore-existing",
    f"--timeout={QUIET_SECONDS}",
)


class RsyncEnded(NamedTuple):
    """How it ended."""

    code: int
    #: What it wrote to its error output, and to its output.
    words: str
    output: str
    #: True: it was given up because it took too long; because it brought more than was reported.
    too_slow: bool
    too_much: bool = False


def send_arguments(shell: str, folder: str, target: str, partial: str) -> list[str]:
    """From our folder into the host's, whose last component is made if need be. A line for each file that was sent.

    Files are writable for their owner, because rsync gives partial ones the same rights and goes on writing into them.
    """
    return [
        "rsync", *_COMMON, "-e", shell, "--chmod=F0644", f"--partial-dir={partial}", "--out-format=%n %b",
        f"{folder}/", f"{ALIAS}:{target}/",
    ]  # fmt: skip


def fetch_arguments(shell: str, source: str, folder: str, partial: str, largest: int) -> list[str]:
    """From the host's folder into ours, no file larger than `largest` bytes."""
    return [
        "rsync", *_COMMON, "-e", shell, "--chmod=F0600,D0700", f"--partial-dir={partial}", f"--max-size={largest}",
        f"{ALIAS}:{source}/", f"{folder}/",
    ]  # fmt: skip


def too_slow(seconds: float, files: int, moved: int) -> bool:
    """Whether a transfer of so many files that has moved `moved` bytes in this time is to be given up."""
    left = seconds - _BASE_SECONDS - files * _FILE_SECONDS
    return left > 0 and moved < left * MIN_BYTES_PER_SECOND


def too_much(size: int, files: int, written: int) -> bool:
    """Whether one that fetches so many files of so many bytes has written more than it can have reason to.

    A file that did not come right is written once more.
    """
    return written > 2 * size + _WRITTEN_BESIDE + files * _WRITTEN_BESIDE_A_FILE


class Rsync:
    """A run that another thread may end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: TransferProcess | None = None
        self._over = False

    def run(
        self,
        arguments: list[str],
        names: Iterable[str],
        environment: dict[str, str],
        largest_file: int | None = None,
        size: int | None = None,
    ) -> RsyncEnded:
        """To its end. `size`: of all files together, where it fetches: it is ended when it brings more.

        Raises OSError if it could not be started; one that `end` came before ends at once.
        """
        with tempfile.TemporaryFile() as listed, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as words:
            wanted = [name.encode() + b"\0" for name in names]
            listed.write(b"".join(wanted))
            listed.seek(0)
            with self._lock:
                if self._over:
                    return RsyncEnded(-signal.SIGKILL, "", "", False)
                self._child = TransferProcess(
                    arguments,
                    environment,
                    stdin=listed,
                    stdout=output,
                    stderr=words,
                    largest_file=None if largest_file is None else max(largest_file, _SAID_BYTES),
                    memory=_MEMORY,
                )
            code, slow, much = self._follow(self._child, len(wanted), size)
            output.seek(0)
            words.seek(0)
            said = words.read(_WORDS_BYTES).decode(errors="replace")
            return RsyncEnded(code, said, output.read().decode(errors="replace"), slow, much)

    def end(self) -> None:
        """It is no longer needed."""
        with self._lock:
            self._over = True
            if self._child is not None:
                self._child.end()

    def _follow(self, child: TransferProcess, files: int, size: int | None) -> tuple[int, bool, bool]:
        """Its exit code, whether it was given up for taking too long, and for bringing too much."""
        began = time.monotonic()
        look = _LOOK_SECONDS if size is None else _LOOK_AT_WRITTEN_SECONDS
        while (code := child.wait(look)) is None:
            slow = too_slow(time.monotonic() - began, files, child.moved())
            much = size is not None and too_much(size, files, child.written())
            if slow or much:
                child.end(signal.SIGKILL if much else signal.SIGTERM)
                code = child.wait(_GRACE_SECONDS)
                if code is None:
                    child.end()
                    code = child.wait()
                assert code is not None
                return code, slow, much
        return code, False, False
