"""The end of a push's intake: what concerns more than one task, and the Submission.

A requirement that is another task's result makes that task a dependency. Two tasks that would write one
name, cycles and init tasks in the wrong place are rejections. What the push does not hold itself (tasks and
files of earlier pushes) is left to the boss as `external`.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Container, Iterable, Iterator

import msgspec

from boss.core.model import InitSpec, Profile, Submission
from boss.intake.columns import UNKNOWN, Columns
from boss.intake.graph import build_rows, find_cycles
from boss.intake.producers import TooManyPatternsError, matching, producers_of
from boss.intake.rules import folders_of
from boss.intake.stream import Header, decode_inputs, encoder
from wire.messages import Input
from wire.patterns import folders_above, is_pattern

#: So many warnings of one kind are listed one by one.
_WARNINGS = 20
#: A longer cycle is shown by its two ends.
_CYCLE_SHOWN = 20


def finish(columns: Columns, header: Header) -> Submission:
    """The Submission. Rejections of the whole graph are added to `columns.rejections`; then it must not be used."""
    ids = columns.ids()
    warnings = _check_results(columns, ids, header)
    external = _external(columns, ids)
    implied, external_names, used = _bind(columns)
    starts, targets = _rows(columns, implied)
    _check_cycles(columns, ids, starts, targets, implied)
    unused = [
        f"the sent file `{name}` is needed by no task and is left out" for name in columns.files if name not in used
    ]
    warnings += _capped(unused)
    if not ids and not columns.inits:
        warnings.append("there are no tasks in it: nothing to do")
    profiles, profile_of = profiles_with_inputs(columns)
    return Submission(
        project=header.project,
        name=header.name,
        merge_strategy=header.merge_strategy,
        allow_shared_results=header.allow_shared_results,
        submitter=header.submitter,
        source=header.source,
        named=header.named,
        created_ids=header.created_ids,
        prune=header.prune,
        dry_run=header.dry_run,
        confirmed=header.confirmed,
        ids=ids,
        executions=columns.executions,
        requirements=columns.requirements,
        contents=columns.contents,
        former_contents=columns.former_contents,
        profiles=profiles,
        profile_of=profile_of.tobytes(),
        dependency_starts=starts.tobytes(),
        dependency_targets=targets.tobytes(),
        external=external,
        external_names=external_names,
        results=columns.results,
        inits=columns.inits,
        files=[file for name, file in columns.files.items() if name in used],
        warnings=warnings,
    )


def _check_results(columns: Columns, ids: list[str], header: Header) -> list[str]:
    """Rejections, or where they are allowed warnings, about names that two tasks would write."""
    warnings = []
    for name, first, second in columns.shared:
        text = f'`{name}` is also a result of task "{ids[first]}"'
        if header.allow_shared_results or is_pattern(name):
            warnings.append(f'task "{ids[second]}": {text}; the one that ends last stays')
        else:
            hint = "Let one of them write elsewhere, or push with --allow_shared_results."
            columns.rejections.add(text, hint, task=ids[second], field="results")
    _check_folders(columns, ids)
    return _capped(warnings) + _capped(_matched(columns, ids))


def _matched(columns: Columns, ids: list[str]) -> list[str]:
    """Warnings about results that a pattern of another task means as well. More than can be compared are left out."""
    patterns = [(name, index) for name, index in columns.results if is_pattern(name)]
    if not patterns:
        return []
    names = {name: index for name, index in columns.results if not is_pattern(name)}
    warnings = []
    try:
        for name, index in matching(names, patterns):
            if names[name] != index:
                warnings.append(
                    f'task "{ids[names[name]]}": its result `{name}` is one that task "{ids[index]}" could leave by a '
                    "pattern; the one that ends last stays"
                )
    except TooManyPatternsError:
        pass
    return warnings


def _check_folders(columns: Columns, ids: list[str]) -> None:
    for name, index in columns.results:
        for folder in folders_of(name):
            other = columns.producers.get(folder, index)
            if other != index:
                text = f'`{name}` lies in `{folder}`, which is a result of task "{ids[other]}"'
                columns.rejections.add(text, task=ids[index], field="results")


def _external(columns: Columns, ids: list[str]) -> list[tuple[int, str]]:
    """Dependencies on tasks that are not in this push. Those on init tasks are rejections."""
    outside = {number: id for id, number in columns.number_of.items() if columns.index_of[number] < 0}
    if not outside:
        return []
    external = []
    for index, number in _pairs(columns):
        id = outside.get(number)
        if id is None:
            continue
        if columns.index_of[number] == UNKNOWN:
            external.append((index, id))
        else:
            text = f'"{id}" is an init task; it runs before every task anyway'
            columns.rejections.add(text, "Leave it out here.", task=ids[index], field="dependencies")
    return external


def _pairs(columns: Columns) -> Iterator[tuple[int, int]]:
    """(task, number of an id that it depends on), task by task."""
    first = 0
    for index, last in enumerate(columns.starts[1:]):
        for at in range(first, last):
            yield index, columns.mentioned[at]
        first = last


def _bind(columns: Columns) -> tuple[dict[tuple[int, int], str], list[tuple[int, str]], set[str]]:
    """What each requirement is: a result (task, producer) -> name; a name left to the boss; a sent file."""
    implied: dict[tuple[int, int], str] = {}
    external: list[tuple[int, str]] = []
    used: set[str] = set()
    all_producers = _all_producers(columns)
    for name, tasks in columns.needed.items():
        producers = all_producers.get(name, ())
        others = [index for index in tasks if index not in producers]
        if producers:
            implied.update({(index, producer): name for index in others for producer in producers})
            if name in columns.files:
                for index in others:  # a result of this push is meant, not the file of that name that was sent with it
                    columns.requirements[index] = _unbound(columns.requirements[index], (name,))
            elif name in columns.folders:
                _forget_folder(columns, name, others)
            others = [index for index in tasks if index in producers]
        if name in columns.files:
            used.add(name)
        elif name in columns.folders:
            used.update(f"{name}/{inner}" for inner in columns.folders[name].files if others or not producers)
        else:
            external.extend((index, name) for index in others)
    used |= _check_inits(columns, all_producers)
    external.sort()
    return implied, external, used


def _all_producers(columns: Columns) -> dict[str, set[int]]:
    """Only for names that are needed."""
    try:
        return producers_of(columns.needed, columns.results, columns.files.keys() | columns.folders.keys())
    except TooManyPatternsError:
        text = "there are more requirements and patterns of results than can be compared with each other"
        columns.rejections.add(text, "Give each pattern a folder of its own, or name the results.", field="results")
        return {}


def _forget_folder(columns: Columns, name: str, tasks: Iterable[int]) -> None:
    """A result is meant, not the folder that was sent: the requirement is one again, in place of all that is in it."""
    for index in tasks:
        items: dict[tuple[str, str], Input] = {}
        for item in decode_inputs(columns.requirements[index]):
            inner = item.name[len(name) :]
            if item.name.startswith(name) and inner[:1] in ("", "/") and item.path.endswith(inner):
                item = Input(name=name, path=item.path.removesuffix(inner))
            items.setdefault((item.name, item.path), item)
        columns.requirements[index] = encoder.encode(list(items.values()))


def leave_to_project(submission: Submission, names: set[str]) -> None:
    """Unbind files that were sent: `names` are results of older tasks of the project, and those come first.

    The boss calls it before it accepts, because only the boss knows the project. What the tasks' contents
    are does not change by it: pushed again, they are still the same tasks.
    """
    for index, encoded in enumerate(submission.requirements):
        found = [item.name for item in decode_inputs(encoded) if item.name in names and item.digest] if encoded else []
        if found:
            submission.requirements[index] = _unbound(encoded, found)
            submission.external_names.extend((index, name) for name in found)
    submission.external_names.sort()
    for init in submission.inits:
        if init.requirements:
            init.requirements = _unbound(init.requirements, names)
    submission.files = [file for file in submission.files if file.name not in names]


def _unbound(encoded: bytes, names: Container[str]) -> bytes:
    """Requirements without the digests of these names."""
    return encoder.encode(
        [
            msgspec.structs.replace(item, digest="", size=0, executable=False) if item.name in names else item
            for item in decode_inputs(encoded)
        ]
    )


def _check_inits(columns: Columns, producers: dict[str, set[int]]) -> set[str]:
    """Sent files that init tasks use. An init task runs before all others, so it can use no result of theirs."""
    used = set()
    for init in columns.inits:
        for name in _names(init):
            if name in columns.files:
                used.add(name)
            elif name in producers:
                text = f"`{name}` is a result of this push, and an init task runs before all others"
                columns.rejections.add(text, task=init.id, field="requirements")
    return used


def _names(init: InitSpec) -> list[str]:
    return [item.name for item in decode_inputs(init.requirements) if not item.folder] if init.requirements else []


def _rows(columns: Columns, implied: dict[tuple[int, int], str]) -> tuple[array[int], array[int]]:
    targets = array("i", map(columns.index_of.__getitem__, columns.mentioned))
    if implied or (targets and min(targets) <= UNKNOWN):
        return build_rows(columns.starts, targets, implied)
    return columns.starts, array("I", targets.tobytes())


def _check_cycles(
    columns: Columns,
    ids: list[str],
    starts: array[int],
    targets: array[int],
    implied: dict[tuple[int, int], str],
) -> None:
    for cycle in find_cycles(starts, targets):
        cycle = [*cycle, cycle[0]]
        text = f"they need each other in a cycle, so none could begin: {_cycle_text(ids, cycle)}"
        through = [implied[step] for step in itertools.pairwise(cycle) if step in implied]
        hint = f"One of these needs is the requirement `{through[0]}`, another one's result." if through else ""
        columns.rejections.add(text, hint, task=ids[cycle[0]], field="dependencies")


def _cycle_text(ids: list[str], cycle: list[int]) -> str:
    words = [ids[index] for index in cycle]
    if len(words) > _CYCLE_SHOWN:
        half = _CYCLE_SHOWN // 2
        words = [*words[:half], f"... {len(words) - 2 * half} more ...", *words[-half:]]
    return " -> ".join(words)


def missing_warnings(submission: Submission, results: Container[str]) -> list[str]:
    """About requirements that must be on the datastore, as nothing is known that makes them or sends them.

    `results`: of older tasks of the project, which only the boss knows.
    """
    absent = [
        (index, name)
        for index, name in submission.external_names
        if not any(place in results for place in (name, *folders_above(name)))
    ]
    missing = [
        f'task "{submission.ids[index]}": the requirement `{name}` is no result of a task of this push and no file '
        "beside the task file; it must be on the datastore when the task begins"
        for index, name in absent[: _WARNINGS + 1]
    ]
    for init in submission.inits:
        missing += [
            f'init task "{init.id}": the requirement `{item.name}` is no file beside the task file; '
            "it must be on the datastore"
            for item in (decode_inputs(init.requirements) if init.requirements else ())
            if not (item.digest or item.folder)
        ]
    return _capped(missing, max(len(missing), len(absent)))


def _capped(warnings: list[str], count: int = 0) -> list[str]:
    more = max(count, len(warnings)) - _WARNINGS
    return [*warnings[:_WARNINGS], f"... and {more:,} more like this"] if more > 0 else warnings


# --- sent files that several tasks need --------------------------------------------------------------

# They are noted in the profiles, so that the boss can send tasks where those files are. Distinguished are sets of
# files, each of which several tasks need, the largest first. Work and sets are bounded: with files beyond the bounds
# nothing is lost but a preference. What makes a task the same when it is pushed again does not depend on it, as that
# must not depend on other tasks.

#: Different sets of shared files in one push.
MAX_SETS = 1_000
#: Looks at a task's need of a file, for each task of the push.
_LOOKS = 4

Inputs = tuple[tuple[str, int], ...]


def profiles_with_inputs(columns: Columns) -> tuple[list[Profile], array[int]]:
    """The profiles and their numbers by task, as in `columns`, but with `inputs`."""
    count = len(columns.executions)
    sets, set_of = _sets(columns, count)
    if len(sets) == 1:
        return columns.profiles, columns.profile_of
    profiles: list[Profile] = []
    numbers: dict[tuple[int, int], int] = {}
    profile_of = array("I")
    for pair in zip(columns.profile_of, set_of, strict=True):
        number = numbers.get(pair)
        if number is None:
            number = numbers[pair] = len(profiles)
            profiles.append(msgspec.structs.replace(columns.profiles[pair[0]], inputs=sets[pair[1]]))
        profile_of.append(number)
    return profiles, profile_of


def _sets(columns: Columns, count: int) -> tuple[list[Inputs], array[int]]:
    """The sets (the first is empty), and the number of each task's."""
    sets: list[Inputs] = [()]
    set_of = array("I", bytes(4 * count))
    looks = _LOOKS * count
    for digest, size, tasks in _shared(columns):
        looks -= len(tasks)
        if looks < 0:
            break
        grown: dict[int, int] = {}
        for index in tasks:
            before = set_of[index]
            after = grown.get(before)
            if after is None:
                after = before
                if len(sets) < MAX_SETS:
                    after = len(sets)
                    sets.append((*sets[before], (digest, size)))
                    grown[after] = after  # named twice by one task
                grown[before] = after
            set_of[index] = after
    return sets, set_of


def _shared(columns: Columns) -> list[tuple[str, int, array[int]]]:
    """Digest, size and tasks of each sent file that several tasks need; the largest first."""
    found = [
        (file.digest, file.size, columns.needed[name])
        for name, file in columns.files.items()
        if name not in columns.producers and len(columns.needed.get(name, ())) > 1
    ]
    return sorted(found, key=lambda one: -one[1])
