"""Pools in the settings: layers, faults with their place, what follows from a named cloud; and who makes what."""

from __future__ import annotations

from pathlib import Path

import pytest

import settings
from boss.configuration.pools import POOL_SETTINGS
from boss.configuration.values import SettingsError, parse
from boss.providers import registry
from boss.providers.local import make as make_local
from boss.providers.provider import ProviderError
from boss.setup import make_pools
from settings import load


def read(home: Path, own: str, system: str = "", **env: str) -> settings.Settings:
    system_file = home / "system.toml"
    system_file.write_text(system)
    (home / settings.FILE).write_text(own)
    return load(home, {}, env, system_file)


def faults(home: Path, own: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(home, own)
    return "\n".join(caught.value.faults)


def test_every_default_passes_its_own_limits() -> None:
    for setting in POOL_SETTINGS:
        assert parse(setting, setting.default if setting.default is not None else "", Path("/")) == setting.default
        assert setting.sentence.endswith("."), setting.name


def test_without_anything_there_is_the_local_pool_only(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    assert [policy.name for policy, _ in make_pools(found)] == ["local"]
    assert make_pools(read(tmp_path, "local_workers = 0")) == []


def test_a_named_cloud_is_one_pool_and_no_local_worker(tmp_path: Path) -> None:
    found = read(tmp_path, 'opennebula_endpoint = "http://one:2633/RPC2"\nmax_workers = 30')
    (made,) = make_pools(found)
    policy, setup = made
    assert (policy.name, policy.provider, policy.min_workers, policy.max_workers) == ("cloud", "opennebula", 0, 30)
    assert not policy.keeps_home
    assert setup.options["opennebula_endpoint"] == "http://one:2633/RPC2" and setup.options["template"] == ""
    both = read(tmp_path, 'opennebula_endpoint = "http://one:2633/RPC2"\nlocal_workers = 1')
    assert [policy.name for policy, _ in make_pools(both)] == ["local", "cloud"]


def test_later_files_win_value_by_value_and_origins_are_shown(tmp_path: Path) -> None:
    system = "[pools.cloud]\nmax = 5\nidle_seconds = '2m'\n"
    found = read(tmp_path, "[pools.cloud]\nmax = 50\nlabels = { engine = '2.3' }\n", system)
    pool = found.pools["cloud"]
    assert (pool.max, pool.idle_seconds, pool.labels) == (50, 120.0, {"engine": "2.3"})
    shown = {item.name: (item.value, item.origin) for item in found.show()}
    assert shown["pools.cloud.max"][0] == "50" and settings.FILE in shown["pools.cloud.max"][1]
    assert "system.toml" in shown["pools.cloud.idle_seconds"][1]
    assert shown["pools.cloud.cost_weight"] == ("0.25", "default")


def test_a_pool_with_the_former_name_of_its_weight_has_a_cost_weight_and_a_warning(tmp_path: Path) -> None:
    found = read(tmp_path, "[pools.cloud]\nmax = 5\nthrift = 0.5\n", "[pools.cloud]\ncost_weight = 0.9\n")
    assert found.pools["cloud"].cost_weight == 0.5
    assert found.warnings == (
        f"{tmp_path / settings.FILE}, line 1, [pools.cloud]: thrift is now called cost_weight; rename it, "
        "the next release does not know thrift",
    )
    said = faults(tmp_path, "[pools.cloud]\nthrift = 0.5\ncost_weight = 0.5\n")
    assert said.endswith("[pools.cloud]: cost_weight sets again what thrift sets; keep cost_weight")
    assert "thrift is 7; it must be at most 1" in faults(tmp_path, "[pools.cloud]\nthrift = 7\n")


def test_all_errors_are_reported_with_their_place(tmp_path: Path) -> None:
    said = faults(
        tmp_path,
        "[pools.cloud]\nmaximum = 3\ncost_weight = 7\nmin = 4\nmax = 2\nlabels = 3\n[pools.local]\n[pools.'a b']\n"
        "[pools.s]\nprovider = 'static'\n",
    )
    for words in (
        "[pools.cloud]: maximum is no setting of a pool; did you mean",
        "[pools.cloud]: cost_weight is 7; it must be at most 1",
        "min (4) must be at most max (2)",
        "labels is 3; it must be a table of texts",
        "'local' is the boss's own",
        "'a b' must be letters",
        "[pools.s]: a static pool needs hosts",
    ):
        assert words in said, said
    assert "pools must be tables" in faults(tmp_path, "pools = 3")


def test_the_datastores_pool_has_one_machine(tmp_path: Path) -> None:
    found = read(tmp_path, "[pools.store]\nrole = 'datastore'\nmax = 7\n")
    ((policy, _),) = make_pools(found)
    assert (policy.role, policy.min_workers, policy.max_workers) == ("datastore", 1, 1)


def test_providers_are_found_by_name_and_an_unknown_one_is_refused_with_those_that_there_are() -> None:
    assert registry.find("local") is make_local
    with pytest.raises(ProviderError, match="there is no provider 'slurm'; there are local, opennebula, static"):
        registry.find("slurm")


def test_there_is_one_datastore_only(tmp_path: Path) -> None:
    said = faults(
        tmp_path,
        "datastore_host = 'x'\nlocal_workers = 1\n[pools.a]\nrole = 'datastore'\n[pools.b]\nrole = 'datastore'\n",
    )
    assert "[pools.b]: there is one datastore, and [pools.a] is its machine" in said
    assert "datastore_host and [pools.a] both set where the datastore is" in said
    assert "local_workers must be 0 where the datastore has a host of its own" in said
