"""The pure parts of the provider: free capacity, timeouts of machines, tokens, scripts, marks."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from boss.providers.opennebula.errors import CloudError, of_answer
from boss.providers.opennebula.login import TOKEN_SECONDS, CloudLogin
from boss.providers.opennebula.machines import CloudMachine, Seen, machine_of, nics_of
from boss.providers.opennebula.make import make_client, options_of
from boss.providers.opennebula.quotas import Bound, tightest
from boss.providers.opennebula.template import extra_template, marks_of, nic_of, start_script
from boss.providers.opennebula.timeouts import SPEAK_SECONDS, MachineTimeouts
from boss.providers.provider import ProviderError
from boss.setup import PoolSetup

LACK = "[HOST] Not enough CPU on hosts: 0,1"

# --- capacity -----------------------------------------------------------------------------------------


def test_without_limits_it_is_unknown_how_many_more_there_may_be() -> None:
    assert tightest([Bound("quota of VMS", -1, 5), Bound("quota of CPU", -1, 3, 2.0)]) == (None, "")


def test_the_tightest_bound_counts_and_is_named_with_its_number() -> None:
    left, reason = tightest([Bound("quota of VMS", 20, 4), Bound("quota of CPU", 8, 4, 2.0), Bound("x", -1, 0)])
    assert left == 2
    assert reason == "the quota of CPU is 8"


def test_a_bound_that_is_overdrawn_leaves_nothing_and_halves_are_counted_right() -> None:
    assert Bound("quota", 2, 5).left == 0
    assert Bound("quota of CPU", 1.5, 0.3, 0.1).left == 12
    assert Bound("quota of MEMORY", 100, 0, 0).left is None, "a machine that needs none is not limited"


# --- timeouts --------------------------------------------------------------------------------------


def seen(number: int, what: Seen, message: str = "") -> CloudMachine:
    return CloudMachine(number, f"w{number}", number, what, "", message)


def test_a_machine_that_no_host_takes_is_given_up_with_the_text_of_the_scheduler() -> None:
    timeouts = MachineTimeouts(pending_seconds=100, unknown_seconds=50)
    assert timeouts.observe([seen(1, Seen.WAITING, LACK)], 0.0) == {}
    assert timeouts.observe([seen(1, Seen.WAITING, LACK)], 99.0) == {}
    given_up = timeouts.observe([seen(1, Seen.WAITING, LACK), seen(2, Seen.WAITING)], 100.0)
    assert given_up == {1: f"no host took it within 100 s: {LACK}"}


def test_waiting_is_spoken_of_and_keeps_the_pool_from_growing_while_it_lasts() -> None:
    timeouts = MachineTimeouts(1000, 1000)
    timeouts.observe([seen(1, Seen.WAITING, LACK)], 0.0)
    assert timeouts.warnings(SPEAK_SECONDS - 1) == [] and timeouts.no_capacity(SPEAK_SECONDS - 1) == ""
    [warning] = timeouts.warnings(SPEAK_SECONDS)
    assert "1 machine waits for a host, for 60 s already" in warning and LACK in warning
    assert timeouts.no_capacity(SPEAK_SECONDS) == f"no host has free capacity: {LACK}"
    timeouts.observe([seen(1, Seen.RUNNING)], SPEAK_SECONDS + 1)
    assert timeouts.warnings(SPEAK_SECONDS + 2) == [] and timeouts.no_capacity(SPEAK_SECONDS + 2) == ""


def test_the_scheduler_s_pace_is_no_lack_of_room() -> None:
    timeouts = MachineTimeouts(1000, 1000)
    timeouts.observe([seen(1, Seen.WAITING, "[HOST] Dispatch limit reached on hosts: 0")], 0.0)
    assert timeouts.no_capacity(500.0) == ""


def test_a_host_that_comes_back_in_time_is_released_and_counts_from_zero() -> None:
    timeouts = MachineTimeouts(1000, unknown_seconds=50)
    timeouts.observe([seen(1, Seen.UNREACHABLE)], 0.0)
    assert timeouts.warnings(1.0) == ["the host of 1 machine does not answer (state UNKNOWN)"]
    timeouts.observe([seen(1, Seen.RUNNING)], 40.0)
    assert timeouts.observe([seen(1, Seen.UNREACHABLE)], 60.0) == {}
    assert timeouts.observe([seen(1, Seen.UNREACHABLE)], 110.0) == {
        1: "its host did not answer for 50 s (state UNKNOWN)"
    }


# --- tokens ----------------------------------------------------------------------------------------


class Server:
    """Makes tokens t1, t2, ...; knows which are good."""

    def __init__(self, *, gives: bool = True) -> None:
        self.gives = gives
        self.good = {"password"}
        self.asked: list[str] = []
        self.now = 1000.0

    def make(self, secret: str, seconds: int) -> str:
        self.asked.append(secret)
        if secret not in self.good:
            raise CloudError("login", "refused")
        if not self.gives:
            raise CloudError("rights", "no tokens here")
        token = f"t{len(self.asked)}"
        self.good.add(token)
        return token

    def drop(self, secret: str, token: str) -> None:
        assert secret in self.good
        self.good.discard(token)

    def login(self, folder: Path, user: str = "ecloud") -> CloudLogin:
        file = folder / "cloud" / "token.json"
        return CloudLogin(("http://one", user), "password", file, self.make, self.drop, lambda: self.now)


def test_a_token_is_made_once_kept_for_its_owner_only_and_used_again_by_the_next_start(tmp_path: Path) -> None:
    server = Server()
    login = server.login(tmp_path)
    assert login.secret == "password"
    login.keep()
    login.keep()
    assert login.secret == "t1" and server.asked == ["password"]
    assert (tmp_path / "cloud" / "token.json").stat().st_mode & 0o777 == 0o600
    again = server.login(tmp_path)
    again.keep()
    assert again.secret == "t1" and server.asked == ["password"], "a server keeps ten at most"


def test_it_is_renewed_at_half_its_life_automatically_and_the_former_one_is_taken_back(tmp_path: Path) -> None:
    server = Server()
    login = server.login(tmp_path)
    login.keep()
    server.now += TOKEN_SECONDS / 2 + 1
    server.good.discard("password")
    login.keep()
    assert login.secret == "t2" and server.asked == ["password", "t1"]
    assert "t1" not in server.good


def test_one_that_ended_while_no_boss_was_there_is_made_again_by_what_was_given(tmp_path: Path) -> None:
    server = Server()
    server.login(tmp_path).keep()
    server.now += TOKEN_SECONDS + 1
    server.good.discard("t1")
    login = server.login(tmp_path)
    assert login.secret == "password"
    login.keep()
    assert login.secret == "t2"


def test_one_that_is_refused_is_given_up_for_what_was_given(tmp_path: Path) -> None:
    server = Server()
    login = server.login(tmp_path)
    login.keep()
    server.good.discard("t1")
    assert login.refused()
    assert login.secret == "password" and not login.refused(), "nothing is left to fall back on"
    login.keep()
    assert login.secret == "t2"


def test_where_a_site_gives_no_tokens_what_was_given_serves_as_it_is(tmp_path: Path) -> None:
    server = Server(gives=False)
    login = server.login(tmp_path)
    login.keep()
    login.keep()
    assert login.secret == "password" and len(server.asked) == 1, "no call asks again at once"


def test_a_wrong_password_is_reported(tmp_path: Path) -> None:
    server = Server()
    server.good.clear()
    with pytest.raises(CloudError) as caught:
        server.login(tmp_path).keep()
    assert caught.value.kind == "login"


def test_a_token_of_another_account_is_not_used(tmp_path: Path) -> None:
    server = Server()
    server.login(tmp_path).keep()
    assert server.login(tmp_path, "other").secret == "password"


# --- scripts, nics, marks -------------------------------------------------------------------------


def script_in(extra: Mapping[str, Mapping[str, object]]) -> str:
    context = extra["TEMPLATE"]["CONTEXT"]
    assert isinstance(context, dict)
    return base64.b64decode(context["START_SCRIPT_BASE64"]).decode()


@pytest.mark.parametrize(
    "own", ["#!/bin/sh\necho own\n", "echo own; exit 7\n", "#!/usr/bin/env python3\nprint('own')\n"]
)
def test_the_template_s_own_start_script_runs_first_whatever_it_is_and_ours_after_it(own: str, tmp_path: Path) -> None:
    encoded = base64.b64encode(own.encode()).decode()
    ours = "#!/bin/sh\nset -eu\necho ours $ECLOUD_LABELS\n"
    site = {"CONTEXT": {"START_SCRIPT_BASE64": encoded}}
    extra = extra_template(site, {"ECLOUD_LABELS": "a $b 'c'"}, ours, {})
    assert "ECLOUD_LABELS" not in extra["TEMPLATE"]["CONTEXT"], "OpenNebula would expand its $"  # type: ignore[operator]
    script = tmp_path / "script"
    script.write_text(script_in(extra))
    script.chmod(0o700)
    done = subprocess.run([script], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["own", "ours a $b 'c'"])


def test_without_an_own_script_ours_is_handed_over_as_it_is() -> None:
    assert start_script("", {}, "#!/bin/sh\ntrue\n") == "#!/bin/sh\ntrue\n"


@pytest.mark.parametrize(
    ("network", "nic"),
    [
        ("", {}),
        ("7", {"NETWORK_ID": "7"}),
        ("private", {"NETWORK": "private"}),
        ("oneadmin/internet", {"NETWORK": "internet", "NETWORK_UNAME": "oneadmin"}),
    ],
)
def test_a_network_is_named_by_number_by_name_or_with_its_owner(network: str, nic: dict[str, str]) -> None:
    assert nic_of(network) == nic


def test_the_mark_says_whose_which_pool_which_worker_and_which_generation() -> None:
    marks = marks_of("d1", "cloud-3", 17, "cloud", "worker", "x9")
    assert marks == {
        "ECLOUD_DEPLOYMENT": "d1", "ECLOUD_POOL": "cloud", "ECLOUD_WORKER": "cloud-3", "ECLOUD_INSTANCE": "17",
        "ECLOUD_ROLE": "worker", "ECLOUD_DEPLOY": "x9",
    }  # fmt: skip
    machine = machine_of(5, 3, 36, {}, {**marks, "ERROR": "DEPLOY: no such disk"})
    assert machine is not None and machine.pool == "cloud"
    assert machine.message == "OpenNebula could not start it: DEPLOY: no such disk"


def test_nics_are_reported_by_number_network_and_address() -> None:
    first = {"NIC_ID": "0", "NETWORK": "private", "NETWORK_ID": "3", "IP": "10.0.0.1"}
    assert [tuple(nic) for nic in nics_of({"NIC": first})] == [("0", "private", "3", "10.0.0.1")]
    assert len(nics_of({"NIC": [first, {"NIC_ID": "1"}]})) == 2 and nics_of({}) == ()


# --- more of what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("DISK 1: Cannot acquire image 1, it is persistent and already in use", "busy", "persistent image 1"),
        ("TOKEN set, but onegate endpoint was not defined in oned.conf.", "refused", "no OneGate"),
        ("User 0 does not own an image with name: noimg . Set IMAGE_UNAME", "missing", "no image 'noimg'"),
        ("User 0 does not own a network with name: nonet . Set NETWORK_UNAME", "missing", "no network 'nonet'"),
    ],
)
def test_a_plain_answer_is_reported_by_its_text(text: str, kind: str, words: str) -> None:
    error = of_answer("OneException", f"[one.template.instantiate] {text}", "x")
    assert error.kind == kind and words in str(error)


# --- from settings ---------------------------------------------------------------------------------

CLOUD = {"opennebula_endpoint": "http://one/RPC2", "opennebula_user": "u", "opennebula_password": "p"}


def pool(role: str = "workers", **options: object) -> PoolSetup:
    return PoolSetup(name="cloud", provider="opennebula", role=role, max=5, options={**CLOUD, **options})  # type: ignore[arg-type]


def test_a_pool_s_own_template_and_network_win_over_the_cloud_s() -> None:
    usual = options_of(pool(opennebula_template="w", opennebula_network="n"), "d1")
    assert (usual.template, usual.network, usual.pool, usual.role) == ("w", "n", "cloud", "worker")
    own = options_of(pool(opennebula_template="w", opennebula_network="n", template="7", network="o/n2"), "d1")
    assert (own.template, own.network) == ("7", "o/n2")
    assert options_of(pool("datastore", opennebula_template="w", template="store"), "d1").role == "datastore"


def test_times_may_be_set_and_what_waits_for_a_host_is_given_up_before_its_worker_is_missed() -> None:
    options = options_of(pool(template="w", boot_timeout_seconds=300.0, options={"poll_seconds": 5}), "d1")
    assert (options.poll_seconds, options.pending_seconds) == (5.0, 200.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name its template"),
        ({"template": "w", "options": {"pol_seconds": 1}}, "pol_seconds is nothing"),
        ({"template": "w", "options": {"poll_seconds": "often"}}, "poll_seconds"),
    ],
)
def test_unusable_settings_are_reported(options: dict[str, object], words: str) -> None:
    with pytest.raises(ProviderError, match=words):
        options_of(pool(**options), "d1")


def test_what_is_missing_of_the_account_is_reported() -> None:
    with pytest.raises(ProviderError, match="opennebula_user and opennebula_password"):
        make_client({"opennebula_endpoint": "http://one/RPC2"}, None)
