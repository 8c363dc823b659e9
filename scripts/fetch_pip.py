"""Fetches pip's wheel from the package index into a directory, for a Python without pip and venv; prints its path.

Standard library only, for it runs before anything is installed. It honours PIP_INDEX_URL and the
`index-url` of pip.conf as pip does, and checks the wheel against the index's SHA-256.
"""

from __future__ import annotations

import configparser
import hashlib
import html.parser
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

WHEEL = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")
FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


class Links(html.parser.HTMLParser):
    """Collects (file name, address with its hash, Python it requires) of an index page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("href") or ""
        if tag == "a" and "data-yanked" not in given:
            name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1])
            self.found.append((name, address, given.get("data-requires-python") or ""))


def index_url() -> str:
    configured = os.environ.get("PIP_INDEX_URL")
    named = os.environ.get("PIP_CONFIG_FILE")
    for file in (named,) if named else FILES:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(Path(file).expanduser())
        configured = configured or parser.get("global", "index-url", fallback=None)
    return (configured or "https://pypi.org/simple").rstrip("/") + "/pip/"


def fits(requires: str) -> bool:
    minimum = re.search(r">=\s*(\d+)\.(\d+)", requires)
    return minimum is None or sys.version_info[:2] >= (int(minimum[1]), int(minimum[2]))


def newest(links: list[tuple[str, str, str]]) -> tuple[str, str] | None:
    wheels = [
        ([int(part) for part in match[1].split(".")], name, address)
        for name, address, requires in links
        if (match := WHEEL.fullmatch(name)) and fits(requires)
    ]
    return max(wheels)[1:] if wheels else None


def read(address: str) -> bytes:
    # Without this header an index may answer in JSON; every index speaks HTML.
    request = urllib.request.Request(address, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
    return content


def fetch(directory: Path) -> Path:
    index = index_url()
    page = Links()
    page.feed(read(index).decode("utf-8", "replace"))
    found = newest(page.found)
    if found is None:
        raise ValueError(f"{index} lists no wheel of pip for this Python")
    name, address = found
    content = read(urllib.parse.urljoin(index, address))
    wanted = re.search(r"sha256=([0-9a-f]{64})", address)
    if wanted and hashlib.sha256(content).hexdigest() != wanted[1]:
        raise ValueError(f"{name} from {index} does not have the SHA-256 that the index states")
    (directory / name).write_bytes(content)
    return directory / name


if __name__ == "__main__":
    try:
        print(fetch(Path(sys.argv[1])))
    except (OSError, ValueError) as error:
        hint = " (apt-get install ca-certificates)" if "CERTIFICATE" in str(error) else ""
        raise SystemExit(f"set-up: pip could not be fetched from {index_url()}: {error}{hint}") from None
