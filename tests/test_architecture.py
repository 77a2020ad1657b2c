"""The documents about the structure are true."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tools import CHECKOUT
from tools.imports import count_imports, draw, tower

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in (CHECKOUT / "docs").glob("*.md")))

# Not the home of a demo, the environment, and what else comes and goes.
_FOLDERS = "|".join(re.escape(folder.name) for folder in CHECKOUT.glob("[!.]*") if folder.is_dir())
_NAMED = re.compile(rf"`((?:{_FOLDERS})/[\w./*-]+|[A-Za-z_]+\.(?:toml|yaml|md))`")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")


def _anchors(page: Path) -> set[str]:
    """The fragments by which the headings of a page are linked, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_printed_tower_equals_the_import_contract() -> None:
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    printed = re.search(r"```\n(.*?)\n```", page, re.DOTALL)
    assert printed is not None
    assert [line.split(" | ") for line in printed[1].splitlines()] == tower()


def test_imports_between_top_folders_point_down_and_make_no_circle() -> None:
    arrows = count_imports()
    floor = {folder: number for number, folders in enumerate(tower()) for folder in folders}
    assert {arrow for arrow in arrows if floor[arrow[0]] >= floor[arrow[1]]} == set()
    below: dict[str, set[str]] = {folder: set() for folder in floor}
    for upper, lower in arrows:
        below[upper].add(lower)
    # Raises CycleError for a circle.
    assert len(list(TopologicalSorter(below).static_order())) == len(floor)


def test_every_top_folder_is_drawn() -> None:
    drawn = draw(count_imports())
    assert all(folder in drawn for floor in tower() for folder in floor)


def test_every_package_of_the_wheel_is_in_the_tower() -> None:
    modules = {file.parent.name for file in CHECKOUT.glob("*/__init__.py")} - {"benchmarks", "tests", "tools"}
    assert {folder for floor in tower() for folder in floor} == modules


def test_every_package_says_what_it_is() -> None:
    folders = [CHECKOUT / folder for floor in tower() for folder in floor]
    packages = [file for folder in folders for file in folder.rglob("__init__.py")]
    silent = [file for file in packages if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))]
    assert silent == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    names = set(_NAMED.findall((CHECKOUT / page).read_text(encoding="utf-8")))
    assert {name for name in names if not any(CHECKOUT.glob(name))} == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    file = CHECKOUT / page
    for target, fragment in _LINK.findall(file.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        linked = (file.parent / target).resolve() if target else file
        assert linked.exists(), target
        if fragment and linked.suffix == ".md":
            assert fragment in _anchors(linked), f"{target}#{fragment}"


def test_no_two_classes_share_a_name() -> None:
    """A name for one thing needs no context. Tests and tools count; only classes defined within a function
    may share a name."""
    owners: dict[str, list[str]] = {}
    for folder in (*(folder for floor in tower() for folder in floor), "benchmarks", "tests", "tools"):
        for file in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    owners.setdefault(node.name, []).append(str(file.relative_to(CHECKOUT)))
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}
