"""An SSH connection up to the point where the host has shown its key; paramiko's names stay in this package."""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection

import paramiko
from paramiko import Transport

from boss.ssh.errors import HostUnreachableError
from wire.messages import Place

__all__ = ["Transport", "open_transport"]

#: The types of signature that a key of each type can make.
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
#: paramiko logs tracebacks of what it raises as well.
_LOG = f"{__name__}.paramiko"
logging.getLogger(_LOG).setLevel(logging.CRITICAL + 1)


def open_transport(place: Place, preferred: Collection[str], seconds: float) -> Transport:
    """Keys of the `preferred` types are asked for first: a host has several. Raises HostUnreachableError."""
    where = f"{place.host}:{place.port}"
    try:
        connection = socket.create_connection((place.host, place.port), seconds)
    except OSError as error:
        raise HostUnreachableError(
            f"nothing answers at {where} ({error.strerror or error}): check that the machine is up, its sshd runs, "
            "and no firewall stands between"
        ) from None
    transport = Transport(connection)
    try:
        transport.set_log_channel(_LOG)
        transport.banner_timeout = transport.handshake_timeout = seconds
        _prefer(transport, preferred)
        transport.start_client(timeout=seconds)
        transport.get_remote_server_key()  # raises where it returned because its time was over
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        connection.close()
        raise HostUnreachableError(
            f"what answers at {where} is no sshd that we can speak to: {error or 'it hung up'}"
        ) from None
    return transport


def _prefer(transport: Transport, kinds: Collection[str]) -> None:
    options = transport.get_security_options()
    offered = list(options.key_types)
    wanted = [signature for kind in kinds for signature in _SIGNATURES.get(kind, (kind,)) if signature in offered]
    options.key_types = [*wanted, *(kind for kind in offered if kind not in wanted)]
