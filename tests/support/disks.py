"""Folders on which writing fails as on real disks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

SMALL = "512k"


def _system(program: str, *arguments: str | Path) -> bool:
    """Whether a system program succeeded; False if it is missing."""
    path = shutil.which(program)
    return (
        path is not None
        and not subprocess.run([path, *map(str, arguments)], capture_output=True, check=False).returncode
    )


def _unmount(folder: Path) -> None:
    assert _system("umount", "--lazy", folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with half a megabyte of space. Skips the test if none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not _system("mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", folder):
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    _unmount(folder)


def enlarge(small_disk: Path) -> None:
    """Make as much room on a small disk as a database needs."""
    assert _system("mount", "-o", "remount,size=200m", small_disk)


@pytest.fixture
def close_disk(tmp_path: Path) -> Iterator[Callable[[Path], Callable[[], None]]]:
    """Make a folder read-only, also for root. The function it returns undoes that."""
    with ExitStack() as undoing:

        def close(folder: Path) -> Callable[[], None]:
            once = undoing.enter_context(ExitStack())
            if os.getuid() == 0:
                # Rights do not bind root; a mount does.
                if not _system("mount", "--bind", folder, folder):
                    pytest.skip("this root may not mount")
                once.callback(_unmount, folder)
                assert _system("mount", "-o", "remount,ro,bind", folder)
            else:
                # Each folder: rights on one do not affect those below it.
                for each in (folder, *filter(Path.is_dir, folder.rglob("*"))):
                    once.callback(each.chmod, each.stat().st_mode)
                    each.chmod(0o500)
            return once.close

        yield close
