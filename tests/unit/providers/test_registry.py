"""How a provider is found by its name, and what the settings of a static pool may say."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from boss.providers.provider import ProviderError
from boss.providers.registry import GROUP, OWN, find
from boss.providers.static.hosts import Host, place_of, read_hosts
from boss.setup import PoolSetup

TOP = Path(__file__).resolve().parents[3]
PRINT = "SHA256:" + "A" * 43


def pool(*hosts: object, **options: object) -> PoolSetup:
    return PoolSetup(name="lab", provider="static", max=9, options={"hosts": list(hosts), **options})


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local", "opennebula", "static", "fake"])
def test_our_own_are_found_without_being_installed(name: str) -> None:
    assert find(name).__name__ == "make"


def test_an_installed_ecloud_says_the_same_of_its_own_by_entry_points() -> None:
    declared = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    assert declared == {name: where for name, where in OWN.items() if name != "fake"}
    for where in declared.values():
        module, _, attribute = where.partition(":")
        assert callable(getattr(import_module(module), attribute))


def test_one_that_another_package_brings_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_clouds.py").write_text("def make(pool, services):\n    return (pool, services)\n")
    about = tmp_path / "acme_clouds-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-clouds\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[{GROUP}]\nacme = acme_clouds:make\nbroken = acme_clouds:nothing\nlocal = acme_clouds:make\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert find("acme").__module__ == "acme_clouds"
    assert find("local").__module__ == "boss.providers.local"
    with pytest.raises(ProviderError, match="'broken' cannot be loaded"):
        find("broken")
    with pytest.raises(ProviderError, match="there are acme, broken, local, opennebula, static"):
        find("acne")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProviderError) as caught:
        find("kubernetes")
    assert str(caught.value) == "there is no provider 'kubernetes'; there are local, opennebula, static"


# --- hosts ------------------------------------------------------------------------------------------


def test_a_host_is_a_line_or_a_table() -> None:
    line, six, table = read_hosts(
        pool(
            f"anna@10.0.0.5 {PRINT}",
            f"anna@[fe80::1]:2222 {PRINT}",
            {"address": "b.example.org", "user": "bo", "port": 23, "fingerprint": PRINT, "slots": 4, "home": "/srv/e"},
        )
    )
    assert (line.user, line.at, line.home, line.slots) == ("anna", "10.0.0.5:22", "ecloud-worker", 0)
    assert (six.address, six.at) == ("fe80::1", "[fe80::1]:2222")
    assert table == Host(address="b.example.org", user="bo", port=23, fingerprint=PRINT, slots=4, home="/srv/e")
    assert place_of(table, pool()).host_keys == [PRINT]


def test_all_errors_are_reported_at_once_each_with_its_host() -> None:
    with pytest.raises(ProviderError) as caught:
        read_hosts(
            pool(
                "anna@10.0.0.5",
                f"anna@10.0.0.6:99999 {PRINT}",
                "anna@10.0.0.7 SHA256:short",
                f"root@10.0.0.8 {PRINT}",
                "two words here",
                {"address": "b", "adress": "c"},
                f"a@10.0.0.9 {PRINT}",
                f"b@10.0.0.9:22 {PRINT}",
            )
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 7 and all(line.startswith("[pools.lab]: the host") for line in lines)
    for number, words in enumerate(
        ["ssh-keyscan", "port", "43 characters", "ordinary one", "fingerprint", "adress", "named twice"]
    ):
        assert words in lines[number]


def test_a_pool_without_hosts_is_refused() -> None:
    with pytest.raises(ProviderError, match="needs hosts"):
        read_hosts(pool())


def test_a_known_hosts_file_stands_for_fingerprints_and_its_faults_name_it(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFKlkkmG6R4AdgOssrkW/9/UhfXxVsUnSnX69HeRYHl7"
    (host,) = read_hosts(pool("anna@10.0.0.5:2200", known_hosts=known))
    with pytest.raises(ProviderError, match="cannot be read"):
        place_of(host, pool(known_hosts=known))
    known.write_text(f"# ours\n[10.0.0.5]:2200 {key}\n10.0.0.6 {key} comment\n")
    assert place_of(host, pool(known_hosts=known)).host_keys == [key]
    known.write_text("10.0.0.5 ssh-ed25519 %%%\n")
    with pytest.raises(ProviderError, match="line 1 has no key"):
        place_of(host, pool(known_hosts=known))
