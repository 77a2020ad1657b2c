"""`POST /lookalikes`: why each celebrity is a match, and the lookalikes of all faces of a photo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployments.vision.align import five_points
from semblance.weights import FACTORS, Weights
from tests.support.api import API_KEY, CRON_SECRET, Api
from tests.support.photos import ASTRONAUT, GROUP, OBAMA, couple
from tests.support.rows import celebrity, embeddings
from tests.support.rows_matching import add_celebrities
from tests.support.rows_scored import set_rules

KEY = {"Authorization": f"Bearer {API_KEY}"}


async def ask(api: Api, photo: bytes, **query: Any) -> dict[str, Any]:
    answer = await api.client.post("/lookalikes", headers=KEY, params=query, files={"file": ("x", photo)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def fill(api: Api, count: int = 12) -> None:
    """A gallery of the pack in use."""
    rows = [
        celebrity(number, vector, gender="male", pack_digest=api.services.model.digest)
        for number, vector in enumerate(embeddings(count))
    ]
    await add_celebrities(
        api.owner,
        *(
            replace(row, age=20 + 3 * number, skin_tone_lab=[40.0 + 4 * number, 10.0, 15.0])
            for number, row in enumerate(rows)
        ),
    )


async def test_factors_and_score_are_those_of_a_saved_match(api: Api) -> None:
    await fill(api)
    weights = Weights(embedding=0.3, geometry=0.1, age=0.2, symmetry=0.1, skin_tone=0.2, expression=0.1)
    await set_rules(api.owner, weights, 0)
    user = await api.member("ada")
    photo = ASTRONAUT.read_bytes()
    face = (await api.client.post("/api/faces", headers=user.headers, files={"file": ("x", photo)})).json()
    await api.client.get("/api/cron/process-jobs", headers={"Authorization": f"Bearer {CRON_SECRET}"})
    saved = (await api.client.get(f"/api/matches/celebrity/{face['id']}", headers=user.headers)).json()

    answer = await ask(api, photo, limit=12)
    assert answer["weights"] == weights.as_dict()
    by_id = {match["celebrity_id"]: match for match in answer["matches"]}
    assert len(by_id) == len(saved["matches"]) == 12
    for match in saved["matches"]:
        found = by_id[match["celebrity"]["id"]]
        assert found["similarity_score"] == pytest.approx(match["similarity_score"], abs=1e-4)
        assert found["factors"] == pytest.approx(match["factors"], abs=1e-4)
        total = sum(weights.as_dict()[name] * found["factors"][name] for name in FACTORS)
        assert found["similarity_score"] == pytest.approx(total, abs=2e-4)
    assert len({match["factors"]["age"] for match in by_id.values()}) > 1


async def test_five_points_lay_a_face_over_another(api: Api) -> None:
    await fill(api, 2)
    one, other = (celebrity(number, vector) for number, vector in enumerate(embeddings(2)))
    await api.owner.execute("UPDATE celebrities SET landmarks_68 = NULL WHERE id = $1", other.id)
    matches = {match["celebrity_id"]: match for match in (await ask(api, OBAMA.read_bytes()))["matches"]}
    landmarks = np.array(one.landmarks_68, np.float32)
    points = matches[str(one.id)]["alignment_points"]
    assert points == pytest.approx(np.round(five_points(landmarks), 2), abs=0.01)
    assert matches[str(other.id)]["alignment_points"] is None


async def test_one_face_unless_all_are_asked_for(api: Api) -> None:
    await fill(api)
    answer = await ask(api, couple(), limit=3)
    assert answer["others"] == []
    assert answer["faces_found"] == 2
    assert answer["image"] == {"width": 400, "height": 520}


async def test_all_faces_have_lookalikes_of_their_own(api: Api) -> None:
    await fill(api)
    photo = GROUP.read_bytes()
    answer = await ask(api, photo, faces="all", limit=5)
    faces = [answer, *answer["others"]]
    assert len(faces) == answer["faces_found"] == 6
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (each["face"]["bbox"] for each in faces)]
    assert areas == sorted(areas, reverse=True)
    for each in faces:
        similarities = [match["similarity"] for match in each["matches"]]
        assert len(similarities) == 5
        assert similarities == sorted(similarities, reverse=True)
    # Each face's are what a photo of it alone gives, not those of the largest.
    orders = {tuple(match["celebrity_id"] for match in each["matches"]) for each in faces}
    assert len(orders) > 1


async def test_an_empty_gallery_has_no_lookalikes(api: Api) -> None:
    answer = await ask(api, ASTRONAUT.read_bytes(), faces="all")
    assert (answer["matches"], answer["others"]) == ([], [])
    assert answer["face"]["quality"]["advice"] == []


async def test_the_choice_of_faces_is_checked(api: Api) -> None:
    answer = await api.client.post(
        "/lookalikes", headers=KEY, params={"faces": "some"}, files={"file": ("x", b"x")}
    )
    assert answer.status_code == 422
