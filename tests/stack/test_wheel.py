"""The wheel holds all files of the packages. Tests of whole stacks run it without a checkout."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

from tools import CHECKOUT

CONSOLE = "serve_app/console/"


def test_the_wheel_holds_every_file_of_the_packages_and_of_serves_configuration(wheel: Path) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = [file for package in packages for file in (CHECKOUT / package).rglob("*") if file.is_file()]
    names = {str(file.relative_to(CHECKOUT)) for file in files if "__pycache__" not in file.parts}
    # Only the built part of the console.
    needed = {name for name in names if not name.startswith(CONSOLE) or name.startswith(f"{CONSOLE}dist/")}
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        assert needed <= held
        assert {name for name in held if name.startswith(CONSOLE)} <= needed
        configuration = archive.read("ops/stack/serve_config.yaml")
        (licence,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert b"MIT License" in archive.read(licence)
    assert configuration == (CHECKOUT / "serve_config.yaml").read_bytes()
