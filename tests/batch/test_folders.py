"""Folders from phones, Macs and NAS devices: nothing stalls, and nothing is lost silently."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import pytest

from batch.ingest.fetch import fetch
from batch.ingest.sources import BadEntry, Item, Listing, list_source
from semblance.errors import NotFoundError, SourceError, UnreadableImageError


def make(root: Path, *paths: str, metadata: object = None) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    if metadata is not None:
        (root / "metadata.json").write_text(json.dumps(metadata))
    return root


def bad(listing: Listing) -> dict[str, tuple[str, str]]:
    return {e.label: (e.outcome, e.reason) for e in listing.entries if isinstance(e, BadEntry)}


def taken(listing: Listing) -> list[str]:
    return [entry.label for entry in listing.entries if isinstance(entry, Item)]


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def test_a_special_file_is_named_and_never_opened(tmp_path: Path) -> None:
    make(tmp_path, "a/photo.jpg")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory(dir="/tmp") as short:
        server.bind(f"{short}/s")
        Path(f"{short}/s").rename(tmp_path / "a" / "socket.jpg")
        (tmp_path / "a" / "device.jpg").symlink_to("/dev/zero")
        (tmp_path / "a" / "gone.jpg").symlink_to("nowhere.jpg")
        (tmp_path / "a" / "loop.jpg").symlink_to("loop.jpg")
        listing = list_source(str(tmp_path), follow_links=True)
    assert taken(listing) == ["a/photo.jpg"]
    assert bad(listing) == {
        "a/device.jpg": ("unreadable", "it is a device, not a file"),
        "a/gone.jpg": ("missing", "it is a link to a file that does not exist"),
        "a/loop.jpg": ("unreadable", "it could not be read: Too many levels of symbolic links"),
        "a/pipe.jpg": ("unreadable", "it is a named pipe, not a file"),
        "a/socket.jpg": ("unreadable", "it is a socket, not a file"),
    }


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_opening_a_file_of_a_manifest_never_waits(tmp_path: Path, kind: str) -> None:
    path = {"pipe": tmp_path / "pipe.jpg", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(UnreadableImageError, match=f"it is a (named )?{kind}, not a file"):
        fetch(str(path), 100)


def test_a_pipe_as_metadata_is_named(tmp_path: Path) -> None:
    os.mkfifo(make(tmp_path, "a/photo.jpg") / "metadata.json")
    listing = list_source(str(tmp_path))
    assert taken(listing) == ["a/photo.jpg"]
    assert list(bad(listing)) == ["metadata.json"]


def test_links_stay_in_the_folder_unless_asked(tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere", "b.jpg")
    source = make(tmp_path / "source", "a/photo.jpg")
    (source / "a" / "again.jpg").symlink_to("photo.jpg")
    (source / "a" / "secret.jpg").symlink_to(elsewhere / "b.jpg")
    (source / "out").symlink_to(elsewhere)
    (source / "in").symlink_to("a")
    (tmp_path / "link").symlink_to(source)
    for folder in (source, tmp_path / "link"):
        listing = list_source(str(folder))
        assert taken(listing) == ["a/again.jpg", "a/photo.jpg"]
        assert {label: outcome for label, (outcome, _) in bad(listing).items()} == {
            "a/secret.jpg": "unreadable",
            "in": "duplicate",
            "out": "unreadable",
        }
    followed = list_source(str(source), follow_links=True)
    assert taken(followed) == ["a/again.jpg", "a/photo.jpg", "a/secret.jpg", "out/b.jpg"]


def test_an_unreadable_file_is_named() -> None:
    """If the tests run as root, the folder is listed by a process without root's rights."""
    program = (
        "import os, sys\n"
        "from batch.ingest.fetch import fetch\n"
        "from batch.ingest.sources import list_source\n"
        "from semblance.errors import UnreadableImageError\n"
        "os.getuid() or os.setuid(65534)\n"
        "for entry in list_source(sys.argv[1]).entries: print(entry.label, getattr(entry, 'reason', ''))\n"
        "try: fetch(sys.argv[1] + '/a/locked.jpg', 10)\n"
        "except UnreadableImageError as exc: print(exc)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        source = make(Path(folder), "a/photo.jpg", "locked/photo.jpg", "a/locked.jpg")
        source.chmod(0o755)
        (source / "locked").chmod(0)
        (source / "a" / "locked.jpg").chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", program, folder], capture_output=True, text=True, check=False
        )
        (source / "locked").chmod(0o700)
    assert done.stdout.splitlines() == [
        "a/locked.jpg ",
        "a/photo.jpg ",
        "locked it could not be read: Permission denied",
        "it could not be read: Permission denied",
    ], done.stderr


def test_names_are_matched_and_stored_in_composed_form(tmp_path: Path) -> None:
    metadata = [
        {"filename": "Zoë.jpg", "category": "Künstler", "name": nfd("Zoë Kravitz"), "gender": "female"},
        {"filename": nfd("Åsa.jpg"), "name": "Åsa"},
        {"filename": "IMG_1.JPG", "name": "Other Case"},
        {"filename": "Noé.jpg", "name": "Nobody"},
    ]
    make(tmp_path, nfd("Künstler/Zoë.jpg"), "b/Åsa.jpg", "b/img_1.jpg", nfd("b/René.jpg"), metadata=metadata)
    listing = list_source(str(tmp_path))
    found = {e.label: e for e in listing.entries if isinstance(e, Item)}
    assert {label: (item.name, item.category) for label, item in found.items()} == {
        "Künstler/Zoë.jpg": ("Zoë Kravitz", "Künstler"),
        "b/Åsa.jpg": ("Åsa", "b"),
        "b/img_1.jpg": ("Other Case", "b"),
        "b/René.jpg": ("René", "b"),
    }
    assert list(bad(listing)) == ["Noé.jpg"]
    assert all(fetch(item.location, 10) == b"x" for item in found.values())


def test_an_exact_name_wins_over_one_in_another_case(tmp_path: Path) -> None:
    metadata = [{"filename": "a.jpg", "name": "Small"}, {"filename": "A.JPG", "name": "Large"}]
    make(tmp_path, "x/a.jpg", "x/A.JPG", metadata=metadata)
    listing = list_source(str(tmp_path))
    assert {e.label: e.name for e in listing.entries if isinstance(e, Item)} == {
        "x/a.jpg": "Small",
        "x/A.JPG": "Large",
    }


def test_a_manifest_names_files_in_another_normal_form_or_case(tmp_path: Path) -> None:
    make(tmp_path, nfd("Künstler/Zoë.jpg"), "b/Photo.JPG", "b/twice.jpg", "b/Twice.jpg")
    for name in ("Künstler/Zoë.jpg", "B/photo.jpg", "b/Twice.jpg"):
        assert fetch(str(tmp_path / name), 10) == b"x"
    for name in ("b/TWICE.jpg", "b/Zoë.jpg"):
        with pytest.raises(NotFoundError):
            fetch(str(tmp_path / name), 10)


LEAVINGS = (
    *(".DS_Store", "a/._photo.jpg", ".Trashes/x.jpg", "a/@eaDir/photo.jpg/SYNOPHOTO_THUMB_M.jpg"),
    *("a/Thumbs.db", "a/thumbs.DB", "desktop.ini", "#recycle/x.jpg", "$RECYCLE.BIN/x.jpg"),
)


def test_system_files_are_left_out_and_counted(tmp_path: Path) -> None:
    listing = list_source(str(make(tmp_path, "a/photo.jpg", *LEAVINGS)))
    assert [entry.label for entry in listing.entries] == ["a/photo.jpg"]
    assert sum(listing.excluded.values()) == len(LEAVINGS)
    assert listing.excluded["Thumbs.db"] == 2


def test_custom_patterns(tmp_path: Path) -> None:
    make(
        tmp_path, "a/photo.jpg", "a/note.TXT", "a/raw/b.jpg", "b/raw/c.jpg", "drafts/d.jpg", nfd("e/Zoë.jpg")
    )
    listing = list_source(str(tmp_path), exclude=["*.txt", "/a/raw", "drafts/", "Zoë*"])
    assert taken(listing) == ["a/photo.jpg", "b/raw/c.jpg"]
    assert listing.excluded == {"*.txt": 1, "/a/raw": 1, "drafts": 1, "Zoë*": 1}


def test_metadata_of_an_excluded_picture_is_reported(tmp_path: Path) -> None:
    make(tmp_path, "a/photo.jpg", "a/x.png", metadata=[{"filename": "x.png", "category": "a"}])
    listing = list_source(str(tmp_path), exclude=["*.png"])
    assert bad(listing) == {"a/x.png": ("missing", "metadata.json names it, but *.png leaves it out")}


def test_a_folder_with_only_excluded_files_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="but 9 files or folders that patterns leave out"):
        list_source(str(make(tmp_path, *LEAVINGS)))


def test_oversized_metadata_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch.ingest.sources.METADATA_BYTES", 10)
    with pytest.raises(SourceError, match="larger than 10 bytes"):
        list_source(str(make(tmp_path, "a.jpg", metadata=[{"filename": "a.jpg"}])))
    monkeypatch.undo()
    (tmp_path / "metadata.json").write_text("[" * 100_000)
    with pytest.raises(SourceError, match="not valid JSON"):
        list_source(str(tmp_path))
