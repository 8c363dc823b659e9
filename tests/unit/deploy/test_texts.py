"""What a deploy writes: templates for the cloud, the boss's settings; and how templates of the cloud are read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import settings
from boss.deploy import one_text
from boss.deploy.errors import DeployError
from boss.deploy.settings_text import boss_settings
from boss.deploy.templates import FILES, OF_THE_CLOUD, render
from tests.worlds.opennebula.encoding import attributes_of

CLOUD = {
    "opennebula_endpoint": "http://one:2633/RPC2", "opennebula_user": "ann", "opennebula_password": "secret",
    "opennebula_template": "worker", "opennebula_image": "oneadmin/debian-12", "opennebula_network": "oneadmin/private",
}  # fmt: skip


def values(folder: Path, text: str = "", **options: object) -> settings.Settings:
    (folder / "settings.toml").write_text(text)
    return settings.load(folder, {**CLOUD, **options}, environment={}, system_file=folder / "none")


# --- templates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_THE_CLOUD)
def test_a_template_is_read_alike_by_us_and_by_the_front_end_and_has_our_mark(name: str, tmp_path: Path) -> None:
    text = render(name, values(tmp_path))
    read = one_text.parse(text)
    assert read == attributes_of(text)
    assert (read["NAME"], read["ECLOUD_TEMPLATE"]) == (f"ecloud-{name}", name)
    assert read["NIC"] == {"NETWORK": "private", "NETWORK_UNAME": "oneadmin"}
    assert read["CONTEXT"] == {"NETWORK": "YES", "SSH_PUBLIC_KEY": "$USER[SSH_PUBLIC_KEY]"}
    assert text.count("\n#") >= 3, "it is commented for the admin who reads it"
    assert max(map(len, text.splitlines())) <= 130


def test_templates_follow_the_settings(tmp_path: Path) -> None:
    given = values(tmp_path, opennebula_cpus=4, opennebula_memory_bytes="8GiB", opennebula_datastore_disk="store")
    worker = one_text.flat(one_text.parse(render("worker", given)))
    assert (worker["VCPU"], worker["MEMORY"], worker["DISK/IMAGE_UNAME"]) == ("4", "8192", "oneadmin")
    store = one_text.flat(one_text.parse(render("datastore", given)))
    assert (store["DISK/IMAGE"], store["DISK[1]/IMAGE"]) == ("debian-12", "store")
    assert "NIC" not in one_text.parse(render("worker", values(tmp_path, opennebula_network="")))


def test_a_template_without_an_image_or_that_is_none_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="opennebula_image, such as debian-12"):
        render("worker", values(tmp_path, opennebula_image=""))
    with pytest.raises(DeployError, match="there are worker, boss, datastore, mosquitto.conf"):
        render("wroker", values(tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_the_broker_s_files_need_no_cloud_and_have_the_settings_names(name: str, tmp_path: Path) -> None:
    given = values(tmp_path, opennebula_image="", broker_username="chief", mqtt_prefix="lab", broker_port=1884)
    text = render(name, given)
    if name == "mosquitto.acl":
        assert "user chief\ntopic readwrite lab/#\n" in text and "pattern read lab/workers/%u/orders\n" in text
    else:
        assert "listener 1884\n" in text and "certfile" not in text and "allow_anonymous false" in text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('A = "1" # no\n#B = "2"\nC=[ D="x y", E = F ]', {"A": "1", "C": {"D": "x y", "E": "F"}}),
        ('A = "say \\"# hi\\" \\\\"', {"A": 'say "# hi" \\'}),
        ('N = [ A = "1" ]\nN = [ A = "2" ]\n', {"N": [{"A": "1"}, {"A": "2"}]}),
        ("", {}),
    ],
)
def test_a_template_s_text_is_read(text: str, read: dict[str, object]) -> None:
    assert one_text.parse(text) == read == attributes_of(text)


@pytest.mark.parametrize(("text", "line"), [('A = "1"\nB "2"', 2), ('A = [ B = "1"', 1), ("A = ;", 1), ("A", 1)])
def test_what_cannot_be_read_is_reported_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"line {line}"):
        one_text.parse(text)


def test_what_is_quoted_is_read_as_it_was() -> None:
    for each in ("plain", 'a "b" \\ c', "#", "x\ny", ""):
        assert one_text.parse(f"A = {one_text.quoted(each)}") == {"A": each}


# --- the boss's settings ---------------------------------------------------------------------------


def test_the_boss_gets_what_its_user_configured_but_no_secret_and_nothing_of_the_user_s_machine(tmp_path: Path) -> None:
    text = """
boss_url = "http://old:1"
token = "old"
lease_seconds = 45
datastore_tree = "here"
broker_tls_ca = "ca.pem"
[pools.big]
max = 3
labels = { engine = "2.3", "a b" = 'say "hi"' }
options = { poll_seconds = 5 }
"""
    given = tomllib.loads(boss_settings(values(tmp_path, text), "10.0.0.9", "m4rk"))
    assert given["pools"] == {
        "big": {"max": 3, "labels": {"engine": "2.3", "a b": 'say "hi"'}, "options": {"poll_seconds": 5}},
        "datastore": {"role": "datastore"},
    }
    assert given["lease_seconds"] == 45 and given["opennebula_network"] == "oneadmin/private"
    assert (given["boss_address"], given["http_host"], given["http_port"]) == ("10.0.0.9", "0.0.0.0", 8080)
    assert (given["broker_listen"], given["broker_port"], given["opennebula_mark"]) == ("0.0.0.0", 1883, "m4rk")
    for absent in ("boss_url", "token", "datastore_tree", "broker_tls_ca", "opennebula_password", "retries"):
        assert absent not in given


def test_what_the_boss_gets_are_settings_that_it_takes(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    given = values(tmp_path, "[pools.a]\nmax = 2\n[pools.b]\nprovider = 'static'\nhosts = ['x@10.0.0.1']\n")
    (there / "settings.toml").write_text(boss_settings(given, "10.0.0.9", "m"))
    text = (there / "settings.toml").read_text().replace("/etc/ecloud/http.token", str(there / "t"))
    (there / "settings.toml").write_text(text.replace("/etc/ecloud/opennebula.token", str(there / "t")))
    (there / "t").write_text("x\n")
    taken = settings.load(there, environment={}, system_file=there / "none")
    assert sorted(taken.pools) == ["a", "b", "datastore"] and taken.pools["datastore"].role == "datastore"
    assert taken.local_workers == 0 and taken.token == "x"


@pytest.mark.parametrize(
    "text",
    [
        'datastore_host = "store"',
        "[pools.store]\nrole = 'datastore'\n",
        "[pools.store]\nrole = 'datastore'\ntemplate = '7'\n",
    ],
)
def test_who_has_a_datastore_is_given_no_other(text: str, tmp_path: Path) -> None:
    given = tomllib.loads(boss_settings(values(tmp_path, text), "10.0.0.9", "m"))
    assert "datastore" not in given.get("pools", {})


def test_an_outside_broker_stays_where_it_is(tmp_path: Path) -> None:
    given = tomllib.loads(boss_settings(values(tmp_path, broker_host="mq", broker_port=1885), "10.0.0.9", "m"))
    assert given["broker_host"] == "mq" and "broker_listen" not in given
