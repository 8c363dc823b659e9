"""What a command works on: the state directory, the settings in effect there, and the boss.

The boss is the configured one (boss_url), else the one that runs on the state directory, else the application in this
process over the state directory. Only programs import `settings`: its loader is handed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

from boss.cli.command import ExitCode, stop, warn
from boss.client.client import Client
from boss.client.find import boss_of, configured_boss
from boss.configuration.values import SettingsError, ShownSetting
from boss.state_directory import find

F = TypeVar("F")


class LoadedSettings(Protocol):
    """The settings in effect (`settings.Settings`): by their names as attributes."""

    @property
    def warnings(self) -> Iterable[str]: ...
    def __getattr__(self, name: str) -> Any: ...
    def is_set(self, name: str) -> bool: ...
    def show(self) -> Iterable[ShownSetting]: ...


class Target:
    """What cannot be found or used stops the program with an error."""

    def __init__(self, load_settings: Callable[[Path | None], LoadedSettings]) -> None:
        """`load_settings` raises SettingsError."""
        self._load_settings = load_settings
        #: The option --state_dir; None: searched for.
        self.chosen: Path | None = None

    def state_directory(self) -> Path | None:
        """The one that is there already; None: there is none."""
        return self._found(find.find)

    def made_state_directory(self) -> Path:
        """The one that is there, or a new one in the current directory. A directory of --state_dir must exist."""
        return self._found(find.find_or_make)

    def _found(self, search: Callable[[], F]) -> Path | F:
        if self.chosen is not None:
            if not self.chosen.is_dir():
                stop(ExitCode.BAD_INPUT, f"--state_dir {self.chosen} is no directory")
            return self.chosen.absolute()
        try:
            return search()
        except find.StateDirectoryError as error:
            stop(ExitCode.NO_BOSS, str(error))

    def settings(self, state_directory: Path | None) -> LoadedSettings:
        """Their warnings are written to stderr."""
        try:
            values = self._load_settings(state_directory)
        except SettingsError as error:
            stop(ExitCode.BAD_INPUT, "the settings are invalid:", error.faults)
        warn(values.warnings)
        return values

    def boss(self) -> closing[Client]:
        """A client of the boss, as long as the context lasts. Raises ClientError."""
        return closing(self._client())

    def _client(self) -> Client:
        directory = self.state_directory()
        values = self.settings(directory)
        if values.boss_url:
            return configured_boss(values.boss_url, values.token, directory)
        if directory is None:
            stop(
                ExitCode.NO_BOSS,
                f"there is no .ecloud in {os.getcwd()} or above, and no boss_url is set; push tasks first",
            )
        if (running := boss_of(directory)) is not None:
            return running
        from boss.client.in_process import offline_client  # imports the whole application

        return offline_client(directory, values)
