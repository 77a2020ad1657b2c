"""What the packages import is declared in pyproject.toml, and what is declared is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("semblance", "db", "matching", "deployments", "batch", "serve_app", "ops")

EXTRAS = {
    "qdrant-client": {"batch/import_qdrant/collection.py"},
    # Without the settings, which would take a worker of a rematch a tenth of a second to import.
    "onnxruntime": {"deployments/packs/sessions.py", "deployments/products.py"},
}
"""The modules that may import what is an extra. Of onnxruntime one build or the other is always installed."""

NOT_IMPORTED = {
    "python-multipart": "FastAPI reads forms with it",
    "scikit-image": "ships photos for the demo, which finds its folder by name",
}


@cache
def project() -> dict[str, list[str]]:
    """The names of the required distributions, and of each extra's."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": found["dependencies"], **found["optional-dependencies"]}
    return {group: [_name(requirement) for requirement in listed] for group, listed in groups.items()}


def _name(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return _normal(name[0])


def _normal(name: str) -> str:
    """As in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def imports() -> dict[str, set[str]]:
    """The files that import each top-level module of another distribution."""
    found = defaultdict(set)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules = [node.module]
                else:
                    continue
                for module in modules:
                    found[module.partition(".")[0]].add(path.relative_to(ROOT).as_posix())
    return {
        module: files
        for module, files in found.items()
        if module not in sys.stdlib_module_names and module not in PACKAGES
    }


def distributions(module: str) -> set[str]:
    """The installed distributions that have the module; several share a namespace such as `google`."""
    return {_normal(name) for name in _distributions_by_module().get(module, ())}


_distributions_by_module = cache(packages_distributions)


def test_every_import_is_declared() -> None:
    extras = {name for group, names in project().items() if group for name in names}
    undeclared = {
        module: sorted(files)
        for module, files in imports().items()
        if not distributions(module) & {*project()[""], *extras}
    }
    assert undeclared == {}


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_is_imported_only_where_it_may_be_missing(name: str) -> None:
    files = {file for module, files in imports().items() if name in distributions(module) for file in files}
    assert files == EXTRAS[name]


def test_everything_declared_is_used() -> None:
    imported = {name for module in imports() for name in distributions(module)}
    assert sorted(set(project()[""]) - imported) == sorted(NOT_IMPORTED)


@pytest.mark.parametrize("flavour", ["cpu", "gpu", "dev"])
def test_only_the_development_environment_has_every_extra(flavour: str) -> None:
    lock = (ROOT / "requirements" / f"{flavour}.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE))
    extras = {"cpu": {"cpu"}, "gpu": {"gpu"}, "dev": {"cpu", "qdrant"}}[flavour]
    wanted = {name for extra in ("", *extras) for name in project()[extra]}
    assert wanted <= locked
    assert not {
        name for extra, names in project().items() if extra not in {"", *extras} for name in names
    } & (locked - wanted)
