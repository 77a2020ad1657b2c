"""People of the gallery, as operators see them, change them and delete them."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from db.celebrities import Celebrities, CelebrityRow
from semblance.types import Gender
from tests.support.api import Api, User
from tests.support.rows import DIGEST, celebrity, embeddings

PATH = "/api/admin/people"

GALLERY: dict[str, tuple[str, Gender, int]] = {
    "Ada Lovelace": ("authors", "female", 2),
    "Grace Hopper": ("authors", "female", 1),
    "Zoë Kravitz": ("actors", "female", 1),
    "alan turing": ("authors", "male", 3),
}
"""Category, gender and number of photos."""


@pytest.fixture
async def admin(api: Api) -> User:
    return await api.member("Root", role="admin")


@pytest.fixture
async def rows(api: Api) -> list[CelebrityRow]:
    people = [(name, *of) for name, of in GALLERY.items() for _ in range(of[2])]
    vectors = embeddings(len(people), seed=3)
    made = [
        replace(celebrity(number, vector), name=name, category=category, gender=gender)
        for number, ((name, category, gender, _), vector) in enumerate(zip(people, vectors, strict=True))
    ]
    await Celebrities(api.services.database).copy_in(made)
    return made


async def call(
    api: Api, user: User, method: str, path: str, body: object = None, *, status: int = 200
) -> Any:
    answer = await api.client.request(method, PATH + path, headers=user.headers, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def names(api: Api, user: User, query: str = "") -> list[str]:
    return [person["name"] for person in (await call(api, user, "GET", query))["people"]]


async def ids(api: Api, user: User) -> dict[str, str]:
    return {person["name"]: person["id"] for person in (await call(api, user, "GET", ""))["people"]}


async def content(api: Api) -> dict[str, list[Any]]:
    """All that a deletion may take along."""
    tables = ("people", "celebrities", "celebrity_matches", "spare_celebrity_embeddings")
    return {
        table: await api.owner.fetch(f"SELECT to_jsonb({table})::text AS row FROM {table} ORDER BY 1")
        for table in tables
    }


async def found(api: Api, row: CelebrityRow) -> set[str]:
    hits = await api.services.search.nearest(row.embedding, pack_digest=DIGEST, limit=100)
    return {hit.name for hit in hits}


async def audited(api: Api) -> list[str]:
    return [row["action"] for row in await api.owner.fetch("SELECT action FROM audit_log ORDER BY at")]


@pytest.mark.usefixtures("rows")
async def test_people_are_listed_by_name_page_by_page(api: Api, admin: User) -> None:
    first = await call(api, admin, "GET", "?limit=3")
    assert [person["name"] for person in first["people"]] == ["Ada Lovelace", "alan turing", "Grace Hopper"]
    assert first["total"] == 4
    assert [person["photos"] for person in first["people"]] == [2, 3, 1]
    assert first["people"][0]["thumbnail_url"].startswith("http://api/")
    last = await call(api, admin, "GET", f"?limit=3&cursor={first['next_cursor']}")
    assert [person["name"] for person in last["people"]] == ["Zoë Kravitz"]
    assert (last["next_cursor"], last["total"]) == (None, None)


@pytest.mark.usefixtures("rows")
async def test_any_part_of_the_list_can_be_read(api: Api, admin: User) -> None:
    everybody = await names(api, admin)
    for skip in range(6):
        part = await call(api, admin, "GET", f"?limit=2&skip={skip}&category=authors")
        assert [person["name"] for person in part["people"]] == everybody[:3][skip : skip + 2]
        assert (part["total"] is None) == (skip > 0)
    # Nobody sees who has no photo, and nobody's place counts them.
    await api.owner.execute("INSERT INTO people (name) VALUES ('Bare')")
    assert (await call(api, admin, "GET", "?limit=1"))["total"] == len(everybody)
    assert await names(api, admin, "?skip=1") == everybody[1:]
    assert await names(api, admin, "?name=bare") == []
    await call(api, admin, "GET", "?skip=-1", status=422)
    await call(api, admin, "GET", f"?skip={2**63}", status=422)


@pytest.mark.usefixtures("rows")
async def test_people_are_filtered_on_the_server(api: Api, admin: User) -> None:
    assert await names(api, admin, "?name=LOVE") == ["Ada Lovelace"]
    assert await names(api, admin, "?name=zo%C3%AB") == ["Zoë Kravitz"]
    assert await names(api, admin, "?name=%25") == []
    assert await names(api, admin, "?category=authors&gender=female") == ["Ada Lovelace", "Grace Hopper"]
    assert (await call(api, admin, "GET", "?gender=male"))["total"] == 1
    best = await api.owner.fetchval("SELECT max(quality_score) FROM celebrities")
    assert len(await names(api, admin, f"?least_quality={best}")) in {1, 2, 3, 4}
    assert await names(api, admin, "?least_quality=1") == []
    categories = (await call(api, admin, "GET", "/categories"))["categories"]
    assert categories == [{"category": "actors", "people": 1}, {"category": "authors", "people": 3}]


async def test_an_edited_person_has_the_new_name_in_every_photo_and_search(
    api: Api, admin: User, rows: list[CelebrityRow]
) -> None:
    ada = (await ids(api, admin))["Ada Lovelace"]
    body = {"name": "  Ada   King", "category": "mathematicians", "gender": "female", "bio": "Wrote note G."}
    answer = await call(api, admin, "PUT", f"/{ada}", body)
    assert (answer["name"], answer["bio"], len(answer["photos"])) == ("Ada King", "Wrote note G.", 2)
    assert await api.owner.fetchval("SELECT count(*) FROM celebrities WHERE name = 'Ada King'") == 2
    assert "Ada King" in await found(api, rows[0])
    taken = {"name": "GRACE hopper", "category": "authors"}
    refused = await call(api, admin, "PUT", f"/{ada}", taken, status=409)
    assert "Merge the two" in refused["error"]
    for wrong in ({"name": ""}, {"name": "a\0b"}, {"name": "A", "gender": "other"}, {"name": "A", "x": 1}):
        await call(api, admin, "PUT", f"/{ada}", wrong, status=422)
    assert await audited(api) == ["person.edit"]


async def test_merged_people_are_one_and_can_be_split_again(
    api: Api, admin: User, rows: list[CelebrityRow]
) -> None:
    people = await ids(api, admin)
    ada, grace, alan = (people[name] for name in ("Ada Lovelace", "Grace Hopper", "alan turing"))
    await call(api, admin, "POST", f"/{ada}/merge", {"ids": [ada]}, status=400)
    await call(api, admin, "POST", f"/{ada}/merge", {"ids": [grace, str(uuid.uuid4())]}, status=404)
    merged = await call(api, admin, "POST", f"/{ada}/merge", {"ids": [grace, alan]})
    assert (merged["name"], merged["total"]) == ("Ada Lovelace", 6)
    assert await names(api, admin) == ["Ada Lovelace", "Zoë Kravitz"]
    assert await call(api, admin, "POST", "/known", {"ids": [grace, ada, alan]}) == {"ids": [ada]}
    assert await found(api, rows[0]) == {"Ada Lovelace", "Zoë Kravitz"}

    photos = [str(row.id) for row in rows if row.name == "alan turing"]
    everything = [photo["id"] for photo in merged["photos"]]
    await call(api, admin, "POST", f"/{ada}/split", {"photo_ids": everything}, status=400)
    split = await call(api, admin, "POST", f"/{ada}/split", {"photo_ids": photos, "name": "Alan"})
    assert (split["name"], split["gender"]) == ("Alan", "female")
    assert {photo["id"] for photo in split["photos"]} == set(photos)
    await call(api, admin, "POST", f"/{ada}/split", {"photo_ids": photos}, status=404)
    assert await found(api, rows[0]) == {"Ada Lovelace", "Zoë Kravitz", "Alan"}


async def test_the_undo_of_a_deletion_restores_every_value(
    api: Api, admin: User, rows: list[CelebrityRow]
) -> None:
    await api.owner.execute(
        """
        WITH profile AS (
            INSERT INTO profiles (id, profile_type) VALUES (gen_random_uuid(), 'user') RETURNING id
        ), face AS (
            INSERT INTO faces (profile_id, image_path) SELECT id, 'faces/x.jpg' FROM profile RETURNING id
        )
        INSERT INTO celebrity_matches (face_id, celebrity_id, similarity_score)
        SELECT face.id, celebrities.id, random() FROM face, celebrities
        """
    )
    await api.owner.execute(
        "INSERT INTO spare_celebrity_embeddings (celebrity_id, pack_digest, embedding)"
        " SELECT id, md5('spare') || md5('pack'), embedding FROM celebrities"
    )
    before = await content(api)
    people = await ids(api, admin)
    gone = [people["Ada Lovelace"], people["alan turing"], str(uuid.uuid4())]
    deletion = await call(api, admin, "POST", "/delete", {"ids": gone})
    assert (deletion["people"], deletion["photos"], deletion["undo_seconds"]) == (2, 5, 60)
    assert await names(api, admin) == ["Grace Hopper", "Zoë Kravitz"]
    assert await found(api, rows[0]) == {"Grace Hopper", "Zoë Kravitz"}
    assert await api.owner.fetchval("SELECT count(*) FROM celebrity_matches") == 2
    assert await api.owner.fetchval("SELECT bool_and(due_at > now()) FROM object_deletions")

    undo = f"/deletions/{deletion['deletion_id']}/undo"
    assert await call(api, admin, "POST", undo) == {"people": 2, "photos": 5}
    assert await content(api) == before
    await call(api, admin, "POST", undo, status=404)
    assert await audited(api) == ["person.delete", "person.restore"]
    await api.services.db.object_deletions.drain(api.services.storage)
    assert await api.owner.fetchval("SELECT count(*) FROM object_deletions") == 0


async def test_after_its_time_a_deletion_stays(api: Api, admin: User, rows: list[CelebrityRow]) -> None:
    storage = api.services.storage
    for row in rows[:2]:
        await storage.put(row.image_path, b"a picture", content_type="image/jpeg")
    ada = (await ids(api, admin))["Ada Lovelace"]
    deletion = await call(api, admin, "POST", "/delete", {"ids": [ada]})
    # An ingestion that begins now may not remove what can still be restored.
    folder = rows[0].image_path.partition("/")[0]
    await api.services.db.object_deletions.finish_folder(storage, folder)
    assert await storage.exists(rows[0].image_path)

    await api.owner.execute("UPDATE gallery_deletions SET deleted_at = deleted_at - interval '2 minutes'")
    await api.owner.execute("UPDATE object_deletions SET due_at = due_at - interval '2 minutes'")
    await call(api, admin, "POST", f"/deletions/{deletion['deletion_id']}/undo", status=404)
    await api.services.db.people.forget_deletions()
    assert await api.owner.fetchval("SELECT count(*) FROM gallery_deleted_rows") == 0
    await api.services.db.object_deletions.drain(storage)
    assert not await storage.exists(rows[0].image_path)


async def test_a_clock_that_is_set_back_gives_no_longer_time_to_undo(
    api: Api, admin: User, rows: list[CelebrityRow]
) -> None:
    """The pictures do not stay for so long, and rows without them would show nobody."""
    ada = (await ids(api, admin))["Ada Lovelace"]
    deletion = await call(api, admin, "POST", "/delete", {"ids": [ada]})
    await api.owner.execute("UPDATE gallery_deletions SET deleted_at = deleted_at + interval '30 days'")
    await call(api, admin, "POST", f"/deletions/{deletion['deletion_id']}/undo", status=404)
    await api.services.db.people.forget_deletions()
    assert await api.owner.fetchval("SELECT count(*) FROM gallery_deleted_rows") == 0


async def test_what_was_added_again_meanwhile_stays(api: Api, admin: User, rows: list[CelebrityRow]) -> None:
    ada = (await ids(api, admin))["Ada Lovelace"]
    deletion = await call(api, admin, "POST", "/delete", {"ids": [ada]})
    await Celebrities(api.services.database).copy_in([replace(rows[0], name="Countess")])
    await call(api, admin, "POST", f"/deletions/{deletion['deletion_id']}/undo")
    people = await api.owner.fetch("SELECT name FROM celebrities WHERE image_hash = $1", rows[0].image_hash)
    assert [row["name"] for row in people] == ["Countess"]
    assert {"Ada Lovelace", "Countess"} <= set(await names(api, admin))


async def test_the_last_photo_takes_the_person_along(api: Api, admin: User, rows: list[CelebrityRow]) -> None:
    ada = (await ids(api, admin))["Ada Lovelace"]
    one, other = (str(row.id) for row in rows[:2])
    foreign = str(rows[-1].id)
    await call(api, admin, "POST", f"/{ada}/photos/delete", {"photo_ids": [one, foreign]}, status=404)
    answer = await call(api, admin, "POST", f"/{ada}/photos/delete", {"photo_ids": [one]})
    assert (answer["people"], answer["photos"]) == (0, 1)
    answer = await call(api, admin, "POST", f"/{ada}/photos/delete", {"photo_ids": [other]})
    assert (answer["people"], answer["photos"]) == (1, 1)
    await call(api, admin, "GET", f"/{ada}", status=404)


async def test_operators_who_change_one_person_at_once_get_answers(
    api: Api, admin: User, rows: list[CelebrityRow]
) -> None:
    people = await ids(api, admin)
    ada, grace = people["Ada Lovelace"], people["Grace Hopper"]
    answers = await asyncio.gather(
        *(
            api.client.post(f"{PATH}/{ada}/merge", headers=admin.headers, json={"ids": [grace]}),
            api.client.post(f"{PATH}/{grace}/merge", headers=admin.headers, json={"ids": [ada]}),
            api.client.post(f"{PATH}/delete", headers=admin.headers, json={"ids": [ada, grace]}),
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 404}
    assert await api.owner.fetchval("SELECT count(*) FROM celebrities WHERE person_id IS NULL") == 0
    left = await api.owner.fetchval("SELECT count(*) FROM celebrities")
    kept = await api.owner.fetchval(
        "SELECT count(*) FROM gallery_deleted_rows WHERE relation = 'celebrities'"
    )
    assert left + kept == len(rows)


async def test_only_operators_see_and_change_people(api: Api) -> None:
    user = await api.member("Ada")
    for method, path in (("GET", ""), ("GET", "/categories"), ("GET", f"/{uuid.uuid4()}")):
        assert (await api.client.request(method, PATH + path)).status_code == 401
        await call(api, user, method, path, status=403)
    for path in ("/known", "/delete"):
        await call(api, user, "POST", path, {"ids": [str(uuid.uuid4())]}, status=403)
