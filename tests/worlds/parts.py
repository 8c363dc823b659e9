"""The programs that tests need beside Python, how each is found, and how it is installed."""

from __future__ import annotations

import os
import shutil
from functools import cache

#: part -> (programs that may serve, package of Debian and Ubuntu)
PARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "mosquitto": (("mosquitto",), "mosquitto"),
    "mariadb": (("mariadbd", "mysqld"), "mariadb-server"),
    "sshd": (("sshd",), "openssh-server"),
    "ssh": (("ssh",), "openssh-client"),
    "rsync": (("rsync",), "rsync"),
    "setpriv": (("setpriv",), "util-linux"),
    "unshare": (("unshare",), "util-linux"),
    "nsenter": (("nsenter",), "util-linux"),
    "ssh-keygen": (("ssh-keygen",), "openssh-client"),
    "ip": (("ip",), "iproute2"),
    "tc": (("tc",), "iproute2"),
    "git": (("git",), "git"),
    "useradd": (("useradd",), "passwd"),
    "mkfs.xfs": (("mkfs.xfs",), "xfsprogs"),
    "ps": (("ps",), "procps"),
    "systemd-analyze": (("systemd-analyze",), "systemd"),
}
#: Where Debian keeps servers; often not in the PATH of a user.
MORE_PATH = ("/usr/sbin", "/sbin", "/usr/local/sbin")


@cache
def find(part: str) -> str | None:
    """The path of the program that serves as this part, or None."""
    programs, _ = PARTS[part]
    path = os.pathsep.join([os.environ.get("PATH", ""), *MORE_PATH])
    return next((found for program in programs if (found := shutil.which(program, path=path))), None)


def need(part: str) -> str:
    """The path of the program; without it the test fails with one line. For fixtures; tests use the marker `needs`."""
    found = find(part)
    if found is None:
        raise AssertionError(fault_of(part))
    return found


def fault_of(part: str) -> str:
    """Empty, or one line that says what is missing and how to install it."""
    if part not in PARTS:
        return f"tests/worlds/parts.py knows no part {part!r}"
    programs, package = PARTS[part]
    if find(part):
        return ""
    return f"{' or '.join(programs)} is not installed: sudo apt-get install {package} (./run_tests.sh does it)"
