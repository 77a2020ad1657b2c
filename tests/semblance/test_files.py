"""A crash leaves either the old file or the new one, complete."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from semblance.files import create_file, read_file, write_file


def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text("old")
    file.chmod(0o644)
    write_file(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync of the content, then the rename or link, then fsync of the folder."""
    calls: list[str] = []
    fsync = os.fsync

    def spy(fd: int) -> None:
        name = "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "content"
        calls.append(f"{name} {'with' if (tmp_path / 'file').exists() else 'without'} the name")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", spy)
    for write in (write_file, create_file):
        (tmp_path / "file").unlink(missing_ok=True)
        calls.clear()
        write(tmp_path / "file", "content")
        assert calls == ["content without the name", "folder with the name"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state"
    write_file(file, "old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_processes_that_create_a_file_at_once_all_get_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from semblance.files import create_file\n"
        "path = Path(sys.argv[1]); sys.stdin.readline(); create_file(path, sys.argv[2])\n"
        "print(path.read_text())"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "key", f"candidate-{index}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(4)
    ]
    answers = {maker.communicate("\n")[0].strip() for maker in makers}
    assert answers == {(tmp_path / "key").read_text()}
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "file") == read_file(tmp_path / "link") == b"content"
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "."):
        with pytest.raises(OSError, match=name):
            read_file(tmp_path / name)
