"""Pools whose machines could never become workers of this boss: refused when it starts, with what to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from boss.bootstrap.addresses import fault_of_pools
from boss.core.policy import Policy
from boss.inbox import Inbox
from boss.program import run_boss
from boss.setup import PoolSetup, Setup
from boss.state_directory.lock import CannotStartError

REACHABLE = {"broker_listen": "0.0.0.0", "http_host": "0.0.0.0"}


def setup_of(folder: Path, provider: str, largest: int = 4, **settings: str) -> Setup:
    pools = (PoolSetup(name="lab", provider=provider, max=largest),)
    return Setup(
        state_directory=folder, tree=folder / "tree", database="", policy=Policy(pools=()), pools=pools,
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "settings", "words"),
    [
        ("opennebula", {"broker_host": "mq.lan"}, "broker at mq.lan is not the boss's own"),
        ("static", {"broker_host": "mq.lan"}, "broker at mq.lan is not the boss's own"),
        ("opennebula", {}, "set broker_listen"),
        ("opennebula", {"broker_listen": "0.0.0.0"}, "set http_host"),
        ("opennebula", REACHABLE, ""),
        ("static", {}, ""),
        ("local", {"broker_host": "mq.lan"}, ""),
        ("fake", {}, ""),
    ],
)
def test_a_pool_without_a_way_to_the_boss_is_named(
    tmp_path: Path, provider: str, settings: dict[str, str], words: str
) -> None:
    fault = fault_of_pools(setup_of(tmp_path, provider, **settings))
    assert words in fault and bool(fault) == bool(words)
    assert not fault or "take [pools.lab] out of the settings" in fault


def test_a_pool_that_may_have_no_machine_is_not_in_the_way(tmp_path: Path) -> None:
    assert fault_of_pools(setup_of(tmp_path, "opennebula", largest=0, broker_host="mq.lan")) == ""


def test_a_boss_with_such_a_pool_does_not_start_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="pool lab cannot have a worker: the broker at mq.lan"):
        run_boss(setup_of(tmp_path, "static", broker_host="mq.lan"), Inbox())
    assert list(tmp_path.iterdir()) == []
