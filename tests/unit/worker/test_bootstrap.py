"""What a machine does first: it keeps what it is told, fetches what has the right digest, and says what is wrong."""

from __future__ import annotations

import http.server
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.bootstrap.start_script import start_script
from tests.worlds.digests import digest
from tests.worlds.waiting import scaled, wait_for
from worker.bootstrap import bootstrap, halt, login
from worker.bootstrap.account import Account
from worker.bootstrap.bootstrap import BootstrapRefusedError, BossAwayError, Places

TOP = Path(__file__).resolve().parents[3]
STARTUP = TOP / "worker" / "startup.sh"
ME = Account("me", os.getuid(), os.getgid(), Path("/nowhere"))


def tar(**files: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/") + ".py")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


class Boss:
    """Answers what it is told to, and notes what it is asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[str, str, bytes]] = []
        boss = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                boss.asked.append((self.path, self.headers["authorization"], body))
                code, content = boss.answers.pop(0) if len(boss.answers) > 1 else boss.answers[0]
                self.send_response(code)
                if code == 302:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def boss() -> Iterator[Boss]:
    made = Boss()
    yield made
    made.close()


@pytest.fixture
def where(tmp_path: Path) -> Places:
    for name in ("programs", "settings", "state"):
        (tmp_path / name).mkdir()
    return Places(tmp_path / "programs", tmp_path / "settings", tmp_path / "state", tmp_path / "log")


def told(boss: Boss | None, content: bytes = b"", **more: str) -> dict[str, str]:
    usual = {
        "ECLOUD_BOSS_URL": boss.url if boss else "http://127.0.0.1:9",
        "ECLOUD_DEPLOYMENT": "d",
        "ECLOUD_WORKER_ID": "cloud-1",
        "ECLOUD_INSTANCE": "7",
        "ECLOUD_START_TOKEN": "the-token",
        "ECLOUD_BUNDLES": f"{bootstrap.kind()}={digest(content)} 3.99-x86_64=b2:{'0' * 64}",
    }
    return {**usual, **more}


# --- the script carries the program ----------------------------------------------------------------------


def test_the_program_can_stand_inside_the_script() -> None:
    assert "END_OF_BOOTSTRAP" not in (TOP / "worker" / "bootstrap" / "bootstrap.py").read_text()


def refusals(log: Path) -> int:
    return log.read_text().count("answers 401: no token or a wrong one")


def test_the_script_starts_what_asks_the_boss_and_returns(boss: Boss, tmp_path: Path) -> None:
    boss.answers = [(401, b'{"error": "no token or a wrong one"}')]
    environment = {**told(boss), "PATH": os.environ["PATH"], "ECLOUD_GUEST_ROOT": os.fspath(tmp_path)}
    python = tmp_path / "python3"  # serves, whatever its version
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exec {os.path.realpath(sys.executable)} "$@"\n')
    python.chmod(0o755)
    environment["ECLOUD_PYTHON"] = os.fspath(python)
    log = tmp_path / "ecloud.log"
    complete = tmp_path / "handed-out"
    complete.write_text(start_script())
    for times, script in ((1, complete), (2, STARTUP)):  # as it is handed out, and in the checkout
        subprocess.run(["sh", script], env=environment, check=True, timeout=scaled(60))
        wait_for(lambda times=times: refusals(log) == times, "it is refused")  # type: ignore[misc]
        os.close(wait_for(lambda: bootstrap.take_lock(tmp_path / "settings"), "it ends by itself"))  # type: ignore[arg-type]
    assert (tmp_path / "settings" / "guest.json").stat().st_mode & 0o777 == 0o600


def test_a_script_of_a_checkout_that_was_taken_away_alone_says_so(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 0\n")  # one that serves, whatever runs the tests
    python.chmod(0o755)
    environment = {**told(None), "PATH": os.environ["PATH"], "ECLOUD_PYTHON": os.fspath(python)}
    script = STARTUP.read_text()
    (tmp_path / "bootstrap").mkdir()
    (tmp_path / "bootstrap" / "bootstrap.py").write_text("print('whose is this?')")
    done = subprocess.run(
        ["sh", "-s"], input=script, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("ecloud: this copy of startup.sh has no program inside")


def test_what_a_machine_has_first_needs_nothing_but_python() -> None:
    code = "import worker.bootstrap.__main__, worker.bootstrap.keeper, sys; print(*sorted(sys.modules))"
    plain = [os.path.realpath(sys.executable), "-P", "-S", "-c", code]
    environment = {"PYTHONPATH": os.fspath(TOP), "PYTHONDONTWRITEBYTECODE": "1"}
    modules = subprocess.run(plain, env=environment, capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in modules if name.split(".")[0] in ("wire", "worker", "boss", "datastore")}
    assert all(name == "worker" or name.startswith("worker.bootstrap") for name in ours), ours
    assert not {"msgspec", "paho", "numpy"} & set(modules)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_another_python_is_refused_in_a_sentence(shell: str, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    environment = {**told(None), "PATH": os.environ["PATH"], "ECLOUD_PYTHON": os.fspath(old)}
    script = STARTUP.read_text()
    done = subprocess.run([shell, "-s"], input=script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "ecloud: this machine has Python 3.9.2, and its boss has bundles for Python 3.11 and 3.12: take an image of"
    )


# --- the bundle ------------------------------------------------------------------------------------------


def test_the_bundle_is_fetched_with_the_token_and_unpacked(boss: Boss, where: Places) -> None:
    content = tar(worker__x="VALUE = 1\n")
    boss.answers = [(200, content)]
    folder = bootstrap.ensure_bundle(told(boss, content), where)
    assert (folder / "worker" / "x.py").read_text() == "VALUE = 1\n"
    assert list((folder / "worker" / "__pycache__").iterdir()), "it is compiled: its user may not write there"
    path = f"/api/v1/guests/cloud-1/bundle/{bootstrap.kind()}?digest={digest(content)}"
    assert boss.asked == [(path, "Bearer the-token", b"")]
    assert bootstrap.ensure_bundle(told(boss, content), where) == folder and len(boss.asked) == 1
    assert [path.name for path in where.programs.iterdir()] == [folder.name]


def test_a_machine_made_from_the_disk_of_a_used_one_takes_what_it_is_told(boss: Boss, where: Places) -> None:
    old, new = tar(worker__x="OLD = 1\n"), tar(worker__x="NEW = 1\n")
    boss.answers = [(200, old), (200, new)]
    first = bootstrap.ensure_bundle(told(boss, old), where)
    second = bootstrap.ensure_bundle(told(boss, new, ECLOUD_INSTANCE="8"), where)
    assert first != second and (second / "worker" / "x.py").read_text() == "NEW = 1\n"
    # ... and the same instance, started again, keeps what it has, whatever its boss has by now
    assert bootstrap.ensure_bundle(told(boss, old, ECLOUD_INSTANCE="8"), where) == second


def test_what_has_another_digest_is_not_used(boss: Boss, where: Places) -> None:
    boss.answers = [(200, tar(worker__x="EVIL = 1\n"))]
    with pytest.raises(BootstrapRefusedError, match="and b2:[0-9a-f]* was expected: it is not used"):
        bootstrap.ensure_bundle(told(boss, tar(worker__x="GOOD = 1\n")), where)
    assert list(where.programs.iterdir()) == []


def test_a_bundle_that_is_on_the_machine_already_is_not_fetched(where: Places, tmp_path: Path) -> None:
    content = tar(worker__x="VALUE = 1\n")
    (tmp_path / "bundle").write_bytes(content)
    folder = bootstrap.ensure_bundle(told(None, content, ECLOUD_BUNDLE_FILE=str(tmp_path / "bundle")), where)
    assert (folder / "worker" / "x.py").exists()
    with pytest.raises(BootstrapRefusedError, match="it is not used"):
        about = told(None, b"other", ECLOUD_BUNDLE_FILE=str(tmp_path / "bundle"), ECLOUD_INSTANCE="8")
        bootstrap.ensure_bundle(about, where)


@pytest.mark.parametrize("name", ["/etc/evil", "a/../../evil", "link"])
def test_an_archive_that_would_write_elsewhere_is_refused(name: str, where: Places, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        entry = tarfile.TarInfo(name)
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        file.addfile(entry)
    with pytest.raises(BootstrapRefusedError, match="an entry that none has"):
        bootstrap.unpack(archive, "b2:" + "0" * 64, where.programs)
    assert list(where.programs.iterdir()) == []


def test_without_a_bundle_for_this_python_it_says_which_there_are(where: Places) -> None:
    about = told(None, ECLOUD_BUNDLES=f"3.99-x86_64=b2:{'0' * 64}")
    with pytest.raises(
        BootstrapRefusedError, match=r"no bundle for Python and machine 3\.1\d-\w+; it has 3\.99-x86_64"
    ):
        bootstrap.ensure_bundle(about, where)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, BootstrapRefusedError),
        (403, BootstrapRefusedError),
        (404, BootstrapRefusedError),
        (302, BootstrapRefusedError),
        (429, BossAwayError),
        (503, BossAwayError),
    ],
)
def test_a_boss_that_refuses_and_one_that_is_busy_are_told_apart(boss: Boss, code: int, kind: type[Exception]) -> None:
    boss.answers = [(code, b'{"error": "the sentence of the boss"}')]
    with pytest.raises(kind, match=f"answers {code}: the sentence of the boss"):
        bootstrap.ask(f"{boss.url}/x", "t")
    assert [path for path, _, _ in boss.asked] == ["/x"], "a token goes where it was told to go, and nowhere else"


def test_a_boss_that_is_away_is_asked_again(where: Places) -> None:
    with pytest.raises(BossAwayError, match="does not answer: .*[Rr]efused"):
        bootstrap.ensure_bundle(told(None), where)
    with pytest.raises(BootstrapRefusedError, match="ECLOUD_BOSS_URL cannot be used"):
        bootstrap.ensure_bundle(told(None, ECLOUD_BOSS_URL="boss:8000/x"), where)


def test_no_proxy_gets_the_token(boss: Boss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    boss.answers = [(200, b"{}")]
    bootstrap.ask(f"{boss.url}/x", "t").close()
    assert [(path, header) for path, header, _ in boss.asked] == [("/x", "Bearer t")], "asked directly"


# --- the login -------------------------------------------------------------------------------------------

FILES = {"worker.env": "# for\nECLOUD_A='x y'\nECLOUD_B=2\n#ECLOUD_C=3\n", "worker.password": "secret\n"}


def test_the_login_is_had_once_and_kept_for_later_starts(boss: Boss, where: Places) -> None:
    boss.answers = [(200, json.dumps({"files": FILES, "variables": {"ECLOUD_D": "4"}}).encode())]
    about = told(boss)
    assert login.kept_login(about, where) is None
    had = login.exchange(about, where, ME)
    assert had == {"ECLOUD_A": "x y", "ECLOUD_B": "2", "ECLOUD_D": "4"}
    ((path, header, body),) = boss.asked
    assert (path, header) == ("/api/v1/guests/cloud-1/login", "Bearer the-token")
    assert json.loads(body) == {"folder": str(where.settings)}
    assert login.kept_login(about, where) == had
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in where.settings.iterdir())
    assert login.kept_login(told(boss, ECLOUD_INSTANCE="8"), where) is None
    (where.settings / "worker.password").unlink()
    assert login.kept_login(about, where) is None


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"files": 3, "variables": {}}', b"[]"])
def test_what_answers_in_the_bosss_place_is_told(boss: Boss, where: Places, content: bytes) -> None:
    boss.answers = [(200, content)]
    with pytest.raises(BootstrapRefusedError, match="does not answer as a boss does"):
        login.exchange(told(boss), where, ME)
    assert list(where.settings.iterdir()) == []


def test_a_file_name_of_the_answer_cannot_lead_elsewhere(boss: Boss, where: Places, tmp_path: Path) -> None:
    boss.answers = [(200, json.dumps({"files": {"../evil": "x"}, "variables": {}}).encode())]
    login.exchange(told(boss), where, ME)
    assert (where.settings / "evil").exists() and not (tmp_path / "evil").exists()


# --- halting ---------------------------------------------------------------------------------------------


def evidence(folder: Path, **more: str) -> Path:
    path = folder / "guest.json"
    path.write_text(json.dumps(told(None, ECLOUD_HALT_WHEN_ORPHANED="1", **more)))
    path.chmod(0o600)
    return path


def test_a_machine_of_ours_that_was_told_to_may_be_halted(tmp_path: Path) -> None:
    assert halt.refusal(told(None), evidence(tmp_path), os.getuid()) == ""


@pytest.mark.parametrize(
    ("variables", "file", "mode", "words"),
    [
        ({"ECLOUD_INSTANCE": ""}, {}, 0o600, "ECLOUD_INSTANCE is not set"),
        ({}, None, 0o600, "there is no .*guest.json"),
        ({}, {}, 0o666, "could have been written by others"),
        ({}, {"ECLOUD_INSTANCE": "8"}, 0o600, "is of another instance"),
        ({}, {"ECLOUD_HALT_WHEN_ORPHANED": "0"}, 0o600, "does not say that it may be halted"),
    ],
)
def test_any_other_machine_is_not_halted(
    tmp_path: Path, variables: dict[str, str], file: dict[str, str] | None, mode: int, words: str
) -> None:
    path = tmp_path / "guest.json"
    if file is not None:
        path.write_text(json.dumps({**told(None), "ECLOUD_HALT_WHEN_ORPHANED": "1", **file}))
        path.chmod(mode)
    refusal = halt.refusal({**told(None), **variables}, path, os.getuid())
    assert re.search(words, refusal)


def test_this_machine_is_none_that_a_boss_started() -> None:
    assert halt.refusal(told(None))


def test_the_command_that_halts_is_the_one_that_was_set(tmp_path: Path) -> None:
    assert halt.halt(f"touch {tmp_path / 'halted'}") == ""
    assert (tmp_path / "halted").exists()
    assert halt.halt("false") == "false ended with 1"
    assert "No such file" in halt.halt("/no/such/command now")
