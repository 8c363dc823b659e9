"""Which boss to use: the one that is configured, else the one that belongs to the state directory.

Knows files of the state directory and the client; starts nothing (see `start_boss`).
"""

from __future__ import annotations

from pathlib import Path

from boss.client.client import Client, ClientError
from boss.state_directory.boss_file import running_boss
from boss.state_directory.tokens import TOKEN_FILE, read_token


def configured_boss(url: str, token: str, state_directory: Path | None) -> Client:
    """The boss of the setting boss_url; its token is the setting `token`, else the state directory's."""
    if not token and state_directory is not None:
        token = _token_of(state_directory, reason=f"boss_url is {url}, and no token is set")
    if not token:
        raise ClientError(f"boss_url is {url}, but no token is set; set `token` or `token_file`")
    return Client(url, token)


def boss_of(state_directory: Path) -> Client | None:
    """The boss that runs on this state directory, or None."""
    boss = running_boss(state_directory)
    if boss is None:
        return None
    return Client(boss.url, _token_of(state_directory, reason=f"a boss runs at {boss.url}"))


def _token_of(state_directory: Path, reason: str) -> str:
    path = state_directory / TOKEN_FILE
    try:
        return read_token(state_directory)
    except PermissionError:
        raise ClientError(f"{reason}, and {path} is readable by its owner only; ask as that user") from None
    except (OSError, ValueError) as error:
        raise ClientError(f"{reason}, and its token cannot be read from {path}: {error}") from None
