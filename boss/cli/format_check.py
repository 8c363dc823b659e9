"""What `push_tasks.py --check` prints of a valid file: what it holds, and the shape of its graph. Pure."""

from __future__ import annotations

from boss.cli.terminal import duration, harmless
from boss.common.plural import plural
from boss.intake.reader import CheckedFile
from boss.intake.shape import Shape, shape_of

#: A longer path is shown by its two ends.
_PATH_SHOWN = 10


def checked_lines(checked: CheckedFile) -> list[str]:
    """For a terminal."""
    words = plural(checked.tasks, "task")
    init = f" and {plural(checked.inits, 'init task')}" if checked.inits else ""
    files = f"; a push sends {plural(len(checked.files), 'file')} along" if checked.files else ""
    return [f"{harmless(checked.path)} is valid: {words}{init}{files}.", *_shape_lines(checked)]


def checked_json(checked: CheckedFile) -> dict[str, object]:
    """For programs."""
    shape = shape_of(checked.graph)
    return {
        "valid": True,
        "tasks": checked.tasks,
        "inits": checked.inits,
        "warnings": checked.warnings,
        "levels": shape.levels,
        "widest_level": shape.widest,
        "critical_path": [checked.graph.ids[index] for index in shape.critical_path],
        "critical_path_seconds": shape.seconds,
    }


def _shape_lines(checked: CheckedFile) -> list[str]:
    shape = shape_of(checked.graph)
    if shape.levels < 2:
        return []  # nothing depends on anything
    levels = f"{plural(shape.levels, 'level')}, {plural(shape.widest, 'task')} on the widest"
    takes = f", {duration(shape.seconds)} as expected" if shape.seconds else ""
    path = f"critical path of {plural(len(shape.critical_path), 'task')}{takes}"
    return [f"Its graph has {levels}; {path}: {_path_text(checked.graph.ids, shape)}"]


def _path_text(ids: list[str], shape: Shape) -> str:
    words = [harmless(ids[index]) for index in shape.critical_path]
    if len(words) > _PATH_SHOWN:
        half = _PATH_SHOWN // 2
        words = [*words[:half], "...", *words[-half:]]
    return " -> ".join(words)
