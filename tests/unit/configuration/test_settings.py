"""Settings: layers, origins, faults all at once, secrets; and where the state directory may be."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import settings
from boss.configuration.values import SettingsError, as_written, former_names, masked, parse
from boss.intake import stream
from settings import SETTINGS, load
from wire.codec import MAX_BYTES

#: Beside seconds and bytes: units that are only names of what is counted or written.
BARE_UNITS = "URL path address port text name topic workers tasks times transfers cores".split()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def read(home: Path, *, system: str = "", own: str = "", env: dict[str, str] | None = None, **options: object):
    system_file = home.parent / "system.toml"
    system_file.write_text(system)
    (home / settings.FILE).write_text(own)
    return load(home, options, env or {}, system_file)


def faults_of(home: Path, **given: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(home, **given)  # type: ignore[arg-type]
    return caught.value.faults


def test_with_nothing_given_every_setting_has_its_default(tmp_path: Path) -> None:
    found = load(None, {}, {}, tmp_path / "absent.toml")
    assert {setting.name: getattr(found, setting.name) for setting in SETTINGS} == {
        setting.name: setting.default for setting in SETTINGS
    }
    assert {shown.origin for shown in found.show()} == {"default"}


def test_every_default_passes_its_own_limits_and_every_setting_has_a_sentence() -> None:
    for setting in SETTINGS:
        assert parse(setting, setting.default if setting.default is not None else "", Path("/")) == setting.default
        assert setting.sentence.endswith(".") and setting.sentence[0].isupper(), setting.name
        assert setting.unit in {*BARE_UNITS, "seconds", "days", "bytes"}, setting.name
        assert re.fullmatch("[a-z][a-z_]*", setting.name)


def test_no_setting_shares_its_variable_with_one_that_is_no_setting() -> None:
    assert not {f"ECLOUD_{key.upper()}" for key in settings.KEYS} & settings.OTHER_VARIABLES


def test_later_layers_win_and_each_value_knows_its_origin(home: Path) -> None:
    layers = {
        "system": "slots = 1\nretries = 1\nlocal_workers = 1\nprefetch_max = 1\n",
        "own": "retries = 2\nlocal_workers = 2\nprefetch_max = 2\n",
        "env": {"ECLOUD_LOCAL_WORKERS": "3", "ECLOUD_PREFETCH_MAX": "3"},
    }
    found = read(home, **layers, prefetch_max=4)
    assert [found.slots, found.retries, found.local_workers, found.prefetch_max] == [1, 2, 3, 4]
    assert found.origin("slots") == f"{home.parent}/system.toml, line 1"
    assert found.origin("retries") == f"{home}/settings.toml, line 1"
    assert found.origin("local_workers") == "ECLOUD_LOCAL_WORKERS in the environment"
    assert found.origin("prefetch_max") == "--prefetch_max"
    assert found.origin("http_port") == "default"
    assert found.is_set("slots") and not found.is_set("http_port")


def test_an_option_that_was_not_given_changes_nothing(home: Path) -> None:
    assert read(home, own="slots = 3", slots=None).slots == 3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("lease_seconds = 90", 90.0),
        ('lease_seconds = "1.5m"', 90.0),
        ('lease_seconds = "2 h"', 7200.0, ),
        ('cache_limit_bytes = "5GB"', 5_000_000_000),
        ('cache_limit_bytes = "1.5 GiB"', 1_610_612_736),
        ("cache_limit_bytes = 1_000", 1000),
        ('database = " sqlite:///x "', "sqlite:///x"),
    ],
)  # fmt: skip
def test_values_may_be_written_with_units(home: Path, text: str, wanted: object) -> None:
    found = read(home, own=f"orphan_after_seconds = 9999\n{text}")
    assert getattr(found, text.split(" ")[0]) == wanted


def test_all_errors_are_reported_at_once_each_with_file_and_line(home: Path) -> None:
    faults = faults_of(
        home,
        system='http_port = 70000\nlog_level = "loud"\n',
        own='# mine\nslots = "many"\nretires = 3\n\nheartbeat_seconds = true\n[extra]\nx = 1\n',
        env={"ECLOUD_TRANSFERS_AT_ONCE": "0", "ECLOUD_HTTP_PROT": "8080"},
        http_hots="::1",
    )
    place = str(home.parent)
    assert faults == [
        f"{place}/state/settings.toml, line 3: there is no setting 'retires'; did you mean 'retries'?",
        f"{place}/state/settings.toml, line 6: there is no setting 'extra'",
        "ECLOUD_HTTP_PROT in the environment: there is no setting 'http_prot'; did you mean 'http_port'?",
        "--http_hots: there is no setting 'http_hots'; did you mean 'http_host'?",
        f"{place}/system.toml, line 1: http_port is 70000; it must be at most 65535",
        f"{place}/system.toml, line 2: log_level is 'loud'; it must be one of debug, info, warning, error",
        f"{place}/state/settings.toml, line 2: slots is 'many'; it must be a whole number of tasks",
        f"{place}/state/settings.toml, line 5: heartbeat_seconds is True; it must be a number of seconds",
        "ECLOUD_TRANSFERS_AT_ONCE in the environment: transfers_at_once is 0; it must be at least 1",
    ]


@pytest.mark.parametrize("value", ["1.5", '"1.5"', "nan", "inf", "[1]", '"3 apples"', '""', "true"])
def test_what_is_no_whole_number_is_refused(home: Path, value: str) -> None:
    (fault,) = faults_of(home, own=f"slots = {value}")
    assert "it must be a whole number of tasks" in fault


def test_a_file_that_is_no_toml_is_reported_with_its_line(home: Path) -> None:
    (fault,) = faults_of(home, own="slots = 1\nretries = = 2\n")
    assert fault.startswith(f"{home}/settings.toml is not TOML: ") and "line 2" in fault


def test_a_file_that_is_no_text_is_reported(home: Path) -> None:
    (home / "settings.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(home, {}, {}, home / "absent.toml")


@pytest.fixture
def renamed_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `slots` had been called `lanes`, and `token` `secret`."""
    monkeypatch.setattr(settings, "FORMER", {"lanes": "slots", "secret": "token", "secret_file": "token_file"})


def test_of_a_secret_the_file_that_names_it_has_a_former_name_too() -> None:
    renamed = replace(settings.BY_NAME["token"], formerly=("secret",))
    assert former_names({"token": renamed, "token_file": renamed}) == {"secret": "token", "secret_file": "token_file"}


@pytest.mark.usefixtures("renamed_settings")
def test_a_former_name_works_everywhere_with_one_warning_that_says_where_it_stands(home: Path) -> None:
    (home / "token").write_text("do-not-show\n")
    text = "is now called slots; rename it, the next release does not know lanes"
    for given, place in (
        ({"own": "\nlanes = 3\n"}, f"{home}/settings.toml, line 2: lanes"),
        ({"env": {"ECLOUD_LANES": "3"}}, "ECLOUD_LANES in the environment: lanes"),
        ({"lanes": 3}, "--lanes: lanes"),
    ):
        found = read(home, **given)  # type: ignore[arg-type]
        assert (found.slots, found.warnings) == (3, (f"{place} {text}",))
    found = read(home, own="secret_file = 'token'\n")
    assert found.token == "do-not-show"
    assert [warning.partition(": ")[2].split(";")[0] for warning in found.warnings] == [
        "secret_file is now called token_file"
    ]
    assert read(home, own="slots = 3\n").warnings == ()


@pytest.mark.usefixtures("renamed_settings")
def test_former_and_present_name_in_one_place_are_an_error_and_later_places_win(home: Path) -> None:
    (fault,) = faults_of(home, own="slots = 1\nlanes = 2\n")
    place = f"{home}/settings.toml, line"
    assert fault == f"{place} 2: lanes sets again what {place} 1 sets; keep one of them"
    assert read(home, own="lanes = 1\n", env={"ECLOUD_SLOTS": "2"}).slots == 2
    (fault,) = faults_of(home, own="lanes = 'many'\n")
    assert fault == f"{place} 1: lanes is 'many'; it must be a whole number of tasks"


def test_variables_of_others_and_of_our_tasks_are_left_alone(home: Path) -> None:
    variables = {"ECLOUD_TASK": "3", "ECLOUD_HOME": "/x", "ECLOUD_FLAVOUR_OF_THE_DAY": "y", "PATH": "/bin"}
    assert list(read(home, env=variables).show()) == list(read(home).show())


def test_settings_that_must_agree_are_compared(home: Path) -> None:
    faults = faults_of(home, own='heartbeat_seconds = 20\nbroker_tls_cert = "a.pem"')
    assert faults == [
        f"{home}/settings.toml, line 1: lease_seconds (30) must be at least twice heartbeat_seconds (20)",
        f"{home}/settings.toml, line 2: broker_tls_cert and broker_tls_key are set together or not at all",
    ]


def test_paths_are_relative_to_the_file_that_names_them(home: Path) -> None:
    assert read(home, own='datastore_tree = "../results"').datastore_tree == home / "../results"
    assert read(home, own='datastore_tree = "~/results"').datastore_tree == Path.home() / "results"
    assert read(home, env={"ECLOUD_DATASTORE_TREE": ""}).datastore_tree is None


def test_a_secret_may_be_named_by_a_file(home: Path) -> None:
    (home / "secret").write_text("s3cret\n")
    found = read(home, own='token_file = "secret"')
    assert found.token == "s3cret"
    assert found.origin("token") == f"{home}/settings.toml, line 1"
    assert read(home, env={"ECLOUD_TOKEN_FILE": str(home / "secret")}).token == "s3cret"


def test_a_secret_file_that_is_not_there_is_named(home: Path) -> None:
    (fault,) = faults_of(home, own='token_file = "nowhere"')
    assert fault.endswith(f"token_file names the file {home}/nowhere, which cannot be read: No such file or directory")


def test_a_secret_and_its_file_in_one_place_are_refused(home: Path) -> None:
    (home / "secret").write_text("x")
    (fault,) = faults_of(home, own='token = "y"\ntoken_file = "secret"')
    assert "keep one of them" in fault


def test_secrets_are_never_shown(home: Path) -> None:
    url = "mysql+pymysql://ecloud:p@ss/w:rd@db/ecloud?password=hidden2"
    found = read(home, token="s3cret", broker_password="s3cret", database=url)
    shown = {item.name: item.value for item in found.show()}
    assert shown["token"] == shown["broker_password"] == "***"
    assert shown["database"] == "mysql+pymysql://ecloud:***@db/ecloud?password=***"
    assert not any("s3cret" in value for value in shown.values())


def test_a_secret_of_a_wrong_type_is_not_repeated_in_the_fault(home: Path) -> None:
    (fault,) = faults_of(home, own="token = 12345")
    assert "12345" not in fault and "must be a text" in fault


def test_a_name_that_is_no_setting_is_no_attribute(home: Path) -> None:
    with pytest.raises(AttributeError, match="no setting 'colour'"):
        _ = read(home).colour


def test_defaults_and_limits_are_stated_in_words_that_can_be_written_back() -> None:
    for setting in SETTINGS:
        for value in (setting.default, setting.least, setting.most):
            text = as_written(value, setting.unit)
            if text != "(empty)":
                assert parse(setting, text, Path("/")) == value
        assert masked(setting, setting.default) is not None


def test_the_longest_description_that_may_be_allowed_is_the_longest_that_can_be_sent() -> None:
    assert settings.BY_NAME["max_task_bytes"].most == stream.MAX_TASK_BYTES
    assert settings.BY_NAME["max_task_bytes"].default == stream.TASK_BYTES
    assert 2 * stream.MAX_TASK_BYTES <= MAX_BYTES, "as the execution in a Run, beside all else in that message"


def test_where_the_datastore_is_elsewhere_no_worker_starts_beside_the_boss() -> None:
    given = {"ECLOUD_DATASTORE_HOST": "store.example"}
    nowhere = Path("/nonexistent")
    assert settings.load(environment=given, system_file=nowhere).local_workers == 0
    assert settings.load(environment={}, system_file=nowhere).local_workers == 1
    with pytest.raises(SettingsError, match="local_workers must be 0 where the datastore has a host of its own"):
        settings.load(environment={**given, "ECLOUD_LOCAL_WORKERS": "2"}, system_file=nowhere)


def test_an_external_broker_is_not_configured_where_to_listen() -> None:
    given = {"ECLOUD_BROKER_HOST": "mqtt.example", "ECLOUD_BROKER_LISTEN": "0.0.0.0"}
    with pytest.raises(SettingsError, match="broker_listen is for a broker of the boss's own"):
        settings.load(environment=given, system_file=Path("/nonexistent"))


@pytest.mark.parametrize("token", ["two\nlines", "with blank", "t\u00f6ken", "nul\0"])
def test_a_token_that_no_header_could_hold_is_refused_without_being_shown(home: Path, token: str) -> None:
    (fault,) = faults_of(home, env={"ECLOUD_TOKEN": token})
    assert fault.startswith("ECLOUD_TOKEN in the environment: token must be of ASCII") and token not in fault


def test_a_file_without_an_end_is_no_secret(home: Path) -> None:
    (fault,) = faults_of(home, env={"ECLOUD_DATABASE_FILE": "/dev/zero"})
    assert "names the file /dev/zero, which is no secret" in fault
