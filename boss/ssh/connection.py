"""One login at a worker's host, checked by its pinned keys first, and commands run through it."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko import Transport

from boss.ssh.errors import ConnectionBrokenError, HostKeyError, HostUnreachableError, LoginRefusedError
from wire.messages import Place

#: Kinds of host keys, the usual one first.
_KINDS = [["ssh-ed25519"], ["ecdsa-sha2-nistp256"], ["ssh-rsa"]]
#: The types of signature that a key of each type can make.
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
#: paramiko logs tracebacks of what it raises as well.
_LOG = f"{__name__}.paramiko"
_PIECE_BYTES = 32 * 1024
_GIVEN_BYTES = 256 * 1024

logging.getLogger(_LOG).setLevel(logging.CRITICAL + 1)


@dataclass
class Ran:
    """A command that is running or has ended."""

    #: None: it has not ended yet, or was ended by a signal.
    exit_code: int | None = None
    #: There was more than was wanted; the rest was not read.
    cut: bool = False


class SshConnection:
    """Ends with `close`, or as a context manager."""

    def __init__(self, transport: Transport, place: Place, host_key: str) -> None:
        self._transport = transport
        self._place = place
        #: Fingerprint of the host's key, which is a pinned one.
        self.host_key = host_key

    @property
    def host_key_line(self) -> str:
        """The host's key, as a public key file has it."""
        key = self._transport.get_remote_server_key()
        return f"{key.get_name()} {key.get_base64()}"

    def __enter__(self) -> SshConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def run(self, command: str, given: bytes, ran: Ran, seconds: float, max_bytes: int) -> Iterator[bytes]:
        """Run it with `given` as its input; pieces of its output and errors, mixed, as they come.

        `ran` is filled in at the end. Raises ConnectionBrokenError.
        """
        until = time.monotonic() + seconds
        where = f"{self._place.host}:{self._place.port}"
        try:
            channel = self._transport.open_session(timeout=seconds)
            channel.settimeout(seconds)
            channel.set_combine_stderr(True)
            channel.exec_command(command)
            for first in range(0, len(given), _GIVEN_BYTES):  # `sendall` copies what is left for each packet
                channel.sendall(given[first : first + _GIVEN_BYTES])
            channel.shutdown_write()
            while piece := channel.recv(min(_PIECE_BYTES, max_bytes + 1)):
                max_bytes -= len(piece)
                if max_bytes < 0:
                    ran.cut = True
                    break
                yield piece
                if time.monotonic() > until:
                    raise ConnectionBrokenError(f"the command at {where} did not end within {seconds:g} s")
                channel.settimeout(max(0.01, until - time.monotonic()))
            else:
                ran.exit_code = channel.recv_exit_status() if channel.status_event.wait(5.0) else None
            channel.close()
        except TimeoutError:
            raise ConnectionBrokenError(f"the command at {where} did not end within {seconds:g} s") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise ConnectionBrokenError(f"the connection to {where} broke: {error or 'the host hung up'}") from None


def connect(place: Place, key_file: Path, seconds: float = 10.0) -> SshConnection:
    """Log in there, if the host shows a pinned key. Raises Unreachable, HostKeyError, LoginRefusedError."""
    kinds = list(_pinned_keys(place).values())
    # A host shows one key at a time: a fingerprint may be that of any of them.
    for preferred in [kinds] if kinds or not _pinned_fingerprints(place) else _KINDS:
        transport = _open_transport(place, preferred, seconds)
        try:
            host_key = _verify(transport, place)
            _log_in(transport, place, key_file, seconds)
        except HostKeyError:
            transport.close()
            if preferred in (kinds, _KINDS[-1]):
                raise
        except BaseException:  # an unowned connection would stay open
            transport.close()
            raise
        else:
            return SshConnection(transport, place, host_key)
    raise AssertionError("the last kind of key returns or raises")


def _log_in(transport: Transport, place: Place, key_file: Path, seconds: float) -> None:
    where = f"{place.user}@{place.host}:{place.port}"
    try:
        key = paramiko.Ed25519Key.from_private_key_file(str(key_file))
    except (paramiko.SSHException, OSError, ValueError) as error:
        raise LoginRefusedError(f"the boss's key {key_file} cannot be used ({error}): admin.py init makes a new one "
                           "once it is moved away") from None  # fmt: skip
    try:
        transport.auth_timeout = seconds
        transport.auth_publickey(place.user, key)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise LoginRefusedError(
            f"{where} does not accept the boss's key ({str(error).rstrip('.') or 'it hung up'}): put the line of "
            f"{key_file}.pub into that user's authorized_keys (admin.py init prints it), and let no other user write "
            "that file or the directories above it"
        ) from None


# --- up to where the host has shown its key -----------------------------------------------------------


def _open_transport(place: Place, preferred: Collection[str], seconds: float) -> Transport:
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
        options = transport.get_security_options()
        offered = list(options.key_types)
        wanted = [each for kind in preferred for each in _SIGNATURES.get(kind, (kind,)) if each in offered]
        options.key_types = [*wanted, *(kind for kind in offered if kind not in wanted)]
        transport.start_client(timeout=seconds)
        transport.get_remote_server_key()  # raises where it returned because its time was over
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        connection.close()
        raise HostUnreachableError(
            f"what answers at {where} is no sshd that we can speak to: {error or 'it hung up'}"
        ) from None
    return transport


# --- host keys: the pinned ones of a place, and the one that a host shows -----------------------------


def _fingerprint_of(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _pinned_keys(place: Place) -> dict[bytes, str]:
    """Key -> its type. Lines that are none are passed over: they match nothing."""
    found: dict[bytes, str] = {}
    for line in place.host_keys:
        words = line.split()
        try:
            found[base64.b64decode(words[1], validate=True)] = words[0]
        except (IndexError, ValueError):
            continue
    return found


def _pinned_fingerprints(place: Place) -> list[str]:
    """Those that stand for a key (`SHA256:...`): their keys' types are not known."""
    return [line for line in place.host_keys if line.startswith("SHA256:")]


def _verify(transport: Transport, place: Place) -> str:
    """The fingerprint of the pinned key that the host shows. Raises HostKeyError."""
    pinned = [*map(_fingerprint_of, _pinned_keys(place)), *_pinned_fingerprints(place)]
    shown = _fingerprint_of(bytes(transport.get_remote_server_key().asbytes()))
    if shown in pinned:
        return shown
    known = ", ".join(pinned) or "none"
    raise HostKeyError(
        f"the host at {place.host}:{place.port} shows the key {shown}, and pinned for this worker is "
        f"{known}: it is another machine, or was reinstalled; nothing was sent to it. If that is as it should be, "
        "start the agent there, then release the worker: admin.py release WORKER",
        shown,
    )
