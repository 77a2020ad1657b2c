"""The wheel, and an environment in which only the wheel and its dependencies are installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import pytest

from tools import CHECKOUT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the project's own build backend, offline."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True, timeout=250)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def installed(alone: None, wheel: Path, tmp_path: Path) -> Path:
    """The programs of an environment with the wheel and the packages of cpu.lock, without the checkout."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=250)
    uv = Path(sys.prefix) / ".uv" / "bin" / "uv"
    lock = CHECKOUT / "requirements" / "cpu.lock"
    # From the cache filled by `make env`, once the registry has said that it is still current.
    for install in (["sync", "--require-hashes", str(lock)], ["install", "--no-deps", str(wheel)]):
        subprocess.run(
            [uv, "pip", *install],
            env={**_with_the_machines_certificates(), "VIRTUAL_ENV": str(environment)},
            check=True,
            capture_output=True,
            timeout=250,
        )
    _compile(environment)
    return environment / "bin"


def _compile(environment: Path) -> None:
    """Link what `make env` has compiled of the same files. Without it, all processes of a stack would compile
    the same at once, for seconds of CPU each."""
    ours = Path(sysconfig.get_path("purelib"))
    theirs = environment / ours.relative_to(sys.prefix)
    # On another disk than the cache of uv, files have a time of their own and are compiled when imported.
    with suppress(OSError):
        for folder in ours.rglob("__pycache__"):
            same = theirs / folder.parent.relative_to(ours)
            if same.is_dir():
                (same / folder.name).mkdir()
                for compiled in folder.iterdir():
                    (same / folder.name / compiled.name).hardlink_to(compiled)


def _with_the_machines_certificates() -> dict[str, str]:
    """The environment in which tests were started, as for what they trust."""
    environment = {**os.environ}
    for name in ("SSL_CERT_DIR", "SSL_CERT_FILE"):
        environment.pop(name, None)
        if kept := environment[f"MACHINES_{name}"]:
            environment[name] = kept
    return environment
