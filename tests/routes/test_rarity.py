"""`rarity` in lookalikes, searches and matches: by the pack's calibration, and null without one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from db.api_keys import ApiKeys
from deployments.faces.pipeline import LocalPipeline
from semblance.settings import Settings
from semblance.types import Embedding
from serve_app.realtime.frames import EventFrames, Recipient
from tests.support.api import API_KEY, Api, User
from tests.support.calibrations import RUNGS, write_calibration
from tests.support.photos import ASTRONAUT
from tests.support.rows import OTHER_DIGEST, celebrity, embeddings
from tests.support.rows_matching import add_celebrities, add_face

PHOTO = {"file": ("x.jpg", ASTRONAUT.read_bytes())}
KEY = {"Authorization": f"Bearer {API_KEY}"}
SIMILARITIES = {0.95: 100, RUNGS[100] + 0.001: 100, 0.4: 10, RUNGS[2] + 0.001: 2, 0.0: 1, -0.5: 1}
"""And the N of each."""


@pytest.fixture
def api_settings(api_settings: Settings, pipeline: LocalPipeline, tmp_path: Path) -> Settings:
    """With a calibration that is known."""
    file = write_calibration(tmp_path / "known.json", pipeline.model)
    return api_settings.model_copy(update={"calibration": file, "face_search": True})


@pytest.fixture
def none_known(api: Api) -> None:
    """The pack has no calibration."""
    scale = replace(api.services.scale, calibration=None)
    api.app.state.services = replace(api.services, scale=scale)


def like(face: Embedding, similarity: float, seed: int = 0) -> Embedding:
    """A unit vector with that cosine to a face."""
    other = embeddings(1, seed)[0]
    other = other - (other @ face) * face
    other /= np.linalg.norm(other)
    turned: Embedding = (similarity * face + np.sqrt(1 - similarity**2) * other).astype(np.float32)
    return turned


async def embedding_of_photo(api: Api) -> Embedding:
    detection = await api.services.faces.detect(PHOTO["file"][1], 1)
    vectors = await api.services.faces.embed([detection.faces[0].crops.aligned])
    embedding: Embedding = vectors[0]
    return embedding


async def lookalikes(api: Api) -> list[dict[str, Any]]:
    answer = await api.client.post("/lookalikes", headers=KEY, files=PHOTO)
    assert answer.status_code == 200, answer.text
    matches: list[dict[str, Any]] = answer.json()["matches"]
    return matches


async def of_gallery(api: Api) -> list[dict[str, Any]]:
    """Lookalikes in a gallery of SIMILARITIES."""
    face, digest = await embedding_of_photo(api), api.services.model.digest
    rows = [
        celebrity(number, like(face, similarity, number), pack_digest=digest)
        for number, similarity in enumerate(SIMILARITIES)
    ]
    await add_celebrities(api.owner, *rows)
    return await lookalikes(api)


async def test_lookalikes(api: Api) -> None:
    matches = await of_gallery(api)
    assert [match["similarity"] for match in matches] == pytest.approx(list(SIMILARITIES), abs=1e-3)
    assert [match["rarity"] for match in matches] == [
        {"one_in": one_in, "most": 100} for one_in in SIMILARITIES.values()
    ]


@pytest.mark.usefixtures("none_known")
async def test_lookalikes_by_a_pack_that_is_not_calibrated(api: Api) -> None:
    assert [match["rarity"] for match in await of_gallery(api)] == [None] * len(SIMILARITIES)


async def test_a_search_among_users(api: Api) -> None:
    face = await embedding_of_photo(api)
    ada = await api.member("Ada")
    await add_face(api.owner, ada.id, embedding=like(face, 0.4), pack_digest=api.services.model.digest)
    key, _ = await ApiKeys(api.owner).create("desk", ["search"])
    answer = await api.client.post("/search/faces", files=PHOTO, headers={"Authorization": f"Bearer {key}"})
    [match] = answer.json()["matches"]
    assert match["rarity"] == {"one_in": 10, "most": 100}


async def matched(api: Api, similarity: float) -> tuple[User, UUID]:
    """A user and their face, matched with another user's and with a celebrity, both with that similarity."""
    digest = api.services.model.digest
    ada, eve = await api.member("Ada"), await api.member("Eve", gender="male")
    face = embeddings(1, seed=3)[0]
    mine = await add_face(api.owner, ada.id, embedding=face, pack_digest=digest)
    await add_face(api.owner, eve.id, embedding=like(face, similarity), pack_digest=digest)
    await add_celebrities(api.owner, celebrity(1, like(face, similarity), gender="male", pack_digest=digest))
    await api.services.matcher.process(10)
    return ada, mine


async def entries(api: Api, user: User, face: UUID) -> list[dict[str, Any]]:
    """The one entry of each list of a user's matches."""
    found = []
    for path in (
        f"for-image?face_id={face}",
        f"user/{user.id}",
        f"celebrity?face_id={face}",
        f"celebrity/{face}",
    ):
        answer = await api.client.get(f"/api/matches/{path}", headers=user.headers)
        assert answer.status_code == 200, answer.text
        [entry] = answer.json()["matches"]
        found.append(entry)
    return found


async def of_feed(api: Api) -> Any:
    """The rarity of the one match in the public feed, which an event says as well."""
    [entry] = (await api.client.get("/api/matches/top")).json()["matches"]
    services = api.services
    [event] = [event for event in await services.db.events.since(0, 100) if event.type == "matches"]
    shown = await services.db.matches.load([UUID(entry["id"])], None)
    frames = EventFrames(event, services.settings, services.storage, services.scale, shown)
    frame = frames.frame_for(Recipient(None, ["feed"], "http://api"))
    assert frame is not None
    [told] = json.loads(frame.text)["data"]["matches"]
    assert told["rarity"] == entry["rarity"]
    return entry["rarity"]


@pytest.mark.parametrize("similarity", [0.95, RUNGS[100] + 0.001, 0.4])
async def test_matches(api: Api, similarity: float) -> None:
    for entry in await entries(api, *await matched(api, similarity)):
        assert entry["factors"]["embedding"] == pytest.approx(similarity, abs=1e-3)
        assert entry["rarity"] == {"one_in": SIMILARITIES[similarity], "most": 100}
    assert await of_feed(api) == {"one_in": SIMILARITIES[similarity], "most": 100}


@pytest.mark.parametrize("digest", [OTHER_DIGEST, None])
async def test_matches_found_with_another_pack_have_none_until_they_are_found_again(
    api: Api, digest: str | None
) -> None:
    """As after a switch of packs, although all embeddings are of the new one; and as after an upgrade."""
    ada, face = await matched(api, 0.95)
    for table in ("matches", "celebrity_matches"):
        await api.owner.execute(f"UPDATE {table} SET pack_digest = $1", digest)
    assert [entry["rarity"] for entry in await entries(api, ada, face)] == [None] * 4
    assert await of_feed(api) is None
    await api.owner.execute("UPDATE match_jobs SET status = 'pending'")
    await api.services.matcher.process(10)
    rarities = [entry["rarity"] for entry in await entries(api, ada, face)]
    assert rarities == [{"one_in": 100, "most": 100}] * 4


async def test_matches_of_the_old_app_have_none(api: Api) -> None:
    ada, face = await matched(api, 0.95)
    for table in ("matches", "celebrity_matches"):
        await api.owner.execute(
            f"""
            UPDATE {table}
            SET factor_embedding = NULL, factor_geometry = NULL, factor_age = NULL, factor_symmetry = NULL,
                factor_skin_tone = NULL, factor_expression = NULL, weights = NULL
            """
        )
    assert [entry["rarity"] for entry in await entries(api, ada, face)] == [None] * 4


@pytest.mark.usefixtures("none_known")
async def test_matches_by_a_pack_that_is_not_calibrated(api: Api) -> None:
    assert [entry["rarity"] for entry in await entries(api, *await matched(api, 0.95))] == [None] * 4
