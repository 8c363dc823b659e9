"""What OpenNebula's errors and states mean, and what a machine is made from."""

from __future__ import annotations

import base64
import re

import pytest

from boss.providers.opennebula.errors import FULL, of_answer
from boss.providers.opennebula.machines import Seen, address_of, machine_of, seen_of, why_broken
from boss.providers.opennebula.template import extra_template, marks_of, own_script

_QUOTA = "[one.template.instantiate] User [3] : user [3] limit of 2 reached for VMS quota in VM."
_LEASES = "User [3] : user [3] limit of 4 reached for LEASES quota in NETWORK with ID: 0"
_ADDRESS = "Error allocating a new virtual machine template. Cannot get IP/MAC lease from virtual network 1."
_NETWORK = "User 0 does not own a network with name: nonet . Set NETWORK_UNAME or NETWORK_UID of owner in NIC."

#: As genuine services said it.
ANSWERS = [
    ("OneAuthenticationException", "[one.vmpool.info] User couldn't be authenticated, aborting call.", "login"),
    ("OneNoExistsException", "[one.template.instantiate] Error getting virtual machine template [9999].", "missing"),
    ("OneAuthorizationException", "[one.vm.action] User [3] : Not authorized to perform MANAGE VM [0].", "rights"),
    ("OneAuthorizationException", _QUOTA, "quota"),
    ("OneAuthorizationException", "... : group [1] limit of 2 reached for VMS quota in VM.", "quota"),
    ("OneAuthorizationException", _LEASES, "quota"),
    ("OneAuthorizationException", "User [2] : User Template includes a restricted attribute NIC/MAC.", "rights"),
    ("OneException", f"[one.template.instantiate] {_ADDRESS}", "address"),
    ("OneException", _NETWORK, "missing"),
    ("OneException", "DISK 0: Image with ID: 77 does not exist", "missing"),
    ("OneException", "[one.template.instantiate] Invalid NAME, char '/' is not allowed", "refused"),
    ("OneInternalException", "Parse error: syntax error, unexpected $end, ...", "refused"),
    ("OneActionException", 'Error performing action "terminate": Could not terminate VM 2, wrong state BOOT.', "state"),
]


@pytest.mark.parametrize(("class_name", "text", "kind"), ANSWERS)
def test_an_answer_has_its_kind_and_a_sentence(class_name: str, text: str, kind: str) -> None:
    error = of_answer(class_name, text, "http://cloud/RPC2")
    assert error.kind == kind
    assert len(str(error)) > 20
    assert "\n" not in str(error)


def test_quota_and_addresses_say_what_is_used_up_and_what_helps() -> None:
    """That work goes on is shown with the pool (`pool_warnings`)."""
    quota = of_answer("OneAuthorizationException", "user [3] limit of 2 reached for VMS quota in VM.", "x")
    address = of_answer("OneException", "Cannot get IP/MAC lease from virtual network 1.", "x")
    assert "limit of 2 for VMS" in str(quota)
    assert "network 1" in str(address)
    for error in (quota, address):
        assert error.kind in FULL
        assert re.search("administrator for more, or lower the pool's limit|larger address range", str(error))
    assert "login" not in FULL


@pytest.mark.parametrize(
    ("state", "lcm", "seen"),
    [
        (1, 0, Seen.WAITING), (2, 0, Seen.WAITING), (3, 1, Seen.STARTING), (3, 2, Seen.STARTING), (3, 3, Seen.RUNNING),
        (3, 12, Seen.ENDING), (3, 11, Seen.ENDING), (6, 0, Seen.GONE), (8, 0, Seen.BROKEN), (5, 0, Seen.BROKEN),
        (3, 36, Seen.BROKEN), (3, 61, Seen.BROKEN), (3, 16, Seen.UNREACHABLE), (3, 69, Seen.STARTING),
    ],
)  # fmt: skip
def test_states_are_reported_by_number(state: int, lcm: int, seen: Seen) -> None:
    assert seen_of(state, lcm) is seen


def test_only_what_has_our_mark_is_ours() -> None:
    marks = marks_of("d1", "cloud-3", 17)
    machine = machine_of(5, 3, 3, {"NIC": {"IP": "10.0.0.9"}}, marks)
    assert machine is not None
    assert (machine.id, machine.worker, machine.instance, machine.address) == (5, "cloud-3", 17, "10.0.0.9")
    assert machine.deployment == "d1"
    assert machine_of(5, 3, 3, {}, {}).deployment == ""


def test_a_mark_that_was_spoiled_is_ours_and_of_no_instance() -> None:
    machine = machine_of(5, 3, 3, {}, {"ECLOUD_DEPLOYMENT": "d1", "ECLOUD_INSTANCE": "x7"})
    assert machine is not None
    assert machine.instance == 0


@pytest.mark.parametrize("nics", [{"IP": "10.0.0.1"}, [{"IP": "10.0.0.1"}, {"IP": "10.1.0.1"}]])
def test_the_address_is_that_of_the_first_nic(nics: object) -> None:
    assert address_of({"NIC": nics}) == "10.0.0.1"


@pytest.mark.parametrize("template", [{}, {"NIC": []}, {"NIC": {"NETWORK": "private"}}, {"NIC": None}])
def test_without_a_nic_or_its_address_there_is_none(template: dict[str, object]) -> None:
    assert address_of(template) == ""


def test_why_a_machine_is_broken_is_reported_with_its_text() -> None:
    assert "switched" in why_broken(8, 0, "")
    assert "cannot start the domain" in why_broken(3, 36, "cannot start the domain")
    assert "state 5" in why_broken(5, 0, "")


def test_the_site_s_own_context_goes_along() -> None:
    own = {"CPU": "1", "CONTEXT": {"SSH_PUBLIC_KEY": "key", "TOKEN": "YES", "EMPTY": None, "EMPTY2": ""}}
    extra = extra_template(own, {"ECLOUD_BOSS": "10.0.0.2"}, "echo $HOME\n", marks_of("d1", "w", 1))
    context = extra["TEMPLATE"]["CONTEXT"]
    assert isinstance(context, dict)
    assert context["SSH_PUBLIC_KEY"] == "key"
    assert context["EMPTY"] == ""
    assert context["ECLOUD_BOSS"] == "10.0.0.2"
    assert "START_SCRIPT" not in context
    assert base64.b64decode(context["START_SCRIPT_BASE64"]) == b"echo $HOME\n"
    assert extra["TEMPLATE"]["ECLOUD_DEPLOYMENT"] == "d1"
    assert "NIC" not in extra["TEMPLATE"]


def test_another_network_replaces_the_template_s_nics() -> None:
    extra = extra_template({}, {}, "", {}, {"NETWORK": "public", "NETWORK_UNAME": "oneadmin"})
    assert extra["TEMPLATE"]["NIC"] == {"NETWORK": "public", "NETWORK_UNAME": "oneadmin"}


def test_the_site_s_own_start_script_is_found_in_both_forms() -> None:
    assert own_script({"CONTEXT": {"START_SCRIPT": "one"}}) == "one"
    encoded = base64.b64encode(b"two").decode()
    assert own_script({"CONTEXT": {"START_SCRIPT_BASE64": encoded, "START_SCRIPT": "one"}}) == "two"
    assert own_script({}) == ""


def test_what_the_server_said_goes_along_without_the_name_of_the_call() -> None:
    said = "[one.template.instantiate] User [2] : Not authorized to perform USE IMAGE [0]."
    error = of_answer("OneAuthorizationException", said, "x")
    assert "may not do that: User [2] : Not authorized to perform USE IMAGE [0]. Ask" in str(error)


def test_a_start_script_that_stands_for_an_attribute_of_the_template_is_that_one_or_none() -> None:
    context = {"CONTEXT": {"START_SCRIPT_BASE64": "$START_SCRIPT_BASE64"}}
    assert own_script(context) == ""
    encoded = base64.b64encode(b"echo its own").decode()
    assert own_script({**context, "START_SCRIPT_BASE64": encoded}) == "echo its own"


def test_a_start_script_that_cannot_be_read_is_reported() -> None:
    with pytest.raises(ValueError, match="START_SCRIPT_BASE64 that is no base64"):
        own_script({"CONTEXT": {"START_SCRIPT_BASE64": "abcde"}})
