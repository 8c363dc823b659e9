"""How a process is started: its directory, its session, the program found by the task's own PATH, its start time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.runner.launch import Launcher, find_program
from worker.runner.processes import look


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "output", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    yield fd
    os.close(fd)


def in_a_thread_of_its_own(work: Callable[[Launcher], None]) -> None:
    failures: list[BaseException] = []

    def live() -> None:
        launcher = Launcher()
        launcher.begin()
        try:
            work(launcher)
        except BaseException as error:
            failures.append(error)
        finally:
            launcher.close()

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def test_a_process_has_its_directory_its_session_and_no_descriptor_of_ours(tmp_path: Path, output: int) -> None:
    (tmp_path / "work").mkdir()
    inherited = os.open(tmp_path / "inherited", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(inherited, True)
    here = os.getcwd()

    def work(launcher: Launcher) -> None:
        command = ["sh", "-c", "pwd; cat /proc/$$/stat; ls -l /proc/$$/fd | grep -c inherited; exit 7"]
        pid, _ = launcher.start(command, str(tmp_path / "work"), {"PATH": "/usr/bin:/bin"}, output, output, output)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        place, stat, descriptors = (tmp_path / "output").read_text().splitlines()
        assert place == str(tmp_path / "work")
        assert stat.split()[5] == str(pid)
        assert descriptors == "0"

    in_a_thread_of_its_own(work)
    os.close(inherited)
    assert os.getcwd() == here


def test_the_start_time_is_the_kernels_also_where_it_is_not_read(tmp_path: Path, output: int) -> None:
    def work(launcher: Launcher) -> None:
        for _ in range(30):
            pid, start = launcher.start(["/bin/true"], str(tmp_path), {}, output, output, output)
            seen = look(pid)
            assert seen is not None and start == seen.start
            os.waitpid(pid, 0)

    in_a_thread_of_its_own(work)


def test_a_program_that_is_missing_and_a_directory_that_is_missing_are_distinguished(
    tmp_path: Path, output: int
) -> None:
    def work(launcher: Launcher) -> None:
        for program in ("no-such-program", "/no/such/program", ""):
            with pytest.raises(FileNotFoundError) as caught:
                launcher.start([program], str(tmp_path), {"PATH": "/usr/bin"}, output, output, output)
            assert caught.value.filename == program
        with pytest.raises(FileNotFoundError) as caught:
            launcher.start(["true"], str(tmp_path / "none"), {}, output, output, output)
        assert caught.value.filename == str(tmp_path / "none")
        with pytest.raises(PermissionError):
            launcher.start([str(tmp_path)], str(tmp_path), {}, output, output, output)
        with pytest.raises(ValueError):
            launcher.start(["true", "a\0b"], str(tmp_path), {"PATH": "/usr/bin:/bin"}, output, output, output)

    in_a_thread_of_its_own(work)


def test_a_program_is_looked_for_in_the_path_of_the_task(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "program").write_text("#!/bin/sh\n")
    environment = {"PATH": f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b"}
    assert find_program("program", environment) == f"{tmp_path}/a/program"
    (tmp_path / "b" / "program").chmod(0o755)
    assert find_program("program", environment) == f"{tmp_path}/b/program"
    assert find_program("./program", environment) == "./program"
    with pytest.raises(FileNotFoundError):
        find_program("other", environment)
