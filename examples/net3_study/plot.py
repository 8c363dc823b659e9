"""Step 4 of the study: one picture. Left, the network coloured by the 5th percentile of the lowest pressure;
right, the spread of pressure over the day at the four worst nodes that have a demand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from network import Network

#: Below this pressure service is poor, in psi and m.
LIMITS = {"psi": 20.0, "m": 14.0}
BAND = "#2a6f97"
LIMIT_COLOUR = "#c1121f"


def draw_map(
    figure: Figure, axes: Axes, network: Network, lowest: dict[str, float], worst: list[str], unit: str
) -> None:
    lines = [network.line(id, start, end) for id, start, end in network.links]
    axes.add_collection(LineCollection(lines, colors="#b8b8b8", linewidths=1.1, zorder=1))
    shown = [node for node in network.junctions if node in lowest]
    bounds = [0, 10, 20, 30, 40, 50, 60] if unit == "psi" else [0, 7, 14, 21, 28, 35, 42]
    colours = plt.get_cmap("RdYlBu", len(bounds) + 1)
    points = axes.scatter(
        *zip(*(network.places[node] for node in shown), strict=True),
        c=[lowest[node] for node in shown],
        cmap=colours,
        norm=BoundaryNorm(bounds, colours.N, extend="both"),
        s=[62 if node in network.customers else 24 for node in shown],
        edgecolors="#333333",
        linewidths=0.5,
        zorder=3,
    )
    draw_sources(axes, network)
    for node in worst:
        x, y = network.places[node]
        axes.scatter([x], [y], s=190, facecolors="none", edgecolors=LIMIT_COLOUR, linewidths=1.6, zorder=4)
    place_labels(axes, network, worst)
    colour_bar = figure.colorbar(points, ax=axes, orientation="horizontal", fraction=0.045, pad=0.02, aspect=40)
    colour_bar.set_label(f"5th percentile of the day's lowest pressure ({unit})")
    axes.set_aspect("equal")
    axes.margins(0.04)
    axes.axis("off")
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    axes.set_title("Pressure that 95 % of the scenarios keep all day", fontsize=11, loc="left")


def draw_sources(axes: Axes, network: Network) -> None:
    for nodes, marker, label in ((network.reservoirs, "s", "reservoir"), (network.tanks, "D", "tank")):
        x, y = zip(*(network.places[node] for node in nodes), strict=True)
        axes.scatter(x, y, marker=marker, s=70, color="#1d3557", zorder=3, label=label)
        for node in nodes:
            place = network.places[node]
            axes.annotate(node, place, textcoords="offset points", xytext=(0, 8), ha="center", color="#1d3557")
    axes.scatter([], [], s=62, color="white", edgecolors="#333333", linewidths=0.5, label="junction with demand")
    axes.scatter([], [], s=24, color="white", edgecolors="#333333", linewidths=0.5, label="without")


def place_labels(axes: Axes, network: Network, worst: list[str]) -> None:
    """Each label goes away from the middle of the labelled nodes, so that neighbours keep apart."""
    middle_x = sum(network.places[node][0] for node in worst) / len(worst)
    middle_y = sum(network.places[node][1] for node in worst) / len(worst)
    for node in worst:
        x, y = network.places[node]
        right, up = x >= middle_x, y >= middle_y
        axes.annotate(
            node,
            (x, y),
            textcoords="offset points",
            xytext=(13 if right else -13, 11 if up else -11),
            ha="left" if right else "right",
            va="bottom" if up else "top",
            fontsize=9,
            fontweight="bold",
            color=LIMIT_COLOUR,
            zorder=5,
        )


def draw_bands(axes: Axes, node: str, columns: dict[str, list[float]], unit: str) -> None:
    hours = [time / 3600 for time in columns["time"]]
    axes.fill_between(hours, columns["p5"], columns["p95"], color=BAND, alpha=0.2, linewidth=0, label="5-95 %")
    axes.fill_between(hours, columns["p25"], columns["p75"], color=BAND, alpha=0.4, linewidth=0, label="25-75 %")
    axes.plot(hours, columns["p50"], color="#012a4a", linewidth=1.5, label="median")
    if unit in LIMITS:
        axes.axhline(LIMITS[unit], color=LIMIT_COLOUR, linewidth=1, linestyle="--", label=f"{LIMITS[unit]:g} {unit}")
    axes.set_title(f"node {node}", fontsize=10, loc="left", color=LIMIT_COLOUR, fontweight="bold")
    axes.set_ylabel(f"pressure ({unit})", fontsize=9)
    axes.set_xlim(hours[0], hours[-1])
    axes.set_xticks(range(0, int(hours[-1]) + 1, 4))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def bands_of(table: object, node: str) -> dict[str, list[float]]:
    names = table.column_names[1:]
    rows = [index for index, name in enumerate(table["node"].to_pylist()) if name == node]
    return {name: table[name].take(rows).to_pylist() for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws the result of the Net3 study.")
    parser.add_argument("--inp", type=Path, default=Path("Net3.inp"))
    parser.add_argument("--results", type=Path, default=Path("."))
    parser.add_argument("--out", type=Path, default=Path("net3_study.png"))
    options = parser.parse_args()
    summary = json.loads((options.results / "summary.json").read_text())
    minima = pq.read_table(options.results / "minima.parquet").to_pydict()
    lowest = dict(zip(minima["node"], minima["p5_of_minimum"], strict=True))
    bands = pq.read_table(options.results / "bands.parquet")
    worst, unit = list(summary["worst_nodes"]), summary["pressure_units"]

    figure = plt.figure(figsize=(15, 9), layout="constrained")
    grid = figure.add_gridspec(len(worst), 2, width_ratios=(1.45, 1))
    draw_map(figure, figure.add_subplot(grid[:, 0]), Network(options.inp), lowest, worst, unit)
    panels: list[Axes] = []
    for position, node in enumerate(worst):
        panels.append(figure.add_subplot(grid[position, 1], sharex=panels[0] if panels else None))
        draw_bands(panels[-1], node, bands_of(bands, node), unit)
        panels[-1].tick_params(labelbottom=position == len(worst) - 1)
    panels[-1].set_xlabel("hour of the day", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[0].legend(
        handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=8, borderaxespad=0
    )
    used = summary["scenarios"] - len(summary["excluded"])
    figure.suptitle(
        f"Net3, 24 hours, {used} of {summary['scenarios']} scenarios of demand and pipe roughness",
        fontsize=14,
        x=0.005,
        ha="left",
    )
    figure.savefig(options.out, dpi=130)


if __name__ == "__main__":
    main()
