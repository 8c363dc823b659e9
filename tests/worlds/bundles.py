"""Bundles that are made at once and hold nothing."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import ClassVar

from boss.bootstrap.bundle import Bundle, BundleError


class FakeBundles:
    """Of Python 3.11 and 3.12 one each, by default."""

    faults: ClassVar[dict[str, str]] = {}

    def __init__(self, state_directory: Path) -> None:
        self._folder = state_directory

    def build(self, program: str, python: str, machine: str) -> Bundle:
        if python in self.faults:
            raise BundleError(self.faults[python])
        digest = f"b2:{'a' if python == '3.11' else 'c'}" + "0" * 63
        path = self._folder / f"{program}-{python}.tar.gz"
        path.write_bytes(gzip.compress(f"{program} {python}".encode()))
        return Bundle(path, digest)

    def former(self, digest: str) -> Bundle | None:
        return None
