"""The wheel holds all files of the packages, and runs without a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tools import CHECKOUT

CONSOLE = "serve_app/console/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the project's own build backend, offline."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


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


@pytest.fixture
def installed(alone: None, wheel: Path, tmp_path: Path) -> Iterator[Path]:
    """The programs of an environment with the wheel and the packages of cpu.lock, without the checkout."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    uv = Path(sys.prefix) / ".uv" / "bin" / "uv"
    lock = CHECKOUT / "requirements" / "cpu.lock"
    # From the cache filled by `make env`.
    for install in (["sync", "--require-hashes", str(lock)], ["install", "--no-deps", str(wheel)]):
        subprocess.run(
            [uv, "pip", *install],
            env={**os.environ, "VIRTUAL_ENV": str(environment)},
            check=True,
            capture_output=True,
            timeout=200,
        )
    yield environment / "bin"


@pytest.mark.ray
def test_an_installed_wheel_runs_the_whole_stack(installed: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEMBLANCE_", "RAY_"))}
    kept.pop("PYTHONPATH", None)
    environment = {**kept, "SEMBLANCE_HOME": str(tmp_path / "home")}

    def semblance(*arguments: str) -> str:
        done = subprocess.run(
            [installed / "semblance", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    try:
        semblance("up", "--detach")
        status = json.loads(semblance("status", "--json"))
        assert status["ready"]
        health = httpx.get(f"{status['url']}/health", timeout=30, trust_env=False)
        assert health.json() == {"status": "healthy", "model": "open"}
    finally:
        stopped = semblance("down")
    assert "Stopped." in stopped
