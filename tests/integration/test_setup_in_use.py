"""Each value that a boss gets of the settings is read by the program that runs with it.

With tests/unit/boss/test_settings_in_effect.py, where each setting changes such a value: no setting ends in a value
that is not looked at.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import settings
from boss.__main__ import _setup
from boss.inbox import Inbox
from boss.program import run_boss
from boss.setup import Setup
from boss.state_directory.boss_file import BOSS_FILE
from tests.worlds.waiting import scaled, wait_for


class Watched(Setup):
    """A Setup that remembers what was read of it."""

    read: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> object:
        type(self).read.add(name)
        return super().__getattribute__(name)


def live(folder: Path, **options: object) -> set[str]:
    """A boss with these settings from its start to its end; what it read."""
    home = folder / ".ecloud"
    home.mkdir(mode=0o700, parents=True)
    setup = _setup(home, settings.load(home, options, {}, folder / "absent.toml"), while_followed=True)
    watched = Watched(**{name: getattr(setup, name) for name in Setup.__struct_fields__})
    Watched.read.clear()
    inbox = Inbox()
    thread = threading.Thread(target=run_boss, args=(watched, inbox), daemon=True)
    thread.start()

    def check() -> None:
        assert thread.is_alive(), "the boss has ended"

    wait_for((home / BOSS_FILE).exists, "the boss answers", check=check)
    wait_for(lambda: not setup.own_workers() or "slots" in Watched.read, "a worker is started", check=check)
    inbox.stop()
    thread.join(scaled(60))
    assert not thread.is_alive()
    return set(Watched.read)


def test_a_boss_reads_every_value_that_it_is_given(tmp_path: Path) -> None:
    """One with a broker of its own, and one whose broker, which is not there, and datastore are elsewhere."""
    elsewhere = {"broker_host": "127.0.0.1", "broker_port": 9, "datastore_host": "store", "boss_address": "boss.lan"}
    read = live(tmp_path / "own") | live(tmp_path / "other", local_workers=0, **elsewhere)
    assert set(Setup.__struct_fields__) - read == set()
