"""Fetching pip's wheel for a Python that has none, from an index of the test's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.worlds.doc_blocks import TOP
from tests.worlds.waiting import scaled

WHEEL = b"the content of a wheel"
SHA = hashlib.sha256(WHEEL).hexdigest()


class Index:
    """A package index with one page, served on loopback."""

    def __init__(self) -> None:
        self.page = ""
        self.asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                body = index.page.encode() if self.path == "/simple/pip/" else WHEEL
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"

    def offer(self, name: str, sha: str = SHA, more: str = "") -> None:
        self.page += f'<a href="../../files/{name}#sha256={sha}" {more}>{name}</a>\n'


@pytest.fixture
def index() -> Iterator[Index]:
    made = Index()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def fetch(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, "-S", "-I", str(TOP / "scripts" / "fetch_pip.py"), str(directory)],
        env={**kept, "no_proxy": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(60),
    )


def test_the_newest_wheel_that_fits_is_taken(index: Index, tmp_path: Path) -> None:
    index.offer("pip-9.0.1-py3-none-any.whl")
    index.offer("pip-24.2-py3-none-any.whl", more='data-requires-python="&gt;=3.8"')
    index.offer("pip-24.10-py3-none-any.whl", more='data-yanked=""')
    index.offer("pip-99.0-py3-none-any.whl", more='data-requires-python="&gt;=3.99"')
    index.offer("pip-25.0b1-py3-none-any.whl")
    index.offer("pip-25.0.tar.gz")
    done = fetch(tmp_path, PIP_INDEX_URL=index.url + "/")
    assert done.stdout.strip() == str(tmp_path / "pip-24.2-py3-none-any.whl"), done.stderr
    assert (tmp_path / "pip-24.2-py3-none-any.whl").read_bytes() == WHEEL


def test_the_index_of_pip_conf_is_honoured(index: Index, tmp_path: Path) -> None:
    index.offer("pip-24.2-py3-none-any.whl")
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\ntimeout = 5%\n")
    assert fetch(tmp_path, PIP_CONFIG_FILE=str(tmp_path / "pip.conf")).returncode == 0
    assert index.asked == ["/simple/pip/", "/files/pip-24.2-py3-none-any.whl"]


def test_a_wheel_with_another_checksum_is_refused(index: Index, tmp_path: Path) -> None:
    index.offer("pip-24.2-py3-none-any.whl", sha="0" * 64)
    done = fetch(tmp_path, PIP_INDEX_URL=index.url)
    assert done.returncode == 1 and "does not have the SHA-256" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_an_index_without_pip_is_reported(index: Index, tmp_path: Path) -> None:
    done = fetch(tmp_path, PIP_INDEX_URL=index.url)
    assert done.returncode == 1 and f"{index.url}/pip/ lists no wheel of pip" in done.stderr


def test_an_index_that_cannot_be_reached_is_reported_without_a_traceback(tmp_path: Path) -> None:
    done = fetch(tmp_path, PIP_INDEX_URL="http://127.0.0.1:1/simple")
    assert done.returncode == 1 and "pip could not be fetched from http://127.0.0.1:1/simple/pip/" in done.stderr
    assert "Traceback" not in done.stderr
