"""How a program verifies its broker, and shows who it is. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TlsOptions:
    """The broker is verified by its certificate and name; a client certificate is shown where one is given."""

    #: Certificates (PEM) of the authorities to trust; None: those of the system.
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
