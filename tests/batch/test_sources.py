"""A source lists every entry once, in a stable order, and reports each faulty one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import obstore
import pyarrow as pa
import pyarrow.parquet
import pytest

from batch.ingest.sources import BadEntry, Item, list_source
from semblance.errors import SourceError
from semblance.storage.opening import open_bucket
from tests.support.gallery import OBAMA_BIO, make_gallery


def make(root: Path, *paths: str, metadata: object = None) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    if metadata is not None:
        (root / "metadata.json").write_text(json.dumps(metadata))
    return root


def test_a_real_gallery(tmp_path: Path) -> None:
    entries = list_source(str(make_gallery(tmp_path))).entries
    assert [entry.label for entry in entries] == sorted(entry.label for entry in entries)
    assert len(entries) == 9
    obama = next(entry for entry in entries if entry.label == "politicians/barack-obama.jpg")
    assert obama == Item(
        "politicians/barack-obama.jpg",
        str(tmp_path / "politicians/barack-obama.jpg"),
        "Barack Obama",
        OBAMA_BIO,
        "politicians",
        "male",
    )


def test_without_metadata_the_paths_give_the_names(tmp_path: Path) -> None:
    make(tmp_path, "actors/rose-leslie_2.jpg", "actors/deep/er/x.png", "alone.jpg", ".DS_Store", ".git/a.jpg")
    entries = list_source(str(tmp_path), "misc").entries
    assert entries == [
        Item("actors/deep/er/x.png", f"{tmp_path}/actors/deep/er/x.png", "X", None, "actors", None),
        Item(
            "actors/rose-leslie_2.jpg",
            f"{tmp_path}/actors/rose-leslie_2.jpg",
            "Rose Leslie 2",
            None,
            "actors",
            None,
        ),
        Item("alone.jpg", f"{tmp_path}/alone.jpg", "Alone", None, "misc", None),
    ]
    assert list_source(tmp_path.as_uri(), "misc").entries == entries


def test_metadata_is_matched_by_category_path_or_unique_name(tmp_path: Path) -> None:
    metadata = {
        "celebrities": [
            {"filename": "a.jpg", "name": "In Category", "category": "one"},
            {"filename": "two/a.jpg", "name": "By Path", "category": "other"},
            {"filename": "b.jpg", "name": "By Name", "category": "elsewhere", "gender": "Female"},
        ]
    }
    make(tmp_path, "one/a.jpg", "two/a.jpg", "two/b.jpg", metadata=metadata)
    found = {
        e.label: (e.name, e.category, e.gender)
        for e in list_source(str(tmp_path)).entries
        if isinstance(e, Item)
    }
    assert found == {
        "one/a.jpg": ("In Category", "one", None),
        "two/a.jpg": ("By Path", "other", None),
        "two/b.jpg": ("By Name", "elsewhere", "female"),
    }


def test_metadata_that_fits_no_picture_is_named(tmp_path: Path) -> None:
    metadata = [
        {"filename": "gone.jpg", "category": "one"},
        {"filename": "a.jpg"},
        {"filename": "b.jpg", "name": "First"},
        {"filename": "b.jpg", "name": "Second"},
        {"name": "Nobody"},
        "nonsense",
    ]
    make(tmp_path, "one/a.jpg", "two/a.jpg", "two/b.jpg", metadata=metadata)
    entries = list_source(str(tmp_path)).entries
    assert [entry.name for entry in entries if isinstance(entry, Item)] == ["A", "A", "First"]
    bad = [entry for entry in entries if isinstance(entry, BadEntry)]
    assert [entry.outcome == "missing" for entry in bad] == [True, False, False, False, False]
    assert bad[0].label == "one/gone.jpg"
    assert "several files" in bad[1].reason
    assert "second entry for two/b.jpg" in bad[2].reason
    assert [entry.label for entry in bad[3:]] == ["metadata.json#5", "metadata.json#6"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"gender": "unknown"}, "gender must be male, female or absent, not 'unknown'"),
        ({"gender": 1}, "gender must be text"),
        ({"name": ["x"]}, "name must be text"),
        ({"bio": "a\0b"}, "NUL"),
        ({"name": "\ud800"}, "not valid Unicode"),
    ],
)
def test_a_value_that_cannot_be_stored_is_named(tmp_path: Path, fields: object, reason: str) -> None:
    make(tmp_path, "one/a.jpg", metadata=[{"filename": "a.jpg", **fields}])  # type: ignore[dict-item]
    (entry,) = list_source(str(tmp_path)).entries
    assert isinstance(entry, BadEntry)
    assert entry.label == "one/a.jpg"
    assert reason in entry.reason


def test_a_file_name_that_is_not_utf_8_is_listed(tmp_path: Path) -> None:
    folder = make(tmp_path, "one/a.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/one/\xff.jpg")).write_bytes(b"x")
    entries = list_source(str(folder)).entries
    assert [type(entry) for entry in entries] == [Item, BadEntry]


def test_a_link_to_a_folder_is_followed_once(tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere", "a.jpg")
    source = make(tmp_path / "source", "one/b.jpg")
    (source / "two").symlink_to(elsewhere)
    (source / "one" / "loop").symlink_to(source)
    entries = list_source(str(source), follow_links=True).entries
    assert [entry.label for entry in entries if isinstance(entry, Item)] == ["one/b.jpg", "two/a.jpg"]
    loop = "it is a link to a folder that is already listed"
    assert BadEntry("one/loop", loop, "duplicate") in entries


def write_manifest(path: Path, rows: list[dict[str, str | None]]) -> None:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(f'"{value or ""}"' for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    else:
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson", ".parquet"])
def test_manifests_of_every_kind_give_the_same_entries(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"people{suffix}"
    write_manifest(
        path,
        [
            {"image": "b/x.jpg", "name": "Ëve, 1", "bio": None, "category": "actors", "gender": "female"},
            {"image": "/abs/a.jpg", "name": None, "bio": "Bio", "category": None, "gender": None},
            {"image": "s3://bucket/k.jpg", "name": "K", "bio": None, "category": None, "gender": "x"},
            {
                "image": "https://host/p/k-l.jpg?s=1",
                "name": None,
                "bio": None,
                "category": None,
                "gender": "",
            },
            {"image": "ftp://host/k.jpg", "name": "F", "bio": None, "category": None, "gender": None},
            {"image": "file:///d/a%20b.jpg", "name": "A", "bio": None, "category": None, "gender": None},
            {"image": None, "name": "N", "bio": None, "category": None, "gender": None},
        ],
    )
    entries = list_source(str(path), "misc").entries
    assert entries[0] == Item("b/x.jpg", f"{tmp_path}/b/x.jpg", "Ëve, 1", None, "actors", "female")
    assert entries[1] == Item("/abs/a.jpg", "/abs/a.jpg", "A", "Bio", "misc", None)
    assert isinstance(entries[2], BadEntry)
    assert entries[3] == Item(
        "https://host/p/k-l.jpg?s=1", "https://host/p/k-l.jpg?s=1", "K L", None, "misc", None
    )
    assert isinstance(entries[4], BadEntry)
    assert "ftp:// is not supported" in entries[4].reason
    assert isinstance(entries[5], Item)
    assert entries[5].location == "/d/a b.jpg"
    assert isinstance(entries[6], BadEntry)
    assert entries[6].reason == "the row names no image"
    assert len(entries) == 7


def test_broken_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = tmp_path / "people.jsonl"
    lines.write_text('{"image": "a.jpg"}\n{"image": \n[1]\n{"image": "b.jpg"}\n')
    assert [entry.label for entry in list_source(str(lines)).entries] == ["a.jpg", "row 2", "row 3", "b.jpg"]
    table = tmp_path / "people.csv"
    table.write_text("image,name,bio\na.jpg,A,one, two\nb.jpg,B\n")
    first, second = list_source(str(table)).entries
    assert isinstance(first, BadEntry)
    assert "quote the commas" in first.reason
    assert isinstance(second, Item)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"subject,name\n1,2\n", "no column image"),
        ("a.csv", b"image,name\n", "holds no pictures"),
        ("a.csv", b'image,name\n"a.jpg,b\n', "cannot be used"),
        ("a.parquet", b"no parquet", "cannot be read"),
        ("a.txt", b"", "neither a folder nor a manifest"),
        ("metadata.json", b"{", "neither a folder"),
    ],
)
def test_an_invalid_source_is_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=reason):
        list_source(str(tmp_path / name))


@pytest.mark.parametrize("content", ["{", '"x"', '{"celebrities": {}}'])
def test_invalid_metadata_is_refused(tmp_path: Path, content: str) -> None:
    make(tmp_path, "one/a.jpg")
    (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(SourceError, match=r"metadata\.json"):
        list_source(str(tmp_path))


def test_empty_and_missing_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing to ingest"):
        list_source(str(tmp_path))
    with pytest.raises(SourceError, match="There is no folder or manifest"):
        list_source(str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="is not a source"):
        list_source("https://host/folder")


def upload(bucket: str, root: Path) -> None:
    store = open_bucket(bucket)
    for path in root.rglob("*"):
        if path.is_file():
            obstore.put(store, path.relative_to(root).as_posix(), path)


def test_a_bucket_is_listed_like_a_folder(tmp_path: Path, bucket: str, s3_endpoint: str) -> None:
    metadata = [{"filename": "b c.jpg", "name": "B", "category": "two"}, {"filename": "gone.jpg"}]
    make(tmp_path, "one/a.jpg", "two/b c.jpg", "top.jpg", ".hidden/x.jpg", metadata=metadata)
    upload(f"{bucket}/some/folder", tmp_path)
    # Web consoles create it to show an empty folder. It is empty, so it is not an input.
    httpx.put(f"{s3_endpoint}/{bucket.removeprefix('s3://')}/some/folder/empty/").raise_for_status()
    base = f"{bucket}/some/folder"
    assert list_source(f"{base}/").entries == [
        Item("one/a.jpg", f"{base}/one/a.jpg", "A", None, "one", None),
        Item("top.jpg", f"{base}/top.jpg", "Top", None, None, None),
        Item("two/b c.jpg", f"{base}/two/b c.jpg", "B", None, "two", None),
        BadEntry("gone.jpg", "metadata.json names it, but the file does not exist", "missing"),
    ]
    assert [entry.label for entry in list_source(base).entries] == [
        entry.label for entry in list_source(str(tmp_path)).entries
    ]


def test_a_manifest_in_a_bucket_names_its_neighbours(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "people.csv").write_text("image,name\nx/a.jpg,A\n")
    upload(f"{bucket}/p", tmp_path)
    assert list_source(f"{bucket}/p/people.csv").entries == [
        Item("x/a.jpg", f"{bucket}/p/x/a.jpg", "A", None, None, None)
    ]


@pytest.mark.parametrize(
    "image", ["file:///etc/hostname", "FILE:///etc/hostname", "file://localhost/etc/hostname"]
)
def test_a_manifest_in_a_bucket_names_no_files_of_the_machine(
    tmp_path: Path, bucket: str, image: str
) -> None:
    (tmp_path / "people.csv").write_text(f"image,name\n{image},A\na.jpg,B\n")
    upload(f"{bucket}/p", tmp_path)
    refused, taken = list_source(f"{bucket}/p/people.csv").entries
    assert isinstance(refused, BadEntry)
    assert "cannot name files of this machine" in refused.reason
    assert isinstance(taken, Item)


def test_a_missing_bucket_is_named(s3_endpoint: str) -> None:
    with pytest.raises(SourceError, match="s3://no-such-bucket/x"):
        list_source("s3://no-such-bucket/x")


def test_names_follow_the_rule_for_all_names(tmp_path: Path) -> None:
    """Invisible characters are removed. An invalid name fails its row alone, with the reason."""
    rows = {
        "a.jpg": "Ada\u00ad  Lovelace",
        "b.jpg": "Jose\u0301",
        "c.jpg": "Ada\u202eevil",
        "d.jpg": "\u200b",
        "e.jpg": "x" * 101,
        "grace_hopper.jpg": "",
        f"{'long-' * 40}.jpg": None,
        "\u200b.jpg": None,
    }
    text = "\n".join(json.dumps({"image": image, "name": name}) for image, name in rows.items())
    (tmp_path / "people.jsonl").write_text(text)
    entries = {entry.label: entry for entry in list_source(str(tmp_path / "people.jsonl")).entries}
    names = {label: entry.name for label, entry in entries.items() if isinstance(entry, Item)}
    reasons = {label: entry.reason for label, entry in entries.items() if isinstance(entry, BadEntry)}
    assert names == {
        "a.jpg": "Ada Lovelace",
        "b.jpg": "José",
        "grace_hopper.jpg": "Grace Hopper",
        f"{'long-' * 40}.jpg": ("Long " * 20).strip(),
    }
    assert reasons.keys() == {"c.jpg", "d.jpg", "e.jpg", "\u200b.jpg"}
    assert reasons["e.jpg"] == "A name has at most 100 characters"
    assert "file name" in reasons["\u200b.jpg"]
