"""Logins of the embedded broker: hashes, rights, the two files, and the words of its configuration."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from boss.embedded.logins import (
    LoginError,
    MqttLogin,
    allowed,
    covers,
    hashed,
    read_access,
    read_passwords,
    rights,
    verify,
    write_files,
)
from boss.embedded.programs import mosquitto_configuration
from wire.topics import Topics

TOPICS = Topics("ecloud")
BOSS, STORE = MqttLogin("boss", "b", "boss"), MqttLogin("datastore", "d", "datastore")
ONE, TWO = MqttLogin("w1", "1", "worker"), MqttLogin("w2", "2", "worker")


def test_a_hash_verifies_its_password_only_and_differs_each_time() -> None:
    stored = hashed("päss:word$")
    assert verify("päss:word$", stored)
    assert not verify("other", stored)
    assert stored != hashed("päss:word$")
    assert "word" not in stored


@pytest.mark.parametrize("stored", ["", "x", "$7$101$!$!", "$7$x$AAAA$AAAA", "$6$AAAA$AAAA", "$1$101$AAAA$AAAA"])
def test_what_is_no_hash_of_ours_verifies_nothing(stored: str) -> None:
    assert not verify("", stored)


def test_the_files_say_who_may_log_in_and_are_private(tmp_path: Path) -> None:
    write_files(tmp_path, [BOSS, STORE, ONE, TWO], TOPICS)
    for name in ("passwords", "access"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    passwords = read_passwords(tmp_path)
    assert set(passwords) == {"boss", "datastore", "w1", "w2"}
    assert verify("1", passwords["w1"])
    assert read_access(tmp_path)["w1"] == rights(ONE, TOPICS)


@pytest.mark.parametrize(
    ("login", "action", "topic", "expected"),
    [
        (BOSS, "read", "ecloud/workers/+/reports", True),
        (BOSS, "write", "ecloud/workers/w1/orders", True),
        (BOSS, "read", "other/x", False),
        (BOSS, "read", "#", False),
        (STORE, "read", "ecloud/datastore/orders", True),
        (STORE, "write", "ecloud/datastore/reports", True),
        (STORE, "write", "ecloud/datastore/orders", False),
        (STORE, "read", "ecloud/workers/w1/reports", False),
        (ONE, "read", "ecloud/workers/w1/orders", True),
        (ONE, "write", "ecloud/workers/w1/reports", True),
        (ONE, "write", "ecloud/workers/w1/output", True),
        (ONE, "read", "ecloud/boss/presence", True),
        (ONE, "write", "ecloud/boss/presence", False),
        (ONE, "write", "ecloud/workers/w1/orders", False),
        (ONE, "read", "ecloud/workers/w2/orders", False),
        (ONE, "read", "ecloud/workers/+/orders", False),
        (ONE, "read", "ecloud/#", False),
        (ONE, "write", "ecloud/workers/w2/reports", False),
        (ONE, "write", "", False),
    ],
)
def test_rights(tmp_path: Path, login: MqttLogin, action: str, topic: str, expected: bool) -> None:
    write_files(tmp_path, [BOSS, STORE, ONE, TWO], TOPICS)
    assert allowed(read_access(tmp_path), login.username, action, topic) is expected  # type: ignore[arg-type]


def test_no_client_without_a_login_may_anything(tmp_path: Path) -> None:
    write_files(tmp_path, [BOSS], TOPICS)
    assert not allowed(read_access(tmp_path), "", "read", "ecloud/boss/presence")
    assert not allowed(read_access(tmp_path), "w1", "read", "ecloud/boss/presence")


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a/#", True),
        ("a/#", "#", False),
        ("a/+", "a/b", True),
        ("a/+", "a/+", True),
        ("a/+", "a/#", False),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/b", "a/+", False),
        ("a/b", "a/b/", False),
    ],
)
def test_a_pattern_covers_a_filter_only_if_it_covers_all_that_the_filter_matches(
    pattern: str, topic: str, expected: bool
) -> None:
    assert covers(pattern, topic) is expected


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "#", "../x", "@w"])
def test_a_worker_cannot_be_called_what_would_break_a_file_or_a_topic(name: str) -> None:
    with pytest.raises(LoginError, match="MQTT login of a worker"):
        MqttLogin(name, "x", "worker")


def test_a_login_needs_a_password_and_does_not_show_it() -> None:
    with pytest.raises(LoginError, match="no password"):
        MqttLogin("w1", "", "worker")
    assert "secret" not in repr(MqttLogin("w1", "secret", "worker"))


def test_a_worker_that_is_called_like_the_boss_gets_none_of_its_rights(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="'boss' is both boss and worker"):
        write_files(tmp_path, [BOSS, MqttLogin("boss", "x", "worker")], TOPICS)


def test_mosquitto_is_configured_to_listen_on_loopback_with_logins_and_without_memory(tmp_path: Path) -> None:
    lines = mosquitto_configuration(tmp_path, 12345, as_root=True).splitlines()
    assert {"listener 12345 127.0.0.1", "allow_anonymous false", "persistence false", "user root"} <= set(lines)
    assert f"password_file {tmp_path}/passwords" in lines
    assert "user root" not in mosquitto_configuration(tmp_path, 1, as_root=False)
