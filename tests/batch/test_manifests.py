"""Manifests as people and programs write them: nothing is lost silently, and a bad row affects no other."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.ingest import manifests, text_lines
from batch.ingest.sources import BadEntry, Item, Listing, list_source
from semblance.errors import SourceError


def listed(folder: Path, content: str | bytes, suffix: str = ".csv", encoding: str = "utf-8") -> Listing:
    path = folder / f"people{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return list_source(str(path))


def said(listing: Listing) -> list[tuple[str, str, str | None]]:
    """Label, name and gender of each picture."""
    assert all(isinstance(entry, Item) for entry in listing.entries), listing.entries
    return [(e.label, e.name, e.gender) for e in listing.entries if isinstance(e, Item)]


def bad(listing: Listing) -> dict[int | None, str]:
    return {entry.row: entry.reason for entry in listing.entries if isinstance(entry, BadEntry)}


@pytest.mark.parametrize(
    "header",
    [
        "image,name,gender",
        "image, name, gender",
        "Image,NAME,Gender",
        " image ,\tname,gender ",
        "file,full_name,sex",
        "Image URL,Full Name,Sex",
        "image_path,person,gender",
        "filename,display-name,gender",
    ],
)
def test_columns_are_matched_loosely(tmp_path: Path, header: str) -> None:
    listing = listed(tmp_path, f"{header}\na.jpg, Ada, female\n")
    assert said(listing) == [("a.jpg", "Ada", "female")]
    assert listing.remarks == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiter_encoding_and_line_ends_are_found(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    rows = [["image", "name", "gender"], ["a.jpg", '"Zoë, the; 1st | ""x"""', "female"], ["b.jpg", "Bo", ""]]
    listing = listed(tmp_path, end.join(delimiter.join(row) for row in rows) + end, encoding=encoding)
    assert said(listing) == [("a.jpg", 'Zoë, the; 1st | "x"', "female"), ("b.jpg", "Bo", None)]
    assert len(listing.remarks) == (encoding == "cp1252")


def test_a_line_that_states_the_delimiter(tmp_path: Path) -> None:
    assert said(listed(tmp_path, 'sep=;\r\n\r\nimage;name\r\na.jpg;"A; B"\r\n')) == [("a.jpg", "A; B", None)]


def test_columns_without_use_are_named_with_the_nearest(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,url,nmae,Geschlecht,\na.jpg,http://h/b.jpg,Ada,f,\n")
    assert listing.remarks == [
        "The column 'url' of people.csv was ignored: 'image' gives the image.",
        "The column 'nmae' of people.csv is not known and was ignored; is it 'name'?",
        "The column 'Geschlecht' of people.csv is not known and was ignored.",
    ]


def test_json_keys_and_parquet_columns_are_matched_like_csv_columns(tmp_path: Path) -> None:
    rows = [{"File Name": "a.jpg", "Full_Name": "Ada", "SEX": "female", "nmae": "x"}]
    lines = listed(tmp_path, json.dumps(rows[0]), ".jsonl")
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "people.parquet")
    table = list_source(str(tmp_path / "people.parquet"))
    for listing in (lines, table):
        assert said(listing) == [("a.jpg", "Ada", "female")]
        assert ["'nmae'" in remark and "'name'" in remark for remark in listing.remarks] == [True]


def test_metadata_keys_are_matched_like_csv_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "metadata.json").write_text(json.dumps([{"File": "a.jpg", "Full Name": "Ada", "nmae": 1}]))
    listing = list_source(str(tmp_path))
    assert said(listing) == [("a.jpg", "Ada", None)]
    assert "'nmae'" in listing.remarks[0]


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", "subject;name\n1;2\n"),
        (".csv", "subject,name\n1,2\n"),
        (".tsv", "subject\tname\n1\t2\n"),
        (".jsonl", '{"subject": "1", "name": "2"}\n'),
    ],
)
def test_a_manifest_without_images_lists_the_columns_found(tmp_path: Path, suffix: str, content: str) -> None:
    with pytest.raises(SourceError, match=r"subject'?, '?name"):
        listed(tmp_path, content, suffix)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("http://[bad/x.jpg", "Invalid IPv6 URL"),
        ("http://host:99999/x.jpg", "Port out of range"),
        ("http:///x.jpg", "no host"),
        ("ftp://host/x.jpg", "ftp:// is not supported"),
        ("", "names no image"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_bad_address_is_one_bad_row(tmp_path: Path, suffix: str, image: str, reason: str) -> None:
    images = ["a.jpg", image, "b.jpg"]
    content = {
        ".csv": "image,name\n" + "".join(f"{each},N\n" for each in images),
        ".jsonl": "\n" + "".join(json.dumps({"image": each}) + "\n" for each in images),
    }[suffix]
    listing = listed(tmp_path, content, suffix)
    assert [entry.row for entry in listing.entries] == [2, 3, 4]
    (row,) = bad(listing)
    assert row == 3
    assert reason in bad(listing)[3]


def test_broken_csv_is_one_bad_row(tmp_path: Path) -> None:
    """This includes a quote that is never closed: the rows that it swallows are read again."""
    listing = listed(tmp_path, 'image,name\na.jpg,"A" x\nb.jpg,"B\nc.jpg,"C"\nd.jpg,D\n')
    assert [type(entry) for entry in listing.entries] == [BadEntry, BadEntry, Item, Item]
    assert list(bad(listing)) == [2, 3]
    assert [entry.row for entry in listing.entries] == [2, 3, 4, 5]


def test_a_record_of_several_lines_has_the_number_of_its_first(tmp_path: Path) -> None:
    listing = listed(tmp_path, 'image,bio,gender\na.jpg,"one\ntwo",x\nb.jpg,,\n')
    assert list(bad(listing)) == [2]
    assert listing.entries[1].row == 4


def test_cells_beyond_the_header_count_only_with_content(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image;name\na.jpg;A;;\n;;;\nb.jpg;B;x\n")
    assert bad(listing) == {4: "more fields than the header has; quote the semicolons"}
    assert len(listing.entries) == 2


@pytest.mark.parametrize("line", ["[" * 100_000, "{", "1", '"a.jpg"', "[1]", "nul\0"])
def test_broken_json_is_one_bad_row(tmp_path: Path, line: str) -> None:
    listing = listed(tmp_path, f'{{"image": "a.jpg"}}\n{line}\n', ".jsonl")
    assert list(bad(listing)) == [2]
    assert "JSON" in bad(listing)[2]


def test_a_manifest_without_any_usable_row_is_refused_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none of its 2 rows can: row 2: .*ftp://.*; row 3: .*ftp://"):
        listed(tmp_path, "image\nftp://h/a.jpg\nftp://h/b.jpg\n")


def test_text_that_is_not_the_files_encoding_is_one_bad_row(tmp_path: Path) -> None:
    """The first accent decides. Later bytes that do not fit are reported, not turned into other letters."""
    listing = listed(tmp_path, "image,name\na.jpg,Zoë\n".encode() + b"b.jpg,Zo\xeb\n")
    assert list(bad(listing)) == [3]
    assert "not valid Unicode" in bad(listing)[3]


def test_an_overlong_line_is_never_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "LINE_LENGTH", 100)
    long = "x" * 1_000
    for suffix, content in {
        ".csv": f"image,name\na.jpg,A\nb.jpg,{long}\nc.jpg,C\n",
        ".jsonl": f'\n{{"image": "a.jpg"}}\n{{"image": "{long}"}}\n{{"image": "c.jpg"}}\n',
    }.items():
        listing = listed(tmp_path, content, suffix)
        assert [type(entry) for entry in listing.entries].count(BadEntry) == 1
        assert "characters" in bad(listing)[3]
    for suffix in (".csv", ".jsonl"):
        with pytest.raises(SourceError):
            listed(tmp_path, long, suffix)


def test_more_rows_than_fit_are_refused_and_a_limit_ends_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "MOST_ROWS", 3)
    path = tmp_path / "people.csv"
    path.write_text("image\n" + "a.jpg\n" * 4)
    with pytest.raises(SourceError, match="more than 3 rows"):
        list_source(str(path))
    assert len(list_source(str(path), limit=2).entries) == 2


def test_a_parquet_file_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "people.parquet"
    table = pa.table(
        {"image": [f"{number:0100d}.jpg" for number in range(100)], "other": ["x" * 1_000] * 100}
    )
    pyarrow.parquet.write_table(table, path, use_dictionary=False)
    monkeypatch.setattr(manifests, "ROW_GROUP_BYTES", 20_000)
    assert len(list_source(str(path)).entries) == 100
    monkeypatch.setattr(manifests, "ROW_GROUP_BYTES", 5_000)
    with pytest.raises(SourceError, match="row group 0"):
        list_source(str(path))


def test_a_pipe_as_manifest_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "people.csv")
    with pytest.raises(SourceError, match="named pipe"):
        list_source(str(tmp_path / "people.csv"))


def test_patterns_do_not_filter_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("image\na.jpg\n")
    with pytest.raises(SourceError, match="--exclude"):
        list_source(str(tmp_path / "people.csv"), exclude=["*.png"])


@given(
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
    beginning=st.sampled_from(
        [b"", b"image,name\n", b"image;name\r\n", b'{"image": "', b"\xff\xfei\0m\0", b"PAR1"]
    ),
    content=st.binary(max_size=300) | st.text(max_size=200).map(str.encode),
)
@settings(max_examples=150, deadline=None)
def test_any_content_is_listed_or_refused(suffix: str, beginning: bytes, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"people{suffix}"
        path.write_bytes(beginning + content)
        try:
            entries = list_source(str(path)).entries
        except SourceError:
            return
        assert any(isinstance(entry, Item) for entry in entries)
        numbers = [entry.row or 0 for entry in entries]
        assert numbers == sorted(set(numbers))
