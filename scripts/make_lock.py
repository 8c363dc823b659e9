"""Writes requirements.lock and requirements-dev.lock: the exact versions that scripts/setup.sh installs.

Asks pip of each given interpreter (3.11, 3.12, 3.13 ...) what it would install for pyproject.toml and
puts the answers together; what only some of them need gets a marker. Installs nothing. It knows nothing of
ecloud itself. Run it when a dependency changes:

    python scripts/make_lock.py python3.11 python3.12 python3.13
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
HEAD = """\
# Made by scripts/make_lock.py from pyproject.toml ({part}). Installed with --no-deps, so it is complete
# automatically; epyt's own dependencies are left out on purpose (only the library in its wheel is used).
"""
#: Packages of which the wheel alone is wanted.
WHEEL_ONLY = ("epyt",)

Versions = dict[str, tuple[str, str]]


def ask_pip(interpreter: str, requirements: list[str], constraints: Path | None) -> Versions:
    """What pip of this interpreter would install: normalised name -> (name, version)."""
    report = "--dry-run --ignore-installed --only-binary :all: --quiet --report -".split()
    command = [interpreter, "-m", "pip", "install", *report, *requirements]
    if constraints is not None:
        command += ["--constraint", str(constraints)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    items = (item["metadata"] for item in json.loads(answer)["install"])
    return {item["name"].lower().replace("_", "-"): (item["name"], item["version"]) for item in items}


def python_version(interpreter: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([interpreter, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def marker_of(there: list[str], versions: list[str]) -> str:
    """The marker for a package that is wanted on `there` out of all `versions` (both ascending)."""
    if there == versions:
        return ""
    if there == versions[: len(there)]:
        return f' ; python_version < "{versions[len(there)]}"'
    if there == versions[-len(there) :]:
        return f' ; python_version >= "{there[0]}"'
    return " ; " + " or ".join(f'python_version == "{version}"' for version in there)


def merge(answers: dict[str, Versions]) -> list[str]:
    versions = sorted(answers, key=lambda text: [int(part) for part in text.split(".")])
    pins: dict[tuple[str, str], list[str]] = {}
    for version in versions:
        for name, number in answers[version].values():
            pins.setdefault((name, number), []).append(version)
    return sorted((f"{n}=={v}{marker_of(there, versions)}" for (n, v), there in pins.items()), key=str.lower)


def split_wheel_only(requirements: list[str]) -> tuple[list[str], list[str]]:
    alone = [text for text in requirements if text.startswith(WHEEL_ONLY)]
    return [text for text in requirements if text not in alone], alone


def pinned_alone(interpreter: str, requirements: list[str]) -> Versions:
    found: Versions = {}
    for text in requirements:
        found.update(ask_pip(interpreter, ["--no-deps", text], None))
    return found


def main(interpreters: list[str], constraints: Path | None) -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    normal, alone = split_wheel_only(project["dependencies"])
    dev = project["optional-dependencies"]["dev"]
    run: dict[str, Versions] = {}
    test: dict[str, Versions] = {}
    for interpreter in interpreters:
        version = python_version(interpreter)
        both = ask_pip(interpreter, normal + dev, constraints)
        needed = ask_pip(interpreter, normal, constraints)
        run[version] = {name: both[name] for name in needed} | pinned_alone(interpreter, alone)
        test[version] = {name: pin for name, pin in both.items() if name not in needed}
        print(f"{interpreter} ({version}): {len(run[version])} packages, {len(test[version])} more for the tests")
    for file, part, answers in (
        ("requirements.lock", "what running needs", run),
        ("requirements-dev.lock", "what the tests need besides", test),
    ):
        (TOP / file).write_text(HEAD.format(part=part) + "\n".join(merge(answers)) + "\n")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    limit = Path(arguments.pop(0).removeprefix("--constraint=")) if arguments[:1] and "=" in arguments[0] else None
    if not arguments:
        raise SystemExit(__doc__)
    main(arguments, limit)
