"""Fetches results into a directory: each whole under its name or not at all, in parallel, going on where one broke off.

Knows the client and a directory of the user's. A file that exists with the same content is left alone; names come
from a boss and are not trusted to stay inside the directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from boss.api.result_bundle import MAX_BYTES, RESULT_BYTES, ResultBundleError, unpacked
from boss.api.schema import ResultAnswer, UploadAnswer
from boss.client.client import Client, ClientError, NoAnswerError, RequestRefusedError
from boss.common.digests import digest_of

#: Files that are on their way at once.
AT_ONCE = 8
#: Small files that are asked for together.
_TOGETHER = 200
#: Where what is not whole yet waits, below the directory; removed when it is empty.
PARTS = ".ecloud-parts"
#: Tries of one file in a row without progress, and the pause between them.
TRIES, PAUSE_SECONDS = 4, 0.5
#: A content that comes to the boss from a datastore elsewhere counts as failed when it has not grown for so long.
STANDSTILL_SECONDS = 600.0
_BUSY = (429, 503)
#: Answers that are about one file; any other ends the command.
_OF_ONE_FILE = (404, 409, 416, 507)

#: Called with (files done, bytes done).
Report = Callable[[int, int], None]


@dataclass
class Got:
    """The outcome."""

    fetched: int = 0
    bytes: int = 0
    #: Were there already with the right content.
    there: int = 0
    #: Sentences, one for each file that could not be fetched.
    failed: list[str] = field(default_factory=list)


class DownloadError(ClientError):
    """A file that cannot be written here; a sentence."""


def get_results(clients: Callable[[], Client], results: list[ResultAnswer], directory: Path, report: Report) -> Got:
    """Fetch all; `clients` makes one for each thread.

    Blocks until all are done. Raises ClientError when the boss does not answer or refuses, DownloadError or OSError
    when the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    parts = directory / PARTS
    parts.mkdir(exist_ok=True)
    run = _Run(results, directory, report)
    threads = [
        threading.Thread(target=run.work, args=(clients(),), name="get", daemon=True)
        for _ in range(min(AT_ONCE, len(results)))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
                run.report()
    finally:
        run.stopped = True
        for thread in threads:
            thread.join()
        with contextlib.suppress(OSError):
            parts.rmdir()
    if run.error is not None:
        raise run.error
    return run.got


class _Run:
    """Shared by the threads of one command."""

    def __init__(self, results: list[ResultAnswer], directory: Path, report: Report) -> None:
        self.got = Got()
        self.error: Exception | None = None
        self.stopped = False
        self._waiting: queue.SimpleQueue[list[ResultAnswer]] = queue.SimpleQueue()
        for group in grouped(results):
            self._waiting.put(group)
        self._directory = directory
        self._lock = threading.Lock()
        self._report = report
        #: Bytes of what is dealt with, and of what is on its way, by name.
        self._passed = 0
        self._moving: dict[str, int] = {}

    def report(self) -> None:
        with self._lock:
            done = self.got.fetched + self.got.there + len(self.got.failed)
            count = self._passed + sum(self._moving.values())
        self._report(done, count)

    def work(self, client: Client) -> None:
        try:
            while not self.stopped:
                try:
                    group = self._waiting.get_nowait()
                except queue.Empty:
                    return
                if len(group) > 1:
                    group = self._bundle(client, group)
                for result in group:
                    if not self.stopped:
                        self._one(client, result)
        except Exception as error:  # the command prints it, whatever it is
            self.error, self.stopped = error, True
        finally:
            client.close()

    def _bundle(self, client: Client, group: list[ResultAnswer]) -> list[ResultAnswer]:
        """Fetch many small ones at once; returns those that are to be fetched one by one."""
        missing = [result for result in group if not self._found(result)]
        done = set()
        try:
            if missing:
                with client.bundle(missing) as pieces:
                    for at, content in unpacked(pieces):
                        if at < len(missing) and self._keep(missing[at], content):
                            done.add(missing[at].name)
                        if self.stopped:
                            break
        except (ResultBundleError, RequestRefusedError, NoAnswerError):
            pass  # the others are fetched alone, and that reports why one is not available
        return [result for result in missing if result.name not in done]

    def _found(self, result: ResultAnswer) -> bool:
        if not _is_there(place_of(self._directory, result.name), result):
            return False
        with self._lock:
            self._passed += result.size
            self.got.there += 1
        return True

    def _keep(self, result: ResultAnswer, content: bytes) -> bool:
        digest = f"b2:{hashlib.blake2b(content, digest_size=32).hexdigest()}"
        if len(content) != result.size or digest != result.digest:
            return False
        target, part = place_of(self._directory, result.name), self._part(result)
        try:
            part.write_bytes(content)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, target)
        except OSError:
            return False
        with self._lock:
            self._passed += result.size
            self.got.bytes += result.size
            self.got.fetched += 1
        return True

    def _part(self, result: ResultAnswer) -> Path:
        """Two results may have one content: each has a part of its own."""
        name = f"{result.name}\0{result.digest}".encode(errors="surrogateescape")
        return self._directory / PARTS / hashlib.blake2b(name, digest_size=16).hexdigest()

    def _one(self, client: Client, result: ResultAnswer) -> None:
        reason, there = "", False
        try:
            target = place_of(self._directory, result.name)
            there = _is_there(target, result)
            if not there and not self._fetch(client, result, target):
                return
        except (RequestRefusedError, _OneFileError) as error:
            if isinstance(error, RequestRefusedError) and error.status not in _OF_ONE_FILE:
                raise
            reason = f"{result.name}: {error}"
        with self._lock:
            self._moving.pop(result.name, 0)
            self._passed += result.size
            if reason:
                self.got.failed.append(reason)
            else:
                self.got.there += there
                self.got.fetched += not there

    def _fetch(self, client: Client, result: ResultAnswer, target: Path) -> bool:
        """Into a part, verified, then into its place. False: the command was stopped before."""
        part = self._part(result)
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise DownloadError(f"{part} cannot be written: {error.strerror}") from None
        try:
            self._fill(client, result, descriptor)
            if self.stopped:
                return False
            if digest_of(descriptor) != result.digest:
                os.unlink(part)
                raise _OneFileError(
                    "what came is not the content that its task left; get it again, then check the datastore"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, target)
            return True
        except OSError as error:
            if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
                raise _OneFileError(f"{target} cannot be made: a file or folder is in its way") from None
            raise DownloadError(f"{error.filename or target} cannot be written: {error.strerror}") from None
        finally:
            if not os.fstat(descriptor).st_size:  # nothing came that a next try could go on with
                part.unlink(missing_ok=True)
            os.close(descriptor)

    def _fill(self, client: Client, result: ResultAnswer, part: int) -> None:
        """Until the part is as long as the result. Raises RequestRefusedError, NoAnswerError, OSError."""
        tries, since, seen = 0, time.monotonic(), -1
        while not self.stopped:
            have = os.lseek(part, 0, os.SEEK_END)
            if have > result.size:
                os.ftruncate(part, 0)
                continue
            if have == result.size:
                return
            try:
                with client.content(result, have) as answer:
                    if not isinstance(answer, UploadAnswer):
                        self._take(answer, part, result)
                    elif answer.have > seen:
                        seen, since = answer.have, time.monotonic()
                    elif time.monotonic() - since > STANDSTILL_SECONDS:
                        raise _OneFileError("the datastore has sent nothing of it for minutes; get it again later")
                    continue
            except (NoAnswerError, RequestRefusedError) as error:
                if isinstance(error, RequestRefusedError) and error.status not in _BUSY:
                    raise
                tries = 1 if os.lseek(part, 0, os.SEEK_END) > have else tries + 1
                if tries >= TRIES:
                    raise
            time.sleep(PAUSE_SECONDS)  # HTTP does not notify: a client that waits polls

    def _take(self, pieces: Iterator[bytes], part: int, result: ResultAnswer) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(part, view) :]
            with self._lock:
                self.got.bytes += len(piece)
                self._moving[result.name] = os.lseek(part, 0, os.SEEK_CUR)
            if self.stopped:
                return


class _OneFileError(ClientError):
    """One file that is not available; a sentence without its name."""


def grouped(results: list[ResultAnswer]) -> Iterator[list[ResultAnswer]]:
    """Small ones of usable names together, each other alone.

    Small: `RESULT_BYTES` at most; together: `_TOGETHER` results and `MAX_BYTES` at most (`boss.api.result_bundle`).
    """
    group: list[ResultAnswer] = []
    size = 0
    for result in results:
        if result.size > RESULT_BYTES or not _usable(result.name):
            yield [result]
            continue
        if len(group) == _TOGETHER or size + result.size > MAX_BYTES:
            yield group
            group, size = [], 0
        group.append(result)
        size += result.size
    if group:
        yield group


def _usable(name: str) -> bool:
    parts = name.split("/")
    return parts[0] != PARTS and not any(part in ("", ".", "..") or "\0" in part for part in parts)


def place_of(directory: Path, name: str) -> Path:
    """Where a result lands. Raises _OneFileError for a name that leads out of the directory."""
    if not _usable(name):
        raise _OneFileError("this name cannot be used below a directory")
    return directory.joinpath(*name.split("/"))


def _is_there(target: Path, result: ResultAnswer) -> bool:
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.fstat(descriptor).st_size == result.size and digest_of(descriptor) == result.digest
    except OSError:  # a folder
        return False
    finally:
        os.close(descriptor)
