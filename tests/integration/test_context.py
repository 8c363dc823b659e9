"""show_context, set_datastore, drop_context: with and without a running boss, and what the next boss makes of it."""

from __future__ import annotations

from tests.worlds.deployment import Deployment, deployment
from tests.worlds.waiting import scaled

__all__ = ["deployment"]


def context(deployment: Deployment, *words: str) -> list[str]:
    done = deployment.admin(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_not_configured_is_looked_up_and_what_was_set_holds_until_it_is_dropped(deployment: Deployment) -> None:
    deployment.home.mkdir(mode=0o700)
    deployment.settings["boss_address"] = "10.0.0.5"
    usual = ["boss_address: 10.0.0.5", "datastore_address: 10.0.0.5"]
    assert context(deployment, "show_context") == usual
    said = context(deployment, "set_datastore", "10.0.0.7")
    assert said[:2] == ["boss_address: 10.0.0.5", "datastore_address: 10.0.0.7"] and "from its next start" in said[2]
    assert (deployment.home / "context.json").stat().st_mode & 0o777 == 0o600
    deployment.settings["datastore_host"] = "store"
    assert deployment.asked("show_context")["datastore_address"] == "10.0.0.7", "an operator's word wins"
    assert context(deployment, "drop_context")[1] == "datastore_address: store"
    del deployment.settings["datastore_host"]
    assert context(deployment, "show_context") == usual


def test_what_is_no_address_is_refused_and_changes_nothing(deployment: Deployment) -> None:
    deployment.home.mkdir(mode=0o700)
    for wrong in ("a b", "-x", "x\ny", ""):
        done = deployment.admin("set_datastore", "--", wrong)
        assert done.returncode == 2 and "no host name and no address" in done.stderr
    assert not (deployment.home / "context.json").exists()


def test_a_running_boss_is_notified_and_the_next_one_waits_for_the_datastore_that_was_named(
    deployment: Deployment,
) -> None:
    deployment.settings["boss_address"] = "10.0.0.5"
    boss = deployment.start_boss()
    assert "next start" in context(deployment, "set_datastore", "store-7")[2]
    boss.terminate()
    boss.wait(scaled(60))
    deployment.start_boss()
    assert deployment.pids("datastore") == [], "its program is on another host now"
    assert context(deployment, "show_context")[1] == "datastore_address: store-7"
    assert context(deployment, "drop_context")[1] == "datastore_address: 10.0.0.5"


def test_where_a_pool_makes_the_datastore_s_machine_no_setting_overrides_it(deployment: Deployment) -> None:
    deployment.home.mkdir(mode=0o700)
    (deployment.home / "settings.toml").write_text(
        'opennebula_endpoint = "http://127.0.0.1:1/RPC2"\n[pools.store]\nrole = "datastore"\n'
    )
    done = deployment.admin("set_datastore", "10.0.0.7")
    assert done.returncode == 3 and "pool 'store' makes the datastore's machine" in done.stderr
    assert context(deployment, "show_context")[1:] == [
        "datastore_address: ",
        "Note: the datastore's machine does not exist yet: pool store makes it.",
    ]
