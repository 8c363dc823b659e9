"""Which secret an account's calls are made with: a login token that was made by the password, renewed before its end.

What the settings give may be a password or a token; both make tokens. A server keeps at most ten for an account, so the
one that is made is kept in a file, used again by the next start and by every pool, and taken back when it is replaced.
Where no token can be had (a site may forbid it), what was given serves as it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from boss.common.file_lock import locked
from boss.common.private_files import private_folder, write_private
from boss.providers.opennebula.errors import CloudError

logger = logging.getLogger(__name__)

#: How long a token is good; replaced after half of that; after a refusal not asked for again for a while.
TOKEN_SECONDS = 7 * 86400
ASK_AGAIN_SECONDS = 3600.0


class _Kept(msgspec.Struct, frozen=True):
    endpoint: str
    user: str
    token: str
    made: float
    until: float


class CloudLogin:
    """One account. `make(secret, seconds)` gives a token, `drop(secret, token)` takes one back; both raise CloudError.

    For one thread; other processes and pools may share the file.
    """

    def __init__(
        self,
        account: tuple[str, str],
        given: str,
        file: Path,
        make: Callable[[str, int], str],
        drop: Callable[[str, str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`account`: endpoint and user."""
        self._endpoint, self._user = account
        self._given = given
        self._file = file
        self._make = make
        self._drop = drop
        self._wall = wall
        self._kept = self._read()
        self._not_before = 0.0

    @property
    def secret(self) -> str:
        """What the next call is made with."""
        return self._kept.token if self._kept is not None and self._kept.until > self._wall() else self._given

    def keep(self) -> None:
        """Make or renew the token if it is time. Raises CloudError `login` only: what was given is refused."""
        now = self._wall()
        if now < self._not_before or (self._kept is not None and now < _middle(self._kept)):
            return
        try:
            private_folder(self._file.parent)
            with locked(self._file.with_suffix(".lock"), wait=True):
                self._kept = self._read()  # another pool may have been first
                if self._kept is None or now >= _middle(self._kept):
                    self._renew(now)
        except CloudError as error:
            self._not_before = now + (ASK_AGAIN_SECONDS if error.kind not in ("away", "unclear", "login") else 5.0)
            if error.kind == "login":
                raise
            logger.info("no login token: %s; what was given is used", error, extra={"action": "no_token"})
        except OSError as error:
            self._not_before = now + ASK_AGAIN_SECONDS
            logger.warning("%s: %s; no login token is kept there", self._file, error, extra={"action": "no_token"})

    def refused(self) -> bool:
        """The secret in use was refused. True: it was a token, and what was given is used from now on."""
        if self._kept is None or self.secret == self._given:
            return False
        self._kept, self._not_before = None, 0.0
        self._file.unlink(missing_ok=True)
        return True

    def end(self) -> None:
        """The token is taken back and forgotten. Raises CloudError, OSError."""
        private_folder(self._file.parent)
        with locked(self._file.with_suffix(".lock"), wait=True):
            self._kept = kept = self._read()
            if kept is None:
                return
            try:
                self._drop(self.secret, kept.token)
            except CloudError as error:
                if error.kind != "login":  # of no use any more, and as good as gone
                    raise
            self._kept = None
            self._file.unlink(missing_ok=True)

    def _renew(self, now: float) -> None:
        old = self._kept
        token = self._made_by_any(old)
        self._kept = _Kept(self._endpoint, self._user, token, now, now + TOKEN_SECONDS)
        write_private(self._file, msgspec.json.encode(self._kept))
        if old is not None:
            try:
                self._drop(token, old.token)
            except CloudError as error:
                logger.info("the former token stays until it ends: %s", error, extra={"action": "token_stays"})

    def _made_by_any(self, old: _Kept | None) -> str:
        """By the token in use, which may outlive what was given; else by that."""
        if old is not None and old.until > self._wall():
            try:
                return self._make(old.token, TOKEN_SECONDS)
            except CloudError as error:
                if error.kind in ("away", "unclear"):
                    raise
        return self._make(self._given, TOKEN_SECONDS)

    def _read(self) -> _Kept | None:
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError):
            return None
        return kept if (kept.endpoint, kept.user) == (self._endpoint, self._user) else None


def token_in(content: str) -> str:
    """Of the file's content; empty: there is none in it."""
    try:
        return msgspec.json.decode(content, type=_Kept).token
    except msgspec.DecodeError:
        return ""


def _middle(kept: _Kept) -> float:
    return (kept.made + kept.until) / 2
