"""Files with names that break careless programs, folders and patterns, all the way: push, stage, run, collect, read.

Once on one machine, once with datastore and worker elsewhere: every file by HTTP, and by rsync over a real sshd.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.worlds import ssh_server
from tests.worlds.deployment import Deployment
from tests.worlds.manual_site import Site

SSH = pytest.mark.needs("mosquitto", "sshd", "ssh", "ssh-keygen", "rsync")

NAMES = [
    "plain",
    "a b",
    " begins and ends with blanks ",
    'it\'s "quoted"',
    "new\nline",
    "tab\there",
    "-rf",
    "--delete",
    "*",
    "[a]?",
    "$(touch gone)`x`;&|",
    "back\\slash",
    "host:path",
    "user@host",
    "#%s~!",
    ".dot",
    "\u00e9",
    "e\u0301",
    "\u6d4b\u8bd5",
    "x" * 255,
    "empty",
]

MAKE = """
import json, os, shutil
names = json.load(open("names.json"))
for name in names:
    text = open("data/" + name).read()
    assert text == open("data/deep/" + name).read() == open("single/" + name).read(), name
assert os.path.isdir("data/none/inner")
for folder in ("out/deep", "out/none/inner", "match", "alone"):
    os.makedirs(folder)
for name in names:
    for folder in ("out", "out/deep", "match", "alone"):
        shutil.copyfile("data/" + name, folder + "/" + name)
"""

USE = """
import json, os
names = json.load(open("names.json"))
seen = {}
for name in names:
    for folder in ("out", "out/deep", "alone", "kept"):
        if folder != "kept" or not name.startswith("."):
            seen[folder + "/" + name] = open(folder + "/" + name).read()
seen["none"] = os.path.isdir("out/none/inner")
seen["count"] = sum(len(files) for _, _, files in os.walk("out"))
json.dump(seen, open("seen.json", "w"))
"""


def content(name: str) -> str:
    return "" if name == "empty" else f"content of {name}"


class Place(NamedTuple):
    deployment: Deployment
    tree: Path
    log: Callable[[], str]


@pytest.fixture(params=["local", pytest.param("ssh", marks=SSH)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """One machine; or a datastore and a worker elsewhere, to which everything goes by HTTP and rsync."""
    with ExitStack() as ending:
        if request.param == "local":
            deployment = Deployment(tmp_path / "deployment")
            ending.callback(deployment.end)
            yield Place(deployment, deployment.tree, lambda: deployment.log("datastore"))
            return
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="ecloud-site-"))
        server = ending.enter_context(ssh_server.running(user=ssh_server.me()))
        site = Site(Path(folder), server)
        ending.callback(site.deployment.end)
        site.start()
        yield Place(site.deployment, site.tree, lambda: (site.files / "datastore.log").read_text())
        assert server.logins() > 0


def write_study(deployment: Deployment) -> Path:
    for name in NAMES:
        for folder in ("data", "data/deep", "single"):
            deployment.write(f"{folder}/{name}", content(name))
    (deployment.directory / "data/none/inner").mkdir(parents=True)
    deployment.write("names.json", NAMES)
    deployment.write("make.py", MAKE)
    deployment.write("use.py", USE)
    shown = [name for name in NAMES if not name.startswith(".")]
    make = {
        "id": "make",
        "commands": [[sys.executable, "make.py"]],
        "requirements": ["make.py", "names.json", "data", *(f"single/{name}" for name in NAMES)],
        "results": ["out", ["match/**", "kept"], *(f"alone/{name}" for name in NAMES)],
    }
    use = {
        "id": "use",
        "commands": [[sys.executable, "use.py"]],
        "requirements": ["use.py", "names.json", "out", "alone", *(f"kept/{name}" for name in shown)],
        "dependencies": ["make"],
        "results": ["seen.json"],
    }
    return deployment.write("tasks.json", [make, use])


@pytest.mark.timeout(120)
def test_names_of_every_kind_go_all_the_way(place: Place) -> None:
    deployment = place.deployment
    tasks = write_study(deployment)
    pushed = deployment.push(tasks)
    assert pushed.returncode == 0, pushed.stdout + pushed.stderr + place.log()
    seen = json.loads((place.tree / "seen.json").read_text())
    assert seen.pop("none") is True and seen.pop("count") == 2 * len(NAMES)
    expected = {f"{folder}/{name}": content(name) for folder in ("out", "out/deep", "alone") for name in NAMES}
    expected |= {f"kept/{name}": content(name) for name in NAMES if not name.startswith(".")}
    assert seen == expected
    for name, text in expected.items():
        assert (place.tree / name).read_text() == text
    assert (place.tree / "out/none/inner").is_dir()
    here = deployment.directory / "here"
    answer = deployment.asked("get", "--task", "make", str(here))
    assert (answer["fetched"], answer["failed"]) == (len(expected), [])
    assert all((here / name).read_text() == text for name, text in expected.items())
    again = deployment.push(tasks)
    assert again.returncode == 0 and "All of it is done already" in again.stderr
    # Folders and patterns that are there already are results that exist.
    skip = {"id": "skip", "commands": ["false"], "results": ["out", "kept/**"], "overwrite_result": False}
    use = {"id": "look", "commands": ["test -f out/deep/plain && test -f kept/plain"], "requirements": ["out", "kept"]}
    skipped = deployment.push(deployment.write("more.json", [skip, use]), "--allow_shared_results")
    assert skipped.returncode == 0, skipped.stdout + skipped.stderr
