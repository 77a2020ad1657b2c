"""The HTTP examples of the old app's documents, sent as written there, get the answers documented there.

Each test names the document and the section. Where the document has the client's or the server's code only,
the request is what that code sends, and the answer what that code gives. What cannot be the same is said.
"""

from __future__ import annotations

import base64
import json
import uuid
from io import BytesIO
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from semblance.settings import Settings
from tests.support.api import API_KEY, CRON_SECRET, Api, User
from tests.support.photos import ASTRONAUT, altered
from tests.support.rows_feed import add_match
from tests.support.written import send

SERVICE_ROLE_KEY = "eyJ-service-role-key-of-the-project"
ANON_KEY = "eyJ-anon-key-that-every-browser-has"

PHOTO = ASTRONAUT.read_bytes()
KEY = {"Authorization": f"Bearer {API_KEY}"}


def picture_without_a_face() -> bytes:
    stream = BytesIO()
    Image.new("RGB", (200, 200), "grey").save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def api_settings(api_settings: Settings) -> Settings:
    return api_settings.model_copy(
        update={
            "compat": "2025",
            "supabase_anon_key": SecretStr(ANON_KEY),
            "supabase_service_role_key": SecretStr(SERVICE_ROLE_KEY),
        }
    )


@pytest.fixture
async def john(api: Api) -> User:
    return await api.member("John", school="MIT", gender="male")


async def upload(api: Api, user: User, photo: bytes = PHOTO, kind: str = "image/jpeg") -> httpx.Response:
    """As the old client does: a form with the file."""
    return await api.client.post(
        "/api/faces", files={"file": ("face.jpg", photo, kind)}, headers=user.headers
    )


async def work(api: Api) -> None:
    """What the matcher does by itself when it runs."""
    await api.services.matcher.process(100)


def token_of(user: User) -> str:
    return user.headers["Authorization"].removeprefix("Bearer ")


async def a_match(api: Api, john: User) -> tuple[User, UUID, dict[str, Any]]:
    """Another user at the same school, and the match of the two, as found by the service."""
    jane = await api.member("Jane", school="MIT", gender="female")
    face = (await upload(api, john)).json()
    await upload(api, jane, altered(ASTRONAUT))
    await work(api)
    answer = await api.client.get(
        "/api/matches/for-image", params={"face_id": face["id"]}, headers=john.headers
    )
    [match] = answer.json()["matches"]
    return jane, UUID(match["id"]), face


def is_link(api_answer: object) -> bool:
    return isinstance(api_answer, str) and api_answer.startswith("http://api/objects/faces/")


# backend-migration.md -------------------------------------------------------------------------------------


async def test_backend_migration_1_6_get_me(api: Api, john: User) -> None:
    """backend-migration.md, Phase 1, "1.6 Testing Phase 1": GET /api/auth/me, with a default face."""
    face = (await upload(api, john)).json()
    answer = await send(
        api.client,
        """
GET http://localhost:3000/api/auth/me
Authorization: Bearer <your-supabase-jwt-token>
""",
        {"<your-supabase-jwt-token>": token_of(john)},
    )
    assert answer.status_code == 200
    body = answer.json()
    # Besides later additions.
    assert body.keys() >= {"id", "name", "email", "gender", "school", "default_face_id", "image"}
    assert body["id"] == str(john.id)
    assert (body["name"], body["gender"], body["school"]) == ("John", "male", "MIT")
    assert body["default_face_id"] == face["id"]
    assert is_link(body["image"])


async def test_backend_migration_1_6_get_me_without_a_face(api: Api, john: User) -> None:
    """backend-migration.md, Phase 1, "1.5 API Route: GET /api/auth/me": image and default face are null."""
    body = (await api.client.get("/api/auth/me", headers=john.headers)).json()
    assert (body["default_face_id"], body["image"]) == (None, None)


async def test_backend_migration_1_6_get_me_signed_out(api: Api) -> None:
    """backend-migration.md, Phase 1, "1.6 Testing Phase 1": GET /api/auth/me returns 401 when not
    authenticated."""
    answer = await api.client.get("/api/auth/me")
    assert answer.status_code == 401
    assert answer.json()["error"]


async def test_backend_migration_1_6_patch_me(api: Api, john: User) -> None:
    """backend-migration.md, Phase 1, "1.6 Testing Phase 1": PATCH /api/auth/me."""
    answer = await send(
        api.client,
        """
PATCH http://localhost:3000/api/auth/me
Authorization: Bearer <your-supabase-jwt-token>
Content-Type: application/json

{
  "name": "Jane Doe",
  "school": "Stanford"
}
""",
        {"<your-supabase-jwt-token>": token_of(john)},
    )
    assert answer.status_code == 200
    assert "X-Ignored-Fields" not in answer.headers
    body = answer.json()
    assert (body["name"], body["school"], body["gender"]) == ("Jane Doe", "Stanford", "male")
    # The row, as the code there answers it ("3.2 Database Client Setup" has its type).
    row = {"id", "profile_type", "name", "email", "gender", "school", "default_face_id"}
    assert {*row, "created_at", "updated_at"} <= body.keys()
    assert body["profile_type"] == "user"
    assert body["created_at"] <= body["updated_at"]


async def test_backend_migration_1_5_patch_me_takes_what_it_knows(api: Api, john: User) -> None:
    """backend-migration.md, Phase 1, "1.5 API Route: GET /api/auth/me", PATCH: of the body it takes name,
    gender, school and default_face_id, and ignores everything else."""
    body = {"name": "Jane", "profile_type": "celebrity", "image": None, "id": str(uuid.uuid4())}
    answer = await api.client.patch("/api/auth/me", json=body, headers=john.headers)
    assert answer.status_code == 200
    assert answer.headers["X-Ignored-Fields"] == "id, image, profile_type"
    assert (answer.json()["id"], answer.json()["name"]) == (str(john.id), "Jane")
    assert answer.json()["profile_type"] == "user"


async def test_backend_migration_2_1_health(api: Api) -> None:
    """backend-migration.md, Phase 3, "2.1 Create Minimal Flask API": GET /health. `model` names the pack;
    there it was always insightface."""
    answer = await api.client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "model": "open"}


@pytest.mark.parametrize("way", ["file", "image_base64"])
async def test_backend_migration_2_1_extract_embedding(api: Api, way: str) -> None:
    """backend-migration.md, Phase 3, "2.1 Create Minimal Flask API": POST /extract-embedding, by form and by
    JSON. The box is x, y, width and height, as documented there."""
    sent: dict[str, Any] = {
        "file": {"files": {"file": ("face.jpg", PHOTO, "image/jpeg")}},
        "image_base64": {"json": {"image_base64": base64.b64encode(PHOTO).decode()}},
    }
    answer = await api.client.post("/extract-embedding", headers=KEY, **sent[way])
    assert answer.status_code == 200
    body = answer.json()
    assert body["face_detected"] is True
    assert len(body["embedding"]) == 512
    assert len(body["bbox"]) == 4
    assert 0.5 < body["confidence"] <= 1


async def test_backend_migration_2_1_extract_embedding_without_a_face(api: Api) -> None:
    """backend-migration.md, Phase 3, "2.1 Create Minimal Flask API": no face is 400."""
    files = {"file": ("face.jpg", picture_without_a_face(), "image/jpeg")}
    answer = await api.client.post("/extract-embedding", headers=KEY, files=files)
    assert answer.status_code == 400
    assert (
        answer.json().items()
        >= {
            "face_detected": False,
            "error": "No face detected in image",
        }.items()
    )


async def test_backend_migration_2_1_extract_embedding_without_an_image(api: Api) -> None:
    """backend-migration.md, Phase 3, "2.1 Create Minimal Flask API": no image is 400."""
    ways: list[dict[str, Any]] = [{"json": {}}, {"data": {"x": "1"}, "files": {"other": b"x"}}, {}]
    for sent in ways:
        answer = await api.client.post("/extract-embedding", headers=KEY, **sent)
        assert answer.status_code == 400, sent
        assert answer.json()["error"]


async def test_backend_migration_2_1_key(api: Api) -> None:
    """backend-migration.md, Phase 3, "2.1 Create Minimal Flask API": without the key or with another: 401."""
    for headers in ({}, {"Authorization": "Bearer change-me-in-production"}, {"Authorization": API_KEY}):
        for path in ("/extract-embedding", "/compare-faces"):
            answer = await api.client.post(path, headers=headers, json={})
            assert answer.status_code == 401


async def test_backend_migration_2_1_compare_faces(api: Api) -> None:
    """backend-migration.md, Phase 3, "2.1 Create Minimal Flask API": POST /compare-faces."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 512))
    body = {"embedding_a": a.tolist(), "embedding_b": b.tolist()}
    answer = await api.client.post("/compare-faces", headers=KEY, json=body)
    assert answer.status_code == 200
    similarity = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    assert answer.json() == {
        "similarity": pytest.approx(similarity),
        "distance": pytest.approx(1 - similarity),
    }


async def test_backend_migration_3_3_ai_service_client(api: Api) -> None:
    """backend-migration.md, "3.3 AI Service Client": what `extractEmbedding`, `compareFaces` and
    `checkAIServiceHealth` send, and what they read of the answers."""
    assert (await api.client.get("/health")).is_success
    found = await api.client.post(
        "/extract-embedding", headers=KEY, files={"file": ("face.jpg", PHOTO, "image/jpeg")}
    )
    assert found.is_success
    assert found.json()["face_detected"]
    embedding = found.json()["embedding"]
    compared = await api.client.post(
        "/compare-faces",
        headers={**KEY, "Content-Type": "application/json"},
        content=json.dumps({"embedding_a": embedding, "embedding_b": embedding}),
    )
    assert compared.json()["similarity"] == pytest.approx(1)
    failed = await api.client.post(
        "/extract-embedding", headers=KEY, files={"file": ("face.jpg", b"no picture", "image/jpeg")}
    )
    assert not failed.is_success
    assert failed.json()["error"]


async def test_backend_migration_3_4_upload(api: Api, john: User) -> None:
    """backend-migration.md, "3.4 Example API Route: Face Upload": POST /api/faces. The status is 202, as
    auto-match-generation.md, "Step 5", has it since."""
    answer = await upload(api, john)
    assert answer.status_code == 202
    body = answer.json()
    assert {"id", "image_url", "created_at"} <= body.keys()
    assert is_link(body["image_url"])
    assert (await api.client.get(body["image_url"])).headers["content-type"].startswith("image/")


@pytest.mark.parametrize(
    ("files", "kind"),
    [({}, None), ({"file": ("notes.txt", b"no picture", "text/plain")}, "unreadable_image")],
)
async def test_backend_migration_3_4_upload_of_no_picture(
    api: Api, john: User, files: dict[str, Any], kind: str | None
) -> None:
    """backend-migration.md, "3.4 Example API Route: Face Upload": no file, or one that is no picture, is
    400."""
    data = {"x": "1"} if not files else None
    form = files or {"other": b"x"}
    answer = await api.client.post("/api/faces", headers=john.headers, files=form, data=data)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert kind in {None, answer.json()["code"]}


async def test_backend_migration_3_4_upload_signed_out(api: Api) -> None:
    """backend-migration.md, "3.4 Example API Route: Face Upload": 401 without a user, both ways."""
    assert (await api.client.post("/api/faces", files={"file": PHOTO})).status_code == 401
    assert (await api.client.get("/api/faces")).status_code == 401


async def test_backend_migration_3_4_list(api: Api, john: User) -> None:
    """backend-migration.md, "3.4 Example API Route: Face Upload": GET /api/faces is a bare array, newest
    first, of id, image_path, created_at and image_url."""
    assert (await api.client.get("/api/faces", headers=john.headers)).json() == []
    first = (await upload(api, john)).json()
    second = (await upload(api, john, altered(ASTRONAUT))).json()
    answer = await api.client.get("/api/faces", headers=john.headers)
    assert answer.status_code == 200
    faces = answer.json()
    assert [face["id"] for face in faces] == [second["id"], first["id"]]
    for face in faces:
        assert {"id", "image_path", "created_at", "image_url"} <= face.keys()
        assert face["image_path"].startswith(f"faces/{john.id}/")
        assert is_link(face["image_url"])
        assert face["image_path"] in face["image_url"]


async def test_backend_migration_3_4_list_has_no_pages(api: Api, john: User) -> None:
    """backend-migration.md, "3.4 Example API Route: Face Upload": GET /api/faces has all faces at once."""
    await api.owner.execute(
        "INSERT INTO faces (profile_id, image_path) SELECT $1, 'x/' || i FROM generate_series(1, 250) AS i",
        john.id,
    )
    assert len((await api.client.get("/api/faces", headers=john.headers)).json()) == 250


async def test_backend_migration_3_5_top(api: Api, john: User) -> None:
    """backend-migration.md, "3.5 Example API Route: Find Matches": GET /api/matches/top?limit= is a bare
    array, newest first, for everybody."""
    jane, match_id, face = await a_match(api, john)
    answer = await api.client.get("/api/matches/top", params={"limit": 20})
    assert answer.status_code == 200
    [match] = answer.json()
    assert {"id", "similarity_score", "created_at", "users"} <= match.keys()
    assert match["id"] == str(match_id)
    people = {person["id"]: person for person in (match["users"]["a"], match["users"]["b"])}
    assert people.keys() == {str(john.id), str(jane.id)}
    for person in people.values():
        assert {"id", "name", "image"} <= person.keys()
        assert is_link(person["image"])
        assert person["image_path"] in person["image"]
    assert people[str(john.id)]["face_id"] == face["id"]
    # The features of today's answer work as well.
    assert (await api.client.get("/api/matches/top", params={"skip": 1})).json() == []
    viewed = await api.client.get("/api/matches/top", params={"filter": "viewed"}, headers=john.headers)
    assert viewed.json() == []
    assert (await api.client.get("/api/matches/top", params={"limit": 0})).status_code == 422


async def test_backend_migration_5_2_base_url(api: Api) -> None:
    """backend-migration.md, Phase 6, "5.2 No other changes needed!": `/matches/top` under the base `/api`."""
    assert (await api.client.get("/api" + "/matches/top")).json() == []


async def test_backend_migration_4_2_cron(api: Api, john: User) -> None:
    """backend-migration.md, Phase 5, "4.2 Job Processor API Route": GET /api/cron/process-jobs with the cron
    secret answers processed and results of id and status."""
    headers = {"Authorization": f"Bearer {CRON_SECRET}"}
    empty = await api.client.get("/api/cron/process-jobs", headers=headers)
    assert empty.json() == {"processed": 0, "results": []}
    job = (await upload(api, john)).json()["job_id"]
    answer = await api.client.get("/api/cron/process-jobs", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["processed"] == 1
    [result] = answer.json()["results"]
    assert (result["id"], result["job_id"], result["status"]) == (job, job, "completed")
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {token_of(john)}"}):
        assert (await api.client.get("/api/cron/process-jobs", headers=wrong)).status_code == 401


# auto-match-generation.md ---------------------------------------------------------------------------------


async def test_auto_match_generation_test_1(api: Api, john: User) -> None:
    """auto-match-generation.md, "Test 1: Upload Photo & Check Job Queue", and "Step 5": 202 with the message,
    and a job that is pending."""
    answer = await send(
        api.client,
        r"""
curl -X POST http://localhost:3000/api/faces \
  -H "Authorization: Bearer YOUR_USER_TOKEN" \
  -F "file=@/path/to/photo.jpg"
""",
        {"YOUR_USER_TOKEN": token_of(john)},
        {"/path/to/photo.jpg": PHOTO},
    )
    assert answer.status_code == 202
    assert answer.json()["message"] == "Photo uploaded! Matches generating in background..."
    job = await api.owner.fetchrow("SELECT face_id, status FROM match_jobs ORDER BY created_at DESC LIMIT 5")
    assert job is not None
    assert (str(job["face_id"]), job["status"]) == (answer.json()["id"], "pending")


async def test_auto_match_generation_test_4(api: Api, john: User) -> None:
    """auto-match-generation.md, "Test 4: Manual Edge Function Trigger", with the service role key: the anon
    key, which every browser has, opens nothing here."""
    example = r"""
curl -i --location --request POST \
  'https://your-project.supabase.co/functions/v1/match-generator' \
  --header 'Authorization: Bearer YOUR_ANON_KEY' \
  --header 'Content-Type: application/json' \
  --data '{"source":"manual_test"}'
"""
    assert (await send(api.client, example, {"YOUR_ANON_KEY": ANON_KEY})).status_code == 401
    idle = await send(api.client, example, {"YOUR_ANON_KEY": SERVICE_ROLE_KEY})
    assert idle.status_code == 200
    assert idle.json() == {"success": True, "message": "No pending jobs", "processed": False, "matchCount": 0}
    jane = await api.member("Jane", school="MIT", gender="female")
    await upload(api, john)
    await upload(api, jane, altered(ASTRONAUT))
    answer = await send(api.client, example, {"YOUR_ANON_KEY": SERVICE_ROLE_KEY})
    assert answer.json() == {
        "success": True,
        "message": "Matches generated successfully",
        "processed": True,
        "matchCount": answer.json()["matchCount"],
    }
    assert answer.json()["matchCount"] >= 1


@pytest.mark.parametrize("key", [SERVICE_ROLE_KEY, CRON_SECRET, API_KEY])
async def test_auto_match_generation_step_2(api: Api, key: str) -> None:
    """auto-match-generation.md, "Step 2: Configure pg_cron URLs": what pg_cron posts each minute. Beside the
    service role key the secrets of this service are taken."""
    answer = await api.client.post(
        "/functions/v1/match-generator",
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        json={"source": "pg_cron", "triggered_at": "2025-11-01T00:00:00+00:00"},
    )
    assert answer.status_code == 200
    assert answer.json()["success"] is True


async def test_auto_match_generation_stuck_in_pending(api: Api) -> None:
    """auto-match-generation.md, "Issue: Jobs stuck in 'pending' status": a call without a key is refused."""
    answer = await api.client.post(
        "/functions/v1/match-generator", headers={"Content-Type": "application/json"}, json={}
    )
    assert answer.status_code == 401


async def test_auto_match_generation_failed_jobs(api: Api, john: User) -> None:
    """auto-match-generation.md, "Issue: Edge Function returns 500 error": a job that fails is told, with its
    error; the others are done all the same."""
    await api.owner.execute(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, 'faces/nowhere.jpg')", john.id
    )
    await upload(api, john)
    answer = await api.client.post(
        "/functions/v1/match-generator", headers={"Authorization": f"Bearer {CRON_SECRET}"}
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "success": False,
        "message": "1 of 2 jobs failed: The photo of this face is not in the storage.",
        "processed": True,
        "matchCount": 0,
    }


# database-schema.md ---------------------------------------------------------------------------------------


async def test_database_schema_flow_1(api: Api, john: User) -> None:
    """database-schema.md, "1. User Uploads Face (with Auto-Matching)": the row, its hash, its job."""
    face = (await upload(api, john)).json()
    row = await api.owner.fetchrow(
        "SELECT profile_id, image_path, length(image_hash) AS length FROM faces WHERE id = $1",
        UUID(face["id"]),
    )
    assert row is not None
    assert (row["profile_id"], row["length"]) == (john.id, 32)
    job = await api.owner.fetchrow("SELECT user_id, job_type, status FROM match_jobs")
    assert job is not None
    assert (job["user_id"], job["job_type"], job["status"]) == (john.id, "both", "pending")


async def test_database_schema_flow_2(api: Api, john: User) -> None:
    """database-schema.md, "2. Live Match Discovery": GET /api/matches/top, here newest first."""
    _, first, face = await a_match(api, john)
    other = await api.owner.fetchval(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, 'https://old.example/x.jpg') RETURNING id",
        (await api.member("Joan")).id,
    )
    newest = await add_match(api.owner, UUID(face["id"]), other, score=0.5)
    answer = (await api.client.get("/api/matches/top", headers=john.headers)).json()
    assert [match["id"] for match in answer] == [str(newest), str(first)]
    # A picture that is still where the old app put it.
    people = answer[0]["users"].values()
    assert {person["image_path"] for person in people} >= {"https://old.example/x.jpg"}


async def test_database_schema_flow_3(api: Api, john: User) -> None:
    """database-schema.md, "3. Celebrity Matching": GET /api/matches/celebrity/:faceId."""
    face = (await upload(api, john)).json()
    await api.owner.execute(
        """
        WITH famous AS (
            INSERT INTO celebrities (name, image_path) VALUES ('Eileen', 'celebrities/x.jpg') RETURNING id
        )
        INSERT INTO celebrity_matches (face_id, celebrity_id, similarity_score) SELECT $1, id, .9 FROM famous
        """,
        UUID(face["id"]),
    )
    answer = await api.client.get(f"/api/matches/celebrity/{face['id']}", headers=john.headers)
    assert answer.status_code == 200
    [match] = answer.json()["matches"]
    assert (match["celebrity"]["name"], match["similarity_score"]) == ("Eileen", 0.9)


async def test_database_schema_flow_4(api: Api, john: User) -> None:
    """database-schema.md, "4. Baby Generation from Match": POST /api/baby, and the other one is notified."""
    jane, match_id, _ = await a_match(api, john)
    answer = await api.client.post("/api/baby", json={"match_id": str(match_id)}, headers=john.headers)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["match_id"], {*body["parents"]}) == (str(match_id), {"a", "b"})
    assert (await api.client.get(body["image_url"])).status_code == 200
    told = (await api.client.get("/api/notifications", headers=jane.headers)).json()["notifications"]
    assert [(news["type"], news["related_id"], news["related_type"]) for news in told] == [
        ("baby_generated", body["id"], "baby")
    ]


# The contract ---------------------------------------------------------------------------------------------


async def test_the_contract_holds_but_for_what_differs(api: Api, john: User) -> None:
    """The HTTP API contract, "The app (user JWT)": calls that are the same with and without the setting."""
    await a_match(api, john)
    for path, keys in {
        "/api/auth/me": {"id", "name", "email", "gender", "school", "default_face_id", "image"},
        "/api/matches/top/stats": {"total", "viewed", "activeUsers"},
        f"/api/matches/user/{john.id}": {"matches", "total"},
        "/api/baby/list": {"babies"},
        "/api/connections": {"connections", "total"},
        "/api/notifications": {"notifications", "total", "unread_count"},
        "/api/config": {"allowNonEduEmails"},
    }.items():
        answer = await api.client.get(path, headers=john.headers)
        assert answer.status_code == 200, path
        assert keys <= answer.json().keys()
    assert (await api.client.post("/api/auth/logout", headers=john.headers)).status_code == 204


async def test_the_openapi_document_is_todays(api: Api) -> None:
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    assert "/functions/v1/match-generator" not in paths
    answer = paths["/api/faces"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["$ref"].endswith("/FaceList")
