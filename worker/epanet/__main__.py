"""`python -m worker.epanet`: the warm child process; with `run` or `check` a command of its own.

Only arguments and their translation. The commands need neither boss nor broker, and give the files that a
task gives.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from wire.messages import EpanetRun
from worker.epanet import serve
from worker.epanet.batch import run_batch
from worker.epanet.check import check
from worker.epanet.errors import BatchError, SpecificationError
from worker.epanet.library import load
from worker.epanet.warm import OpenNetworks

_EXAMPLES = """examples:
  python -m worker.epanet check Net3.inp
  python -m worker.epanet run Net3.inp --scenarios scenarios.csv --rows 0:50 --out results --option duration=24h
  python -m worker.epanet run Net3.inp --node-variables head --nodes 101,103 --link-variables flow --out results
exit codes: 0 done, 2 bad specification, 3 not strict enough, 4 bad network, 5 too many failed, 75 this machine's fault
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.command is None:
        return serve.main()
    try:
        load()
        return _check(options) if options.command == "check" else _run(options)
    except BatchError as fault:
        serve.tell(str(fault))
        return fault.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.epanet",
        description="Without a command: the warm process that a worker starts (JSON lines on stdin and stdout).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    checking = commands.add_parser("check", help="parse a network, solve it once, tell what it is")
    checking.add_argument("inp", type=Path)
    checking.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    running = commands.add_parser("run", help="solve scenarios of one network")
    running.add_argument("inp", type=Path)
    running.add_argument("--scenarios", type=Path, help="table of scenarios (CSV or Parquet); without it one plain run")
    running.add_argument("--rows", type=_rows, help="rows FIRST:LAST of the table, the last one excluded")
    running.add_argument("--out", type=Path, default=Path("."), help="directory for the result files")
    running.add_argument("--nodes", default="*", help="ids or patterns, separated by commas")
    running.add_argument("--node-variables", default="", help="such as pressure,demand")
    running.add_argument("--links", default="*", help="ids or patterns, separated by commas")
    running.add_argument("--link-variables", default="", help="such as flow,velocity")
    running.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="such as duration=24h")
    return parser


def _rows(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    try:
        return int(first), int(last)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 0:50") from None


def _check(options: argparse.Namespace) -> int:
    if not options.inp.is_file():
        raise SpecificationError(f"there is no file {options.inp}")
    facts = check(options.inp)
    lines = [json.dumps(facts)] if options.json else [f"{name}: {_plain(value)}" for name, value in facts.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _plain(value: object) -> str:
    return ", ".join(f"{part} {name}" for name, part in value.items()) if isinstance(value, dict) else str(value)


def _run(options: argparse.Namespace) -> int:
    run = EpanetRun(
        inp=str(options.inp.resolve()),
        scenarios=str(options.scenarios.resolve()) if options.scenarios else [],
        rows=options.rows,
        output=_output(options),
        options=dict(_option(text) for text in options.option),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    networks = OpenNetworks(capacity=0)
    try:
        run_batch(run, options.out, networks, tell=serve.tell)
    finally:
        networks.close()
    return 0


def _output(options: argparse.Namespace) -> dict[str, object]:
    output: dict[str, object] = {}
    for section, elements, variables in (
        ("nodes", options.nodes, options.node_variables),
        ("links", options.links, options.link_variables),
    ):
        if variables:
            output[section] = {"elements": elements.split(","), "variables": variables.split(",")}
    if not output and options.nodes != "*":
        output["nodes"] = {"elements": options.nodes.split(","), "variables": ["pressure"]}
    return output


def _option(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SpecificationError(f"--option {text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
