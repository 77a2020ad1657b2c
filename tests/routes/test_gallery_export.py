"""The gallery as a ZIP archive."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from batch.ingest.fetch import fetch
from batch.ingest.sources import Item, list_source
from db.gallery_export import GalleryPicture
from serve_app.gallery_export import METADATA, path_of
from tests.support.api import Api
from tests.support.console import sign_in
from tests.support.rows import celebrity, embeddings

EXPORT = "/api/admin/gallery/export"
PERSON = UUID(int=7)


async def test_the_archive_is_a_folder_of_the_same_entries(api: Api, tmp_path: Path) -> None:
    rows = [
        replace(celebrity(0, embeddings(1)[0], category="Actors & singers"), name="Zoë / Ray", bio="Both"),
        replace(celebrity(1, embeddings(1)[0], category=None, gender=None), person_id=PERSON),
        replace(celebrity(2, embeddings(1)[0], category="__MACOSX"), person_id=PERSON),
        celebrity(3, embeddings(1)[0]),
    ]
    await api.services.db.celebrities.copy_in(rows)
    for row in rows[:3]:
        await api.services.storage.put(row.image_path, row.name.encode(), "image/jpeg")
    user = await sign_in(api)

    answer = await user.call("GET", EXPORT)
    folder = tmp_path / "unpacked"
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment;")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        # Readers that do not know the sizes beforehand take it too.
        assert not any(info.flag_bits & 0x08 for info in archive.infolist())
        assert archive.namelist()[-1] == METADATA
        archive.extractall(folder)

    listing = list_source(str(folder))
    found = {item.image_hash: item for item in listing.entries if isinstance(item, Item)}
    assert len(listing.entries) == len(found) == 3
    assert (listing.remarks, listing.excluded) == ([], {})
    for row in rows[:3]:
        item = found[row.image_hash]
        assert fetch(item.location, 100) == row.name.encode()
        assert (item.name, item.bio, item.category, item.gender) == (
            row.name,
            row.bio,
            row.category,
            row.gender,
        )
        assert item.accept == "any"
    assert found[rows[1].image_hash].person == found[rows[2].image_hash].person == PERSON
    assert json.loads((folder / METADATA).read_text())["left_out"] == [rows[3].image_path]

    log = await user.call("GET", "/api/admin/audit?action=gallery.export")
    assert len(log.json()["entries"]) == 1


async def test_an_empty_gallery_is_an_archive_without_pictures(api: Api) -> None:
    answer = await (await sign_in(api)).call("GET", EXPORT)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert json.loads(archive.read(METADATA)) == {"celebrities": []}


async def test_only_operators_export(api: Api) -> None:
    assert (await api.client.get(EXPORT)).status_code == 401
    assert (await api.client.get(EXPORT, headers=api.user().headers)).status_code == 403


@pytest.mark.parametrize(
    ("name", "category", "path"),
    [
        ("Rose Leslie", "actors", "actors/rose-leslie-00000000000000000000000000000001.jpg"),
        ("...", "../../etc", "etc/00000000000000000000000000000001.jpg"),
        ("李安", None, "李安-00000000000000000000000000000001.jpg"),
        ("x" * 100, "?", f"category/{'x' * 60}-00000000000000000000000000000001.jpg"),
    ],
)
def test_paths_are_plain(name: str, category: str | None, path: str) -> None:
    picture = GalleryPicture(UUID(int=1), name, None, category, None, PERSON, "celebrities/a.full.JPG", None)
    assert path_of(picture) == path
