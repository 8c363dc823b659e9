"""Transfers within one machine: copies between the tree and a worker's home, by reflink where the file system can.

The worker's home is not trusted: its folders and files may be links, pipes or endless, and change while they are
read. Every path is opened step by step (`datastore.disk.beneath`), and what is not a regular file of the stated size
and digest is refused. A file in the cache appears whole, under its digest, or not at all.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
from collections.abc import Callable
from typing import Literal

from datastore.agent.events import FetchFailed, InputsStaged, ResultsFetched, not_staged
from datastore.disk.beneath import BeneathError, PathMissingError, PathObstructedError, open_file, open_folder
from datastore.disk.content import (
    CopyStoppedError,
    DigestError,
    SizeDiffersError,
    Stopped,
    copy,
    hex_of,
    is_full,
    mode_of,
    never,
)
from datastore.disk.tree import Tree
from datastore.disk.versions import Version, VersionMissingError, Versions
from datastore.paths import shown
from datastore.transfers.errors import TransferError
from wire.messages import AttemptKey, Collect, CollectFile, Input, Place, Stage, StageDone, StageFailed

logger = logging.getLogger(__name__)

#: Marks files of the cache that are being written; the datastore's incarnation follows.
_PART = ".part-"

Tell = Callable[[InputsStaged | ResultsFetched | FetchFailed], None]
Unwanted = Callable[[AttemptKey], bool]


class LocalTransfers:
    def __init__(self, tree: Tree, versions: Versions, stopped: Stopped = never) -> None:
        self._tree = tree
        self._versions = versions
        self._stopped = stopped
        self._numbers = itertools.count(1)
        #: Caches in which nothing of a former incarnation is left.
        self._clean: set[str] = set()

    # -- out -----------------------------------------------------------------------------------------

    def stage(self, jobs: list[Stage], tell: Tell) -> None:
        """Answer every job; raises only CopyStoppedError."""
        for job in jobs:
            tell(InputsStaged(self._stage_one(job)))

    def _stage_one(self, job: Stage) -> StageDone | StageFailed:
        try:
            cache = self._open_cache(job.place)
        except (BeneathError, OSError) as error:
            reason = f"the worker's cache below {job.place.path!r} cannot be used: {_words(error)}"
            return not_staged(job, "transfer", reason)
        moved = 0
        staged = []
        try:
            for each in job.inputs:
                done, copied = self._stage_input(cache, each)
                staged.append(done)
                moved += copied
        except VersionMissingError as error:
            return not_staged(job, "input", f"fetching required files failed: {error}")
        except _InputChangedError as error:
            return not_staged(job, "transfer", str(error))
        except OSError as error:
            reason = f"{shown(each.name)} cannot be copied to {job.place.path!r}: {_words(error)}"
            return not_staged(job, "transfer", reason)
        finally:
            os.close(cache)
        return StageDone(task=job.task, attempt=job.attempt, inputs=staged, bytes_moved=moved)

    def _stage_input(self, cache: int, wanted: Input) -> tuple[Input, int]:
        """What it was, and the bytes that had to be copied."""
        try:
            version, copied = self._copy_version(cache, wanted)
        except SizeDiffersError:  # changed under the copy: look again, the version may be found as a blob
            version, copied = self._copy_again(cache, wanted)
        done = Input(
            name=wanted.name,
            path=wanted.path,
            digest=version.digest,
            size=version.size,
            executable=wanted.executable,
        )
        return done, copied

    def _copy_version(self, cache: int, wanted: Input) -> tuple[Version, int]:
        version = self._versions.open(wanted.name, wanted.digest, self._stopped)
        try:
            return version, 0 if _has(cache, version) else self._into_cache(cache, version)
        finally:
            os.close(version.fd)

    def _copy_again(self, cache: int, wanted: Input) -> tuple[Version, int]:
        try:
            return self._copy_version(cache, wanted)
        except SizeDiffersError as error:
            reason = f"{shown(wanted.name)} was changed on the datastore meanwhile: {error}"
            raise (VersionMissingError(reason) if wanted.digest else _InputChangedError(reason)) from None

    def _into_cache(self, cache: int, version: Version) -> int:
        part = f"{_PART}{self._tree.incarnation}-{next(self._numbers)}"
        target = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=cache)
        try:
            if copy(version.fd, target, version.size, self._stopped) != version.digest:
                raise SizeDiffersError("its content is not that of its digest")
            os.fchmod(target, 0o444)
            os.replace(part, hex_of(version.digest), src_dir_fd=cache, dst_dir_fd=cache)
        except BaseException:
            os.unlink(part, dir_fd=cache)
            raise
        finally:
            os.close(target)
        return version.size

    def _open_cache(self, place: Place) -> int:
        home = _open_home(place)
        try:
            cache = open_folder(home, "cache", make=True)
        finally:
            os.close(home)
        if place.path not in self._clean:
            self._remove_parts(cache)
            self._clean.add(place.path)
        return cache

    def _remove_parts(self, cache: int) -> None:
        """What a former incarnation was writing: it is gone, because we hold the tree's lock."""
        for entry in os.listdir(cache):
            if entry.startswith(_PART) and not entry.startswith(f"{_PART}{self._tree.incarnation}-"):
                os.unlink(entry, dir_fd=cache)

    # -- in ------------------------------------------------------------------------------------------

    def fetch(self, jobs: list[Collect], tell: Tell, unwanted: Unwanted) -> None:
        """Answer every job; of one that failed nothing is left. Raises only CopyStoppedError."""
        for job in jobs:
            answer = self._fetch_one(job, lambda key=(job.task, job.attempt): unwanted(key))  # type: ignore[misc]
            if isinstance(answer, FetchFailed):
                try:
                    self._tree.remove_attempt(answer.key)
                except OSError as error:  # the next try begins with it, or the next start sweeps it
                    logger.warning("what was fetched of attempt %d.%d stays for now: %s", *answer.key, error,
                                   extra={"action": "leave_incoming"})  # fmt: skip
            tell(answer)

    def _fetch_one(self, job: Collect, given_up: Stopped) -> ResultsFetched | FetchFailed:
        key = (job.task, job.attempt)
        try:
            self._fetch_files(job, given_up)
        except _ResultWrongError as error:
            return FetchFailed(key, error.fault, str(error))
        except CopyStoppedError:
            if self._stopped():
                raise
            return FetchFailed(key, "stopped")
        except (BeneathError, OSError) as error:
            if isinstance(error, OSError) and is_full(error):
                return FetchFailed(key, "full", self._tree.full_text())
            return FetchFailed(key, "transfer", f"results of worker {job.worker!r} cannot be fetched: {error}")
        return ResultsFetched(key)

    def _fetch_files(self, job: Collect, given_up: Stopped) -> None:
        home = _open_home(job.place)
        try:
            attempts = open_folder(home, "attempts")
        finally:
            os.close(home)
        try:
            work = open_folder(attempts, f"{job.task}.{job.attempt}/work")
        except PathObstructedError as error:  # it was a folder when its worker reported what is in it
            raise _ResultWrongError(f"the working directory on worker {job.worker!r} was replaced: {error}") from None
        finally:
            os.close(attempts)
        try:
            folder = self._tree.make_attempt_folder((job.task, job.attempt))
            owner = os.fstat(work).st_uid
            for number, file in enumerate(job.files):
                if given_up():
                    raise CopyStoppedError
                self._fetch_file(work, owner, f"{folder}/{number}", file, given_up)
        finally:
            os.close(work)

    def _fetch_file(self, work: int, owner: int, path: str, file: CollectFile, given_up: Stopped) -> None:
        source = _open_result(work, owner, file)
        target = -1
        try:
            target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._tree.incoming)
            digest = copy(source, target, file.size, lambda: self._stopped() or given_up())
            os.fchmod(target, mode_of(file.executable))
        except SizeDiffersError as error:
            raise _ResultWrongError(
                f"result {shown(file.source)} is not what the worker said: {error}", "changed"
            ) from None
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)
        if digest != file.digest:
            said = f"result {shown(file.source)} has the digest {digest}, the worker said {file.digest[:80]}"
            raise _ResultWrongError(said, "changed")


class _ResultWrongError(TransferError):
    """A result that is not what the worker said; a sentence. `changed`: it may have been written while it was read."""

    def __init__(self, reason: str, fault: Literal["result", "changed"] = "result") -> None:
        super().__init__(reason)
        self.fault: Literal["result", "changed"] = fault


class _InputChangedError(TransferError):
    """An input that changed under the copy; a sentence."""


def _words(error: Exception) -> str:
    """For operators: no error number, and a full disk by that name."""
    if isinstance(error, OSError):
        return "the disk is full" if is_full(error) else error.strerror or str(error)
    return str(error)


def _open_home(place: Place) -> int:
    if place.kind != "local":
        raise PathMissingError(f"host {place.host!r} is not this machine: its home is not reached by copying")
    if not os.path.isabs(place.path):
        raise PathMissingError(f"the worker's home {place.path!r} is not an absolute path")
    return os.open(place.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _open_result(work: int, owner: int, file: CollectFile) -> int:
    """The result's descriptor. Raises _ResultWrongError for whatever is not a plain file of the attempt's own."""
    try:
        fd, status = open_file(work, file.source)
    except BeneathError as error:
        raise _ResultWrongError(f"result {error}") from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
            raise _ResultWrongError(f"result {shown(file.source)} cannot be read: {error.strerror}") from None
        raise
    if status.st_size != file.size:
        os.close(fd)
        raise _ResultWrongError(
            f"result {shown(file.source)} has {status.st_size:,} bytes, the worker said {file.size:,}", "changed"
        )
    if status.st_nlink > 1 and status.st_uid != owner:
        os.close(fd)
        raise _ResultWrongError(f"result {shown(file.source)} is a hard link to a file of another user")
    return fd


def _has(cache: int, version: Version) -> bool:
    try:
        status = os.stat(hex_of(version.digest), dir_fd=cache, follow_symlinks=False)
    except (FileNotFoundError, DigestError):
        return False
    return status.st_size == version.size
