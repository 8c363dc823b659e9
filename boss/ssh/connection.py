"""One login at a worker's host, checked by its pinned keys first, and commands run through it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from boss.ssh.errors import ConnectionBrokenError, HostKeyError, LoginRefusedError
from boss.ssh.host_keys import pinned_fingerprints, pinned_keys, verify
from boss.ssh.transport import Transport, open_transport
from wire.messages import Place

#: Kinds of host keys, the usual one first.
_KINDS = [["ssh-ed25519"], ["ecdsa-sha2-nistp256"], ["ssh-rsa"]]
_PIECE_BYTES = 32 * 1024
_GIVEN_BYTES = 256 * 1024


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
    kinds = list(pinned_keys(place).values())
    # A host shows one key at a time: a fingerprint may be that of any of them.
    for preferred in [kinds] if kinds or not pinned_fingerprints(place) else _KINDS:
        transport = open_transport(place, preferred, seconds)
        try:
            host_key = verify(transport, place)
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
