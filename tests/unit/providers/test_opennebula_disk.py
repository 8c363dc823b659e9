"""The datastore's disk: into the machine beside the template's own, mounted there, never formatted by mistake."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from boss.providers.opennebula.template import disks_with, with_disk

#: What each command of the machine says; each notes its call.
COMMANDS = {
    "mountpoint": "exit ${MOUNTED:-1}",
    "blkid": 'if [ "$1" = -L ]; then [ -n "$LABELLED" ] && echo "$LABELLED"; exit; fi; '
    'case " $FORMATTED " in *" $1 "*) exit 0 ;; esac; exit 2',
    "lsblk": 'if [ "$1" = -dnpo ]; then for d in $DISKS; do echo "$d disk 0"; done; echo "/dev/sr0 rom 1"; '
    'else echo "$3"; case " $PARTED " in *" $3 "*) echo "${3}1" ;; esac; fi',
    "mkfs.ext4": 'echo "mkfs $*" >>"$CALLS"',
    "mount": 'echo "mount $*" >>"$CALLS"',
    "mkdir": ":",
    "sleep": ":",
}


def run(folder: Path, **machine: str) -> tuple[int, list[str], str]:
    """Exit code, what was changed, what was said."""
    tools = folder / "bin"
    tools.mkdir()
    for name, body in COMMANDS.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    script = folder / "script"
    script.write_text(with_disk("#!/bin/sh\nset -eu\necho started\n"))
    calls = folder / "calls"
    given = {"LABELLED": "", "FORMATTED": "", "DISKS": "", "PARTED": "", **machine}
    done = subprocess.run(
        ["sh", script], capture_output=True, text=True, check=False,
        env={"PATH": f"{tools}:/usr/bin:/bin", "CALLS": str(calls), **given},
    )  # fmt: skip
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stdout + done.stderr


def test_the_disk_with_our_label_is_mounted_and_no_file_system_is_made(tmp_path: Path) -> None:
    code, calls, said = run(tmp_path, LABELLED="/dev/vdb", DISKS="/dev/vda /dev/vdb /dev/vdc", PARTED="/dev/vda")
    assert (code, calls, said) == (0, ["mount /dev/vdb /var/lib/ecloud"], "started\n")


def test_the_only_blank_disk_gets_a_file_system_and_our_label(tmp_path: Path) -> None:
    code, calls, _ = run(tmp_path, DISKS="/dev/vda /dev/vdb /dev/vdc", PARTED="/dev/vda", FORMATTED="/dev/vdc")
    assert code == 0
    assert calls == ["mkfs -q -L ecloud-data /dev/vdb", "mount /dev/vdb /var/lib/ecloud"]


def test_of_several_blank_disks_none_is_touched(tmp_path: Path) -> None:
    code, calls, said = run(tmp_path, DISKS="/dev/vdb /dev/vdc")
    assert (code, calls) == (1, [])
    assert "several disks are blank ( /dev/vdb /dev/vdc ): put the label ecloud-data on the right one" in said


def test_without_the_disk_the_datastore_is_not_started(tmp_path: Path) -> None:
    code, calls, said = run(tmp_path, DISKS="/dev/vda", PARTED="/dev/vda")
    assert (code, calls) == (1, [])
    assert "no disk for the datastore" in said and "started" not in said


def test_a_disk_that_is_mounted_is_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path, MOUNTED="0", DISKS="/dev/vdb") == (0, [], "started\n")


@pytest.mark.parametrize("own", [{"IMAGE": "debian"}, [{"IMAGE": "debian"}]])
def test_the_disk_is_added_behind_the_template_s_own(own: object) -> None:
    assert disks_with({"DISK": own}, "store") == {"DISK": [{"IMAGE": "debian"}, {"IMAGE": "store"}]}
    assert disks_with({"DISK": own}, "ann/store")["DISK"][1] == {"IMAGE": "store", "IMAGE_UNAME": "ann"}


def test_a_template_that_has_it_already_is_left_alone() -> None:
    assert disks_with({"DISK": [{"IMAGE": "debian"}, {"IMAGE": "store"}]}, "store") == {}
    assert disks_with({}, "store") == {"DISK": [{"IMAGE": "store"}]}
