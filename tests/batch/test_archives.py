"""ZIP archives from strangers: what they hold is taken out within limits, and nothing they say of
themselves is believed."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

import pytest

from batch.ingest.archives import DIRECTORY_BYTES, ArchiveLimits, members
from semblance.errors import SourceError
from semblance.paths import relative_path

LIMITS = ArchiveLimits(files=10, file_bytes=1000, total_bytes=100 * 1024 * 1024)
END = 22


def archive(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return file.getvalue()


def listed(data: bytes, limits: ArchiveLimits = LIMITS) -> dict[str, bytes | str | None]:
    """The contents of the members, or why they were not taken out."""
    found = members(io.BytesIO(data), "a.zip", limits)
    return {member.path: member.reason if member.data is None else member.data for member in found}


def test_files_are_taken_out_by_their_paths() -> None:
    found = listed(archive({"actors/": b"", "actors/a.jpg": b"a", "B\u0301.jpg": b"b", ".DS_Store": b"x"}))
    assert found == {"actors/a.jpg": b"a", "B\u0301.jpg": b"b"}


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\Windows\\..\\a.jpg", "Windows/a.jpg"),
        ("a/./b//c.jpg", "a/b/c.jpg"),
        ("a\n\x00b.jpg", "ab.jpg"),
        ("e\u0301.jpg", "\u00e9.jpg"),
        ("\ud800.jpg", "?.jpg"),
        ("..", ""),
        ("x" * 2000, "x" * 1000),
    ],
)
def test_no_path_leads_out(stated: str, path: str) -> None:
    assert relative_path(stated) == path


def test_names_that_lead_out_of_the_archive_are_only_names() -> None:
    assert listed(archive({"../../a.jpg": b"a", "/b.jpg": b"b", "..": b"c"})) == {
        "a.jpg": b"a",
        "b.jpg": b"b",
    }


def test_a_single_top_folder_with_metadata_is_left_out() -> None:
    files = {"gallery/metadata.json": b"[]", "gallery/actors/a.jpg": b"a"}
    assert listed(archive(files)) == {"metadata.json": b"[]", "actors/a.jpg": b"a"}
    # Metadata may be larger than a picture.
    assert listed(archive({"metadata.json": b"x" * 2000}))["metadata.json"] == b"x" * 2000
    assert list(listed(archive({**files, "b.jpg": b"b"}))) == [*files, "b.jpg"]
    assert list(listed(archive({"actors/a.jpg": b"a"}))) == ["actors/a.jpg"]


def test_a_member_that_is_too_large_is_reported() -> None:
    found = listed(archive({"a.jpg": b"a" * 1001, "b.jpg": b"b" * 1000}))
    assert found == {"a.jpg": "it is larger than 1,000 bytes", "b.jpg": b"b" * 1000}


def test_sizes_that_an_archive_states_are_not_believed() -> None:
    data = bytearray(archive({"a.jpg": bytes(5000)}))
    at = data.rindex(b"PK\1\2")
    struct.pack_into("<L", data, at + 24, 1)
    assert listed(bytes(data)) == {"a.jpg": "it is damaged: Bad CRC-32 for file 'a.jpg'"}


def test_what_unpacks_to_far_more_than_it_is_is_refused() -> None:
    limits = ArchiveLimits(files=10, file_bytes=10_000_000, total_bytes=100_000_000)
    bomb = archive({f"{n}.jpg": bytes(9_000_000) for n in range(3)})
    with pytest.raises(SourceError, match="unpacks to more than"):
        listed(bomb, limits)
    with pytest.raises(SourceError, match="MAX_INGESTION_BYTES"):
        listed(archive({f"{n}.jpg": b"x" * 900 for n in range(3)}), ArchiveLimits(10, 1000, 2000))


def test_the_number_of_files_is_limited() -> None:
    with pytest.raises(SourceError, match="11 files"):
        listed(archive({f"{n}.jpg": b"" for n in range(11)}))


def test_a_list_that_would_fill_the_memory_is_not_read() -> None:
    data = bytearray(archive({"a.jpg": b"a"}))
    struct.pack_into("<L", data, len(data) - END + 12, DIRECTORY_BYTES + 1)
    with pytest.raises(SourceError, match="too many files"):
        listed(bytes(data))
    large = archive({"a.jpg": b"a"})
    large = large[:-END] + b"PK\6\7" + bytes(16) + large[-END:]
    with pytest.raises(SourceError, match="too many files"):
        listed(large)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"no archive" * 100, archive({"a.jpg": b"a" * 900})[:-30]],
    ids=["empty", "short", "text", "cut"],
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"a\.zip is not a ZIP archive"):
        listed(data)


def test_members_that_cannot_be_read_are_reported() -> None:
    plain = archive({"a.jpg": b"abc"}, zipfile.ZIP_STORED)
    encrypted, damaged = bytearray(plain), bytearray(plain)
    encrypted[encrypted.rindex(b"PK\1\2") + 8] |= 1
    damaged[damaged.index(b"abc")] ^= 1
    assert listed(bytes(encrypted)) == {"a.jpg": "it is encrypted"}
    assert "damaged" in str(listed(bytes(damaged))["a.jpg"])
    # Its memory is what the archive asks for.
    assert "deflate" in str(listed(archive({"a.jpg": b"abc"}, zipfile.ZIP_LZMA))["a.jpg"])
