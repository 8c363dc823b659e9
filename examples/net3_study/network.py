"""What the steps of the study need of the INP file: demands, coordinates and pipes. Nothing is simulated here."""

from __future__ import annotations

from pathlib import Path

Point = tuple[float, float]


class Network:
    """The sections that matter here, as they stand in the file."""

    def __init__(self, file: Path) -> None:
        sections = _sections(file)
        #: Junctions with a demand: where pressure is wanted.
        self.customers = [row[0] for row in sections.get("JUNCTIONS", []) if len(row) > 2 and float(row[2]) > 0]
        self.junctions = [row[0] for row in sections.get("JUNCTIONS", [])]
        self.tanks = [row[0] for row in sections.get("TANKS", [])]
        self.reservoirs = [row[0] for row in sections.get("RESERVOIRS", [])]
        self.places: dict[str, Point] = {row[0]: (float(row[1]), float(row[2])) for row in sections["COORDINATES"]}
        self.bends: dict[str, list[Point]] = {}
        for id, x, y, *_ in sections.get("VERTICES", []):
            self.bends.setdefault(id, []).append((float(x), float(y)))
        #: (id, from, to) of pipes, pumps and valves.
        self.links = [tuple(row[:3]) for kind in ("PIPES", "PUMPS", "VALVES") for row in sections.get(kind, [])]

    def line(self, id: str, start: str, end: str) -> list[Point]:
        return [self.places[start], *self.bends.get(id, []), self.places[end]]


def _sections(file: Path) -> dict[str, list[list[str]]]:
    sections: dict[str, list[list[str]]] = {}
    name = ""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.split(";")[0].strip()
        if text.startswith("["):
            name = text.strip("[]").upper()
        elif text:
            sections.setdefault(name, []).append(text.split())
    return sections
