"""The hosts that other tests stand on are what they say: apart from this machine and from each other, and reachable."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.hosts import AGENT, HOME, PYTHON, Host, HostFault, Network, Proxy, network
from tests.worlds.hosts.bundle import TOP, interpreter, package_folders, packages, places_to_hide
from tests.worlds.waiting import scaled, wait_for

pytestmark = pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "tc", "sshd", "ssh", "ssh-keygen", "rsync")

SSH = ["ssh", "-F", "none", "-i", f"{HOME}/key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture(scope="module")
def pair(net: Network) -> tuple[Host, Host]:
    """Two hosts; the first may log in at the second."""
    first, second = net.hosts("first", "second")
    second.authorize(net.public_key)
    first.write(f"{HOME}/key", net.key.read_text(), 0o600)
    first.write(f"{HOME}/.ssh/known_hosts", f"{second.address} {second.host_key}\n")
    return first, second


def test_a_host_sees_none_of_our_files(pair: tuple[Host, Host], tmp_path: Path) -> None:
    name = f"canary-{secrets.token_hex(8)}"
    writable = [place for place in [tmp_path, *places_to_hide()] if place.is_dir() and os.access(place, os.W_OK)]
    assert TOP in places_to_hide() or any(TOP.is_relative_to(place) for place in places_to_hide())
    try:
        for place in writable:
            (place / name).write_text("a file of this machine")
        for host in pair:
            assert host.run(["find", "/", "-xdev", "-name", name], user="root") == ""
            for place in [*writable, TOP / "boss", Path(sys.prefix) / "bin", packages()]:
                listed = host.run(["sh", "-c", f"ls -A {place} || :"], user="root")
                assert "No such file" in listed or set(listed.split()) <= _shown_beneath(place), f"{place}: {listed}"
    finally:
        for place in writable:
            (place / name).unlink(missing_ok=True)


def _shown_beneath(place: Path) -> set[str]:
    """What a hidden folder still has: the way to the interpreter, and the home of the host's user."""
    shown = [path for path in (interpreter(), Path(HOME)) if path.is_relative_to(place)]
    return {path.relative_to(place).parts[0] for path in shown}


def test_a_host_sees_only_its_own_processes_and_interfaces(pair: tuple[Host, Host]) -> None:
    first, second = pair
    assert first.run(["hostname"]) == "first" and second.run(["hostname"]) == "second"
    seen = first.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], user="root")
    assert "sshd" in seen and "pytest" not in seen
    interfaces = first.run(["cat", "/proc/net/dev"])
    assert {line.split(":")[0].strip() for line in interfaces.splitlines()[2:]} == {"lo", "eth0"}


def test_a_host_cannot_reach_the_servers_of_this_machine(pair: tuple[Host, Host]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        asked = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        with pytest.raises(HostFault, match="ConnectionRefusedError"):
            pair[0].run([PYTHON, "-c", asked])


def test_what_a_host_writes_stays_there(pair: tuple[Host, Host]) -> None:
    first, second = pair
    mark = f"/etc/{secrets.token_hex(8)}"
    first.run(["sh", "-c", f"echo mine > {mark}"], user="root")
    assert first.path(mark).read_text() == "mine\n"
    assert not second.path(mark).exists() and not Path(mark).exists()


def test_of_this_machines_files_none_is_found_on_a_host(pair: tuple[Host, Host]) -> None:
    first, _ = pair
    first.write(f"{HOME}/deep/down/found-here", "")
    first.run(["touch", "/found-at-top", "/var/tmp/found-too"], user="root")
    found = ["/found-at-top", f"{HOME}/deep/down/found-here", "/var/tmp/found-too"]
    assert first.find("found-*") == found
    assert first.find("passwd") == []


def test_a_worker_host_has_the_agent_and_its_packages_but_no_boss(pair: tuple[Host, Host]) -> None:
    first, _ = pair
    assert "usage: python -m worker" in first.run([PYTHON, "-m", "worker", "--help"])
    assert sorted(first.run(["ls", AGENT]).split()) == ["__pycache__", "ecloud.py", "wire", "worker"]
    for folder in package_folders():
        assert first.run(["ls", "-A", str(folder)], check=False) == "" or not first.path(folder).exists()
    with pytest.raises(HostFault, match="Read-only file system"):
        first.run(["touch", f"{AGENT}/worker/new.py"], user="root")


def test_hosts_reach_each_other_by_ssh_and_rsync_with_host_keys_of_their_own(pair: tuple[Host, Host]) -> None:
    first, second = pair
    assert first.host_key != second.host_key
    assert first.run([*SSH, second.address, "id -un; hostname"]) == "ecloud\nsecond"
    first.write(f"{HOME}/sent", "over the wire")
    first.run(["rsync", "-e", " ".join(SSH), f"{HOME}/sent", f"{second.address}:got"])
    assert second.path(f"{HOME}/got").read_text() == "over the wire"
    assert "Accepted publickey for ecloud" in second.sshd_log()
    with pytest.raises(HostFault, match="Host key verification failed"):
        second.run([*SSH, first.address, "true"])


def test_cut_cables_carry_nothing_and_mended_ones_carry_again(net: Network, pair: tuple[Host, Host]) -> None:
    first, second = pair
    asked = [PYTHON, "-c", f"import socket; socket.create_connection(({second.address!r}, 22), 0.3)"]
    first.run(asked)
    net.cut(second)
    with pytest.raises(HostFault, match="TimeoutError|No route"):
        first.run(asked)
    net.mend(second)
    wait_for(lambda: first.run([*asked[:2], f"{asked[2]}; print('there')"], check=False) == "there", "it is there")


def test_a_limited_host_sends_no_faster_and_its_bytes_are_counted(net: Network, pair: tuple[Host, Host]) -> None:
    first, second = pair
    size = 4_000_000
    first.run(["sh", "-c", f"head -c {size} /dev/urandom > {HOME}/noise"])
    before = first.received_and_sent()[1]
    net.limit(first, 40)
    began = time.monotonic()
    first.run(["rsync", "-e", " ".join(SSH), f"{HOME}/noise", f"{second.address}:noise"])
    took = time.monotonic() - began
    net.limit(first, 0)
    assert took > size * 8 / 40e6 * 0.8  # slower is possible, faster is not
    sent = first.received_and_sent()[1] - before
    assert size < sent < 1.1 * size


def test_a_signal_reaches_the_program_and_an_orphan_is_waited_for(pair: tuple[Host, Host]) -> None:
    first, _ = pair
    program = first.start(["sh", "-c", "trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.05; done"])
    wait_for(lambda: "up" in program.output(), "it is up")
    program.send(signal.SIGTERM)
    assert program.wait() == 7 and "asked" in program.output()
    first.run(["sh", "-c", "sleep 0.1 & :"])
    wait_for(lambda: not any("sleep 0.1" in line for line in first.processes().values()), "its child ends, too")


def test_power_off_ends_all_that_runs_and_an_address_can_be_had_again(net: Network) -> None:
    gone = net.host("gone")
    program = gone.start(["sleep", "600"])
    pid, key = program.pid, gone.host_key
    gone.power_off()
    assert not Path(f"/proc/{pid}").exists()
    again = net.host("another", address=gone.address)
    assert again.address == gone.address and again.host_key != key


def test_a_small_disk_is_full_where_it_should_be(net: Network) -> None:
    small = net.host("small", program="none", home_disk="2m")
    with pytest.raises(HostFault, match="No space left"):
        small.run(["sh", "-c", f"head -c 4000000 /dev/zero > {HOME}/big"])


def test_eight_hosts_start_together_and_end_together() -> None:
    with network() as net:
        hosts = net.hosts(*(f"w{number}" for number in range(1, 9)))
        pids = [pid for host in hosts for pid in host.processes()]
        assert len(pids) >= 16
        folder = net.folder
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not folder.exists()


def test_hosts_end_when_the_tests_are_killed() -> None:
    script = "import time; from tests.worlds.hosts import network; from tests.worlds.hosts.bundle import bundle\n"
    script += "with network() as net:\n  host = net.host('w', program='none')\n"
    script += "  print(net.folder, bundle('none'), host.pid, net.switch.pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], cwd=TOP, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        folder, parts, *pids = tests.stdout.readline().split()
        tests.kill()
    wait_for(lambda: not any(map(_lives, pids)), "all have ended")
    subprocess.run(["rm", "-r", folder, parts], check=True)


def _lives(pid: str) -> bool:
    """A process that has ended may stay listed until whoever inherited it looks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- the proxy -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _echo() -> Iterator[tuple[str, int]]:
    """A server that sends everything back."""

    def serve(server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                while piece := client.recv(65536):
                    client.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_the_proxy_carries_and_counts_delays_and_refuses() -> None:
    with _echo() as target, Proxy(target).running() as proxy:
        with socket.create_connection(proxy.address, scaled(10)) as client:
            client.sendall(b"x" * 1000)
            assert client.recv(1000, socket.MSG_WAITALL) == b"x" * 1000
            assert (proxy.to_target, proxy.from_target, proxy.connections) == (1000, 1000, 1)
            proxy.delay = 0.05
            began = time.monotonic()
            client.sendall(b"y")
            assert client.recv(1) == b"y" and time.monotonic() - began >= 0.1
        proxy.refuse = True
        with socket.create_connection(proxy.address, scaled(10)) as client:
            assert client.recv(1) == b""


def test_the_proxy_cuts_after_so_many_bytes_in_mid_file() -> None:
    with _echo() as target, Proxy(target, cut_after=100_000).running() as proxy:
        with socket.create_connection(proxy.address, scaled(10)) as client:
            got = 0
            with contextlib.suppress(OSError):
                client.sendall(b"x" * 200_000)
                while piece := client.recv(65536):
                    got += len(piece)
        wait_for(lambda: proxy.cuts == 1, "it is cut")
        assert got <= 100_000


def test_the_proxy_stands_between_hosts(net: Network, pair: tuple[Host, Host]) -> None:
    first, second = pair
    with Proxy((second.address, 22)).running(net.switch.pid, "10.77.0.254") as proxy:
        address, port = proxy.address
        named = [*SSH, "-o", f"HostKeyAlias={second.address}", "-p", str(port)]
        assert first.run([*named, address, "hostname"]) == "second"
        assert proxy.connections == 1 and proxy.from_target > 1000
