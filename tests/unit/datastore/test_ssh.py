"""The pure parts of transfers over SSH: what an end means, and how ssh is configured for a host that is not trusted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datastore.transfers import hosts, rsync, verdicts
from datastore.transfers.verdicts import Direction, FreeSpace, RemoteEnd, TransferFailedError, of_connection, of_rsync
from wire.messages import Place

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFLSWKCYx3n7qwEFqloxRUmJ5YaqP8sh/7h+NCF9QmA0"
REMOTE = RemoteEnd("w1", "ecloud", "10.0.0.7", 22)
PLACE = Place(kind="ssh", path="/srv/ecloud", host="10.0.0.7", user="ecloud", host_keys=[f"{KEY} root@w1"])


# --- what the end of an rsync means -----------------------------------------------------------------

BROKEN = "client_loop: send disconnect: Broken pipe\nrsync error: error in rsync protocol data stream (code 12)\n"
NO_SPACE = 'rsync: [receiver] write failed on "/x": No space left on device (28)\n'

#: (code, what it wrote, direction) -> fault and words of the reason; None: each file is looked at.
ENDS: list[tuple[int, str, Direction, str | None, str]] = [
    (0, "", "collect", None, ""),
    (0, "", "stage", None, ""),
    (23, 'rsync: [sender] link_stat "/x" failed: No such file or directory (2)', "collect", None, ""),
    (24, "file has vanished", "collect", None, ""),
    (23, 'rsync: [receiver] mkstemp "/x" failed: Permission denied (13)', "stage", "transfer", "Permission denied"),
    (10, "", "collect", "transfer", "the connection broke"),
    (12, BROKEN, "collect", "transfer", "cut (client_loop: send disconnect: Broken pipe)"),
    (30, "rsync error: timeout in data send/receive (code 30)", "collect", "transfer", "nothing was heard"),
    (35, "", "stage", "transfer", "no connection in time"),
    (255, "ssh: connect to host: No route to host", "stage", "transfer", "No route to host"),
    (-signal.SIGKILL, "", "collect", "transfer", "ended by SIGKILL"),
    (-signal.SIGTERM, "", "stage", "transfer", "ended by SIGTERM"),
    (20, "", "collect", "transfer", "rsync was stopped"),
    (11, NO_SPACE, "collect", "full", "our disk"),
    (23, 'rsync: mkstemp "/x" failed: Disk quota exceeded (122)', "collect", "full", "our disk"),
    (11, NO_SPACE, "stage", "transfer", "the worker's disk is full"),
    (11, "rsync: write failed: Input/output error (5)", "collect", "transfer", "code 11"),
    (-signal.SIGXFSZ, "", "collect", "host", "more bytes than were said"),
    (11, 'rsync: write failed on "/x": File too large (27)', "collect", "host", "more bytes than were said"),
    (4, "ABORTING due to unsafe pathname from sender: ../x", "collect", "host", "not asked for"),
    (2, "ABORTING due to invalid path from sender: /x", "collect", "host", "not asked for"),
    (22, "rsync: out of memory in flist_expand [receiver]", "collect", "host", "has no end"),
    (22, "rsync: out of memory in flist_expand [sender]", "stage", "transfer", "out of memory"),
    (4, 'ERROR: rejecting unrequested file-list name: "x"', "collect", "host", "not asked for"),
    (2, "protocol version mismatch -- is your shell clean?", "collect", "transfer", "shell prints at a login"),
    (127, "bash: line 1: rsync: command not found", "stage", "transfer", "rsync is not installed"),
    (12, "sh: 1: rsync: not found\nrsync error: unexplained error", "stage", "transfer", "rsync is not installed"),
    (255, "Host key verification failed.", "collect", "host", "another host key"),
    (1, "rsync: --frob: unknown option", "collect", "transfer", "code 1"),
]


@pytest.mark.parametrize(("code", "words", "direction", "fault", "why"), ENDS)
def test_each_end_of_rsync_has_its_fault_and_a_sentence_with_host_and_path(
    code: int, words: str, direction: Direction, fault: str | None, why: str
) -> None:
    failure = of_rsync(code, words, REMOTE, direction, "/srv/ecloud/attempts", "our disk is full")
    if fault is None:
        assert failure is None
        return
    assert failure is not None and failure.fault == fault and why in str(failure)
    if fault != "full":
        assert "10.0.0.7" in str(failure) and "'w1'" in str(failure)
    if fault == "transfer":
        assert "/srv/ecloud/attempts" in str(failure)


ENDED = "rsync error: error in file IO (code 11) at receiver.c(380) [receiver=3.2.7]\n"

#: (code, what an rsync that sends wrote) -> whether why it ended may have been lost on the way.
LOST = [
    (11, ENDED, True),
    (11, "", True),
    (12, "rsync: connection unexpectedly closed (27 bytes received so far) [sender]\n", True),
    (10, "rsync: [sender] write error: Broken pipe (32)\nrsync error: error in socket IO (code 10)\n", True),
    (12, "rsync: [sender] write error: Connection reset by peer (104)\n", True),
    (11, NO_SPACE + ENDED, False),
    (11, 'rsync: [receiver] mkdir "/x" failed: Permission denied (13)\n' + ENDED, False),
    (12, "client_loop: send disconnect: Broken pipe\n", False),  # the connection, not the other side
    (0, "", False),
    (23, "", False),
    (255, "", False),
]


@pytest.mark.parametrize(("code", "words", "lost"), LOST)
def test_an_end_of_the_other_side_that_names_no_cause_is_distinguished_from_one_that_does(
    code: int, words: str, lost: bool
) -> None:
    assert verdicts.lost_connection_in(code, words) is lost


#: (code, room on the host) -> what the reason says; None: the end itself says all there is.
ROOMS = [
    (11, FreeSpace(0, 6_000_000), "the worker's disk is full (0 bytes are free, 6,000,000 are needed)"),
    (12, FreeSpace(5_999_999, 6_000_000), "the worker's disk is full (5,999,999 bytes are free, 6,000,000 are needed)"),
    (11, FreeSpace(7_000, 6_000), "a quota, a permission (7,000 bytes are free, 6,000 are needed)"),
    (11, None, "a quota, a permission"),
    (12, FreeSpace(7_000, 6_000), None),
    (10, None, None),
]


@pytest.mark.parametrize(("code", "room", "why"), ROOMS)
def test_an_end_without_words_is_explained_by_the_room_that_the_host_has(
    code: int, room: FreeSpace | None, why: str | None
) -> None:
    failure = verdicts.of_room(code, REMOTE, "/srv/ecloud/cache", room)
    if why is None:
        assert failure is None
        return
    assert failure is not None and failure.fault == "transfer" and str(failure).endswith(why)
    assert "10.0.0.7" in str(failure) and "'w1'" in str(failure) and "/srv/ecloud/cache" in str(failure)


def test_only_ends_that_speak_of_a_mistake_of_ours_are_logged_as_bugs() -> None:
    codes = (0, 1, 2, 3, 4, 10, 11, 12, 20, 23, 24, 30, 35, 255, -9)
    assert [code for code in codes if code in verdicts.BUGS] == [1, 2, 3, 4]


CONNECTIONS = [
    ("ssh: connect to host 10.0.0.7 port 22: Connection refused", "transfer", "Connection refused"),
    ("ssh: connect to host 10.0.0.7 port 22: Connection timed out", "transfer", "timed out"),
    ("ssh: Could not resolve hostname w1: Name or service not known", "transfer", "Could not resolve"),
    ("", "transfer", "did not answer in time"),
    ("kex_exchange_identification: read: Connection reset by peer", "transfer", "reset by peer"),
    ("@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "host", "another"),
    ("No ED25519 host key is known for w1 and you have requested strict checking.", "host", "another host key"),
    ("Unable to negotiate with 10.0.0.7: no matching host key type found. Their offer: ssh-rsa", "host", "another"),
    ("ecloud@10.0.0.7: Permission denied (publickey).", "transfer", "/keys/datastore.pub"),
    ("Load key \"/keys/datastore\": denied\nx: Permission denied (publickey).", "transfer", "/keys/datastore"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "fault", "why"), CONNECTIONS)
def test_each_refused_connection_has_its_fault_and_a_sentence(words: str, fault: str, why: str) -> None:
    failure = of_connection(words, REMOTE, "/keys/datastore")
    assert failure.fault == fault and why in str(failure)


def test_the_words_of_a_host_reach_a_report_cut_and_without_control_characters() -> None:
    said = verdicts.telling("error: \x1b[31m" + "x" * 10_000)
    assert len(said) <= 300 and said.isprintable()


# --- how ssh is configured ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        {"host": "-oProxyCommand=touch"}, {"host": ""}, {"host": "a b"}, {"host": "h\nProxyCommand x"},
        {"user": "-l"}, {"user": ""}, {"user": "a\nb"}, {"user": "a b"},
        {"port": 0}, {"port": 70000}, {"path": "relative"}, {"path": "/a\nb"},
    ],
)  # fmt: skip
def test_a_place_that_is_none_is_refused_with_the_workers_name(lie: dict[str, Any]) -> None:
    with pytest.raises(TransferFailedError, match="'w1'") as refused:
        hosts.remote_of("w1", msgspec.structs.replace(PLACE, **lie))
    assert refused.value.fault == "host"


@pytest.mark.parametrize("worker", ["", "../w1", "w 1", "w1\n", "*"])
def test_what_is_no_workers_id_is_refused(worker: str) -> None:
    with pytest.raises(TransferFailedError):
        hosts.remote_of(worker, PLACE)


@pytest.mark.parametrize("address", ["10.0.0.7", "fe80::1%eth0", "::1", "w1.cloud.example"])
def test_addresses_of_every_kind_are_taken(address: str) -> None:
    remote = hosts.remote_of("w1", msgspec.structs.replace(PLACE, host=address))
    configured = hosts.settings(remote, Path("/tmp/x"), Path("/tmp/x/key"))
    assert f"HostName {address.replace('%', '%%')}\n" in configured


def test_known_hosts_holds_the_stated_keys_under_the_workers_id_and_nothing_else() -> None:
    keys = [f"{KEY} root@w1", "garbage", f"{KEY}\n* {KEY}", f"@cert-authority * {KEY}", ""]
    assert hosts.known_hosts("w1", msgspec.structs.replace(PLACE, host_keys=keys)) == f"w1 {KEY}\n"


def test_a_worker_without_a_key_is_not_trusted() -> None:
    with pytest.raises(TransferFailedError, match="no SSH host key") as refused:
        hosts.known_hosts("w1", msgspec.structs.replace(PLACE, host_keys=[]))
    assert refused.value.fault == "host"


def test_settings_name_the_host_only_by_the_workers_id_and_check_its_key() -> None:
    configured = hosts.settings(REMOTE, Path("/tmp/x"), Path("/tmp/x/key")).splitlines()
    for line in (
        "HostKeyAlias w1",
        "UserKnownHostsFile /tmp/x/known_hosts",
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "IdentityFile /tmp/x/key",
        "IdentitiesOnly yes",
        "BatchMode yes",
        "ForwardAgent no",
    ):
        assert line in configured


def test_arguments_keep_links_devices_and_owners_out_and_bound_what_a_host_may_send() -> None:
    fetch = rsync.fetch_arguments("ssh -F /x", "/srv/attempts", "/tree/incoming", ".partial", 1000)
    send = rsync.send_arguments("ssh -F /x", "/tree/outgoing", "/srv/cache", ".partial")
    for arguments in (fetch, send):
        assert {"--no-links", "--no-devices", "--no-specials", "-s", "--from0"} <= set(arguments)
        assert not {"-a", "--archive", "-l", "-o", "-g", "-D", "--recursive"} & set(arguments)
    assert "--max-size=1000" in fetch


def test_a_transfer_brings_too_much_only_when_it_writes_more_than_twice_what_was_reported() -> None:
    size = 1024**3
    assert not rsync.too_much(size, 1, 2 * size)
    assert rsync.too_much(size, 1, 2 * size + 64 * 1024**2)
    assert not rsync.too_much(0, 100_000, 100_000 * 4_000), "many small ones are asked for, and listed"
    assert rsync.too_much(0, 1, 33 * 1024**2)


def test_a_transfer_is_too_slow_when_it_moves_next_to_nothing_for_minutes_however_much_it_has_to_move() -> None:
    assert not rsync.too_slow(179, 1, 0)
    assert rsync.too_slow(200, 1, 0)
    assert rsync.too_slow(1_000, 1, 800 * 60_000) and not rsync.too_slow(1_000, 1, 800 * 70_000)
    assert not rsync.too_slow(1_000, 20_000, 0)  # many small ones take their time
