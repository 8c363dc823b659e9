"""`python -m worker.debug`: run every check with the agent's own options and print what is found; 1 if one fails."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator

from worker.debug.broker_checks import check_broker, look_at_boss
from worker.debug.finding import Finding, lines, summary
from worker.debug.machine_checks import check_machine
from worker.debug.ssh_checks import check_ssh
from worker.options import OptionError, WorkerOptions, address_of, read_options


def main(arguments: list[str]) -> int:
    given, rest = _parser().parse_known_args(arguments)
    logging.disable(logging.CRITICAL)  # what the link says of its tries is in the findings
    try:
        options = read_options(rest, os.environ)
    except OptionError as error:
        findings = [
            Finding("options", "FAILED", line, "see python -m worker --help") for line in str(error).split("\n")
        ]
        _print(findings)
    else:
        findings = []
        for finding in _findings(options, given):
            _print([finding])
            findings.append(finding)
    sys.stdout.write(f"{summary(findings)}\n")
    return 1 if any(finding.state == "FAILED" for finding in findings) else 0


def _findings(options: WorkerOptions, given: argparse.Namespace) -> Iterator[Finding]:
    yield Finding("options", "ok", f"worker {options.id}, {options.slots} slots, place {options.place}")
    here, there = (time.time() if given.here_time is None else given.here_time), given.boss_time
    if options.boss_url:
        finding, its_time = look_at_boss(options.boss_url)
        yield finding
        if there is None and its_time is not None:
            here, there = time.time(), its_time
    yield from check_machine(options, here, there, given.boss_version, given.boss_bundles)
    yield from check_broker(options)
    if options.place == "ssh":
        yield from check_ssh(options, address_of(options), given.datastore_key)


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        sys.stdout.writelines(f"{line}\n" for line in lines(finding))
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.debug",
        description="Looks at each thing that a worker needs. Takes the options of python -m worker besides.",
        epilog="Exit codes: 0 all is well, 1 something failed.",
        allow_abbrev=False,
    )
    parser.add_argument("--boss-time", type=float, metavar="SECONDS", help="the boss's clock, seconds since 1970")
    parser.add_argument("--here-time", type=float, metavar="SECONDS", help="this machine's clock at that moment")
    parser.add_argument("--boss-version", type=int, metavar="N", help="version of the messages that the boss speaks")
    parser.add_argument(
        "--boss-bundles", default="", metavar="KIND=DIGEST ...", help="what workers of the boss are to run from"
    )
    parser.add_argument("--datastore-key", default="", metavar="KEY", help="the datastore's public SSH key")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
