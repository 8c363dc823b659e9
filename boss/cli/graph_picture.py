"""A picture of a push's graph: a column for each level, an arrow from each task to those that wait for it.

Drawn by networkx and matplotlib, which are imported only here.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from boss.intake.shape import TaskGraph, levels_of, shape_of

if TYPE_CHECKING:
    import networkx

#: A picture of more tasks is not readable.
MAX_TASKS = 500
FORMATS = ("svg", "png", "pdf")
_INCHES_PER_LEVEL, _INCHES_PER_TASK, _MAX_INCHES = 2.0, 0.5, 100.0


class PictureError(Exception):
    """No picture can be made. The text is a sentence for users."""


def draw(graph: TaskGraph, path: Path) -> None:
    """Write the picture, in the format that the file's name ends with. Raises PictureError."""
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise PictureError(f"{path}: a picture is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, by the end of its name")
    if len(graph.ids) > MAX_TASKS:
        raise PictureError(f"the graph has {len(graph.ids):,} tasks; a picture shows at most {MAX_TASKS}")
    import matplotlib

    matplotlib.use("agg")
    # An id is text, not mathematics, whatever it holds; and not every font has every letter.
    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        try:
            _draw(graph, path, kind)
        except OSError as error:
            raise PictureError(f"{path} cannot be written: {error.strerror}") from None


def _draw(graph: TaskGraph, path: Path, kind: str) -> None:
    import networkx
    from matplotlib.figure import Figure

    shape = shape_of(graph)
    drawn = _columns(graph)
    places = networkx.multipartite_layout(drawn)
    size = _inches(shape.levels * _INCHES_PER_LEVEL), _inches(shape.widest * _INCHES_PER_TASK)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.margins(0.1)
    axes.invert_yaxis()  # the first task of the file is the uppermost
    critical = set(shape.critical_path)
    for tasks, colour in ((set(drawn) - critical, "lightsteelblue"), (critical, "orange")):
        box = {"boxstyle": "round", "facecolor": colour, "edgecolor": "none"}
        labels = {index: graph.ids[index] for index in sorted(tasks)}
        networkx.draw_networkx_labels(drawn, places, labels, font_size=8, bbox=box, ax=axes)
    networkx.draw_networkx_edges(drawn, places, edge_color="grey", width=0.5, node_size=500, ax=axes)
    figure.savefig(path, format=kind)


def _columns(graph: TaskGraph) -> networkx.DiGraph:
    """Tasks with their levels as `subset`, and edges to those that wait for them."""
    import networkx

    drawn = networkx.DiGraph()
    for index, level in enumerate(levels_of(graph)):
        drawn.add_node(index, subset=level)
    for index in range(len(graph.ids)):
        row = graph.targets[graph.starts[index] : graph.starts[index + 1]]
        drawn.add_edges_from((target, index) for target in row)
    return drawn


def _inches(required: float) -> float:
    return min(max(required, 2.0), _MAX_INCHES)
