"""The imports between the top folders, counted and drawn as a Mermaid flowchart.

python -m tools.imports
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

import grimp

from tools import CHECKOUT

Arrow: TypeAlias = tuple[str, str]
"""From the folder that imports to the folder that is imported."""


def tower() -> list[list[str]]:
    """The floors from top to bottom, as the import contract has them. Folders of one floor do not know each
    other."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    floors = project["tool"]["importlinter"]["contracts"][0]["layers"]
    return [floor.split(" | ") for floor in floors]


def count_imports() -> Counter[Arrow]:
    """How many modules of another folder each folder's modules import, counting each pair of modules once.
    Imports inside functions count as well."""
    folders = [folder for floor in tower() for folder in floor]
    graph = grimp.build_graph(*folders, cache_dir=None)
    arrows: Counter[Arrow] = Counter()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            arrows[importer.partition(".")[0], imported.partition(".")[0]] += importer != imported
    return Counter({(upper, lower): number for (upper, lower), number in arrows.items() if upper != lower})


def draw(arrows: Mapping[Arrow, int]) -> str:
    """The flowchart, with a row for each floor."""
    lines = ["flowchart TD"]
    for number, floor in enumerate(tower()):
        lines += [f"    subgraph floor{number}[ ]", *(f"        {folder}" for folder in floor), "    end"]
    lines += [f"    {upper} -->|{number}| {lower}" for (upper, lower), number in sorted(arrows.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    print(draw(count_imports()))  # noqa: T201
