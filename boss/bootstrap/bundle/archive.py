"""The archive itself: a gzipped tar whose bytes depend on the names and contents of its files alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import secrets
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from boss.bootstrap.bundle.packages import File

#: Half the time of the usual 6, for 4 % more bytes: a boss makes its bundles before its first machine can boot.
_LEVEL = 4


def write_archive(path: Path, files: Iterable[File]) -> None:
    """Whole or not at all. Of two files with one path the first counts."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            os.fchmod(file.fileno(), 0o600)
            _write(file, files)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(file: IO[bytes], files: Iterable[File]) -> None:
    by_path: dict[str, File] = {}
    for each in files:
        by_path.setdefault(each.path, each)
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in sorted(by_path):
            content = by_path[path].read()
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o755 if by_path[path].executable else 0o644
            archive.addfile(entry, io.BytesIO(content))


def digest_of(path: Path) -> str:
    """`b2:` and the file's BLAKE2b of 32 bytes in hexadecimal digits. Blocks while it is read whole; raises OSError."""
    with open(path, "rb") as file:
        return f"b2:{hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()}"
