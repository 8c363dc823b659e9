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


def tls_options(ca_file: Path | str, certificate_file: Path | str, key_file: Path | str) -> TlsOptions | None:
    """Of options, each empty where it is not set. None: without authority and certificate the connection is plain."""
    if not (ca_file or certificate_file):
        return None
    return TlsOptions(*(Path(each) if each else None for each in (ca_file, certificate_file, key_file)))
