"""The `output` and `options` of an EPANET task, and the files that follow from them."""

from __future__ import annotations

import pytest

from worker.epanet.assess import RunRow, refuse_failures, sum_up
from worker.epanet.errors import SpecificationError, StrictError, TooManyFailedError
from worker.epanet.specification import parse_options, parse_output


@pytest.mark.parametrize(
    ("output", "variables", "directory"),
    [
        ({}, (("pressure",), ()), ""),
        ({"directory": "a/./b/"}, (("pressure",), ()), "a/b"),
        ({"links": {"variables": ["flow"]}}, ((), ("flow",)), ""),
        (
            {"nodes": {"variables": ["head", "pressure"]}, "links": {"elements": ["1"], "variables": ["status"]}},
            (("head", "pressure"), ("status",)),
            "",
        ),
    ],
)
def test_what_is_kept_and_where_is_read_of_the_output(
    output: dict[str, object], variables: tuple[tuple[str, ...], tuple[str, ...]], directory: str
) -> None:
    parsed = parse_output(output)
    assert (parsed.nodes.variables, parsed.links.variables) == variables
    assert parsed.directory == directory


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"node": {}}, "did you mean 'nodes'"),
        ({"nodes": {"variable": ["pressure"]}}, "did you mean 'variables'"),
        ({"nodes": {"variables": ["presure"]}}, "did you mean 'pressure'"),
        ({"nodes": {"variables": ["flow"]}}, "'flow' is unknown"),
        ({"nodes": {}}, "at least one name"),
        ({"nodes": {"variables": "pressure"}}, "a list"),
        ({"nodes": {"elements": [], "variables": ["pressure"]}}, "at least one name"),
        ({"nodes": []}, "is an object"),
        ({"directory": "../x"}, "leaves the working directory"),
        ({"directory": "/x"}, "leaves the working directory"),
        ({"directory": 3}, "a path inside"),
    ],
)
def test_a_wrong_output_is_refused(output: dict[str, object], message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        parse_output(output)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"durations": 1}, "did you mean 'duration'"),
        ({"duration": "soon"}, "options.duration"),
        ({"report_step": 0}, "above 0"),
        ({"quality": "age"}, "options.quality"),
        ({"strict": "very"}, "options.strict"),
        ({"max_failed": -1}, "options.max_failed"),
        ({"max_failed": 0.5}, "options.max_failed"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        parse_options(options)
    assert message in str(caught.value)


def rows(*statuses: str) -> list[RunRow]:
    return [RunRow(number, status) for number, status in enumerate(statuses)]


def test_the_summary_counts_and_tells_the_first_that_are_not_ok() -> None:
    summary = sum_up(rows("ok", *["warned"] * 25, "halted", "nan", "absurd", "error"), "psi", 1.5)
    assert summary.figures == {"scenarios": 30, "ok": 1, "warned": 25, "halted": 1, "failed": 3, "seconds": 1.5}
    assert summary.lines[0] == "30 scenarios: 1 ok, 25 warned, 1 absurd, 1 nan, 1 halted, 1 error"
    assert len(summary.lines) == 22
    assert summary.lines[-1] == "and 9 more, see runs.parquet"


def test_failed_scenarios_fail_the_task_only_where_the_options_say_so() -> None:
    refuse_failures(parse_options({}), rows("error", "nan"), {"ok": 1.0})
    refuse_failures(parse_options({"strict": "error", "max_failed": 0}), rows("ok", "warned"), {"ok": 1.0})
    refuse_failures(parse_options({"max_failed": 1}), rows("ok", "halted"), {"ok": 1.0})
    with pytest.raises(StrictError):
        refuse_failures(parse_options({"strict": True}), rows("ok", "warned"), {"ok": 1.0})
    with pytest.raises(StrictError):
        refuse_failures(parse_options({"strict": "error"}), rows("ok", "absurd"), {"ok": 1.0})
    with pytest.raises(TooManyFailedError, match="2 of 2") as caught:
        refuse_failures(parse_options({"max_failed": 1}), rows("error", "halted"), {"ok": 1.0})
    assert caught.value.figures == {"ok": 1.0}
