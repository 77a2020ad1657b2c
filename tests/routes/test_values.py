"""A list that is answered by the values of a Schema has what the Schema itself would have."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_type_hints

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from deployments.faces.pipeline import LocalPipeline
from semblance.settings import Settings
from serve_app.schemas.base import Schema, Values
from serve_app.schemas.matches import MatchesAnswer
from serve_app.schemas.notifications import NotificationsAnswer
from tests.support.api import Api, User
from tests.support.calibrations import write_calibration
from tests.support.rows_feed import add_face, add_match, add_profile

ANSWERS: dict[str, type[Schema]] = {
    "/api/matches/top": MatchesAnswer,
    "/api/notifications": NotificationsAnswer,
}

NOTIFICATIONS = """
    INSERT INTO notifications
        (user_id, type, title, message, related_id, related_type, connection_id, read_at, created_at)
    VALUES
        ($1, 'mutual_match', 'It is "mutual"', NULL, NULL, NULL, NULL, NULL, '2026-01-02 03:04:05+00'),
        ($1, 'baby_generated', E'Zo\\u00eb \\U0001F476 </script>\\n', E'\\u2028', gen_random_uuid(), 'baby',
            NULL, '2026-01-02 03:04:05.6+02', '0099-12-31 23:59:59.000001+00')
"""


@pytest.fixture
def api_settings(api_settings: Settings, pipeline: LocalPipeline, tmp_path: Path) -> Settings:
    """With a calibration, so that some matches have a rarity."""
    file = write_calibration(tmp_path / "known.json", pipeline.model)
    return api_settings.model_copy(update={"calibration": file})


async def fill(api: Api, user: User) -> None:
    """Something with and without each value that may be missing."""
    database = api.services.database
    await database.execute(NOTIFICATIONS, user.id)
    face = await add_face(database, user.id)
    for number, digest in enumerate([api.services.model.digest, "b" * 64, None]):
        other = await add_face(
            database, await add_profile(database, name=f'Zo\u00eb "{number}"' if number else None)
        )
        created_at = datetime.now(UTC) - timedelta(hours=number)
        match = await add_match(database, face, other, score=1 / 3 + number / 7, created_at=created_at)
        await database.execute("UPDATE matches SET pack_digest = $2 WHERE id = $1", match, digest)
        if number == 1:
            await api.client.post(f"/api/matches/{match}/view", headers=user.headers)


@pytest.mark.parametrize(
    ("path", "signed_in"),
    [("/api/matches/top", True), ("/api/matches/top", False), ("/api/notifications", True)],
)
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_the_answer_is_that_of_the_schema(
    api: Api, ada: User, path: str, signed_in: bool, limit: int
) -> None:
    await fill(api, ada)
    answer = await api.client.get(path, headers=ada.headers if signed_in else {}, params={"limit": limit})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    schema = ANSWERS[path].model_validate_json(answer.text)
    expected = json.loads(schema.model_dump_json(), object_pairs_hook=list)
    assert json.loads(answer.text, object_pairs_hook=list) == expected


def test_every_such_list_is_looked_at(api: Api) -> None:
    given = {
        context.path: context.original_route.response_model
        for context in iter_route_contexts(api.app.routes)
        if isinstance(context.original_route, APIRoute)
        and get_type_hints(context.original_route.endpoint).get("return") == Values
    }
    assert given == ANSWERS
