"""Nothing secret or personal in a log: the whole API is driven with it, and all that is logged is read."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import uuid4

import jwt
import pytest
from pydantic import BaseModel

from semblance.logging import configure_logging
from semblance.settings import Settings
from serve_app.schemas.base import Schema
from tests.support.api import API_KEY, CRON_SECRET, JWT_SECRET, Api
from tests.support.photos import OBAMA_2

FORMATS: list[Literal["text", "json"]] = ["text", "json"]

CONTENT = "between you and me"
EMBEDDING = [0.123454321, -0.987656789, 0.55512321] + [0.25] * 509


@dataclass(slots=True)
class Logs:
    """Everything logged at DEBUG: as the application writes it, and as it was logged, before redaction."""

    written: io.StringIO = field(default_factory=io.StringIO)
    said: io.StringIO = field(default_factory=io.StringIO)

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().splitlines()

    def assert_free_of(self, secrets: dict[str, str]) -> None:
        for name, secret in secrets.items():
            assert len(secret) >= 6, f"{name} is too short to be looked for"
            for text in (self.said.getvalue(), self.written.getvalue()):
                at = text.find(secret)
                assert at < 0, f"{name} was logged: …{text[max(0, at - 500) : at + 100]}"


@pytest.fixture
def logs(log_format: Literal["text", "json"]) -> Iterator[Logs]:
    """The application's own logging, into memory."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # basicConfig closes what it replaces; pytest's own handlers must survive.
    root.handlers = []
    configure_logging(Settings(log_level="DEBUG", log_format=log_format))
    found = Logs()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(found.written)
    said = logging.StreamHandler(found.said)
    said.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root.addHandler(said)
    yield found
    root.handlers, root.level = handlers, level


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path, with a body that fits its schema and one that does not."""

    method: str
    path: str
    bodies: list[object]


def operations(api: Api) -> list[Operation]:
    """All of the OpenAPI document but endless streams."""
    document = api.app.openapi()
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
                continue
            ids = {item["name"]: str(uuid4()) for item in operation.get("parameters", [])}
            found.append(Operation(method.upper(), path.format_map(ids), _bodies(operation, document)))
    assert len(found) > 20
    return found


def _bodies(operation: dict[str, Any], document: dict[str, Any]) -> list[object]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    names = schema.get("properties", {})
    if not names:
        return [None]
    wrong: list[object] = [
        dict.fromkeys(names, value) for value in (CONTENT, [CONTENT], EMBEDDING, {"it": CONTENT})
    ]
    return [*wrong, CONTENT]


async def drive(api: Api, headers: list[dict[str, str]], query: str) -> set[int]:
    """Call everything as every kind of client; returns the statuses.

    Args:
        headers: The credentials of each client.
        query: Sent with every call.
    """
    statuses = set()
    for operation in operations(api):
        for credentials in headers:
            for body in operation.bodies:
                answer = await api.client.request(
                    operation.method, f"{operation.path}?{query}", json=body, headers=credentials
                )
                statuses.add(answer.status_code)
                if answer.status_code in {401, 403}:
                    # No body that comes with these credentials is looked at.
                    break
    return statuses


@pytest.mark.parametrize("log_format", ["json"])
async def test_nothing_secret_or_personal_is_logged(api: Api, logs: Logs) -> None:
    ada, root = await api.member("Adelheid"), await api.member("Rootger", role="admin")
    newcomer = api.user("hildegard@school-of-arts.edu")
    outsider = api.user("hildegard@mail.example")
    twin = api.user(ada.email)
    forged = jwt.encode({"sub": str(ada.id), "email": ada.email}, "x" * 40, algorithm="HS256")
    wrong_key = "smb_" + "wrong" * 6
    signed = api.services.storage.signed_url("faces/ab/abc.jpg", timedelta(hours=1))
    users = (ada, root, newcomer, outsider, twin)
    secrets = {
        "the API key": API_KEY,
        "the cron secret": CRON_SECRET,
        "the tokens' secret": JWT_SECRET,
        "a forged token": forged,
        "a wrong key": wrong_key,
        "a signature": signed.partition("signature=")[2],
        "what users wrote": CONTENT,
        "an embedding": str(EMBEDDING[0]),
        "its second number": str(abs(EMBEDDING[1])),
        "the database's address": api.services.settings.required_database_url.get_secret_value(),
    }
    for user in users:
        secrets[f"the token of {user.email}"] = user.headers["Authorization"].removeprefix("Bearer ")
        secrets[f"the address {user.email}"] = user.email
        secrets[f"the start of {user.email}"] = user.email.partition("@")[0]

    bearers = [API_KEY, CRON_SECRET, wrong_key, forged, "not-a-token-at-all", "eyJh.eyJz.c2ln"]
    headers = [
        *(user.headers for user in (ada, root)),
        *({"Authorization": f"Bearer {bearer}"} for bearer in bearers),
        *(user.headers for user in (newcomer, outsider, twin)),
        {},
    ]
    query = f"token={forged}&signature={wrong_key}&expires=9999999999&cursor={forged[:100]}&limit=3"
    statuses = await drive(api, headers, query)
    assert {200, 401, 403, 404, 422} <= statuses, statuses
    assert (await api.client.get(signed)).status_code == 404
    await _use_an_embedding(api, secrets)

    # From here on everything that needs the database fails.
    await api.services.database.close()
    assert 503 in await drive(api, headers[:3], query)

    assert any("database" in line for line in logs.lines), "the errors have been logged"
    assert all(json.loads(line)["message"] for line in logs.lines)
    logs.assert_free_of(secrets)


async def _use_an_embedding(api: Api, secrets: dict[str, str]) -> None:
    """A real embedding, from a photo, sent back with errors."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    photo = OBAMA_2.read_bytes()
    for path in ("/extract-embedding", "/analyze-face-advanced", "/analyze-faces", "/lookalikes"):
        answer = await api.client.post(path, files={"file": (CONTENT, photo)}, headers=headers)
        assert answer.status_code == 200, answer.text
    answer = await api.client.post("/extract-embedding", files={"file": photo}, headers=headers)
    embedding = answer.json()["embedding"]
    telling = [str(abs(number)) for number in embedding if len(str(abs(number))) >= 8]
    secrets |= {f"number {at} of a photo's embedding": telling[at] for at in (0, 10, 20)}
    for other in (embedding, embedding[:-1], [0] * 512, EMBEDDING, [*EMBEDDING, "x"]):
        body = {"embedding_a": embedding, "embedding_b": other}
        answer = await api.client.post("/compare-faces", json=body, headers=headers)
        assert answer.status_code in {200, 400, 422}
    answer = await api.client.post(
        "/compare-faces", content=json.dumps({"embedding_a": [*EMBEDDING, float("nan")]}), headers=headers
    )
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("log_format", FORMATS)
async def test_internal_errors_do_not_reveal_anything_either(api: Api, logs: Logs) -> None:
    """Errors of the database and of answers that break their schema quote what was wrong."""
    ada = await api.member("Adelheid")
    database = api.services.database

    class Answer(Schema):
        age: int

    class Foreign(BaseModel):
        age: int

    @api.app.get("/own-schema")
    async def own_schema() -> Answer:
        return Answer.model_validate({"age": ada.email})

    @api.app.get("/answer", response_model=Foreign)
    async def answer() -> object:
        return {"age": ada.email}

    @api.app.get("/constraint")
    async def constraint() -> None:
        await database.execute("INSERT INTO profiles SELECT gen_random_uuid(), 'user', 'a', $1", ada.email)

    @api.app.get("/type")
    async def wrong_type() -> None:
        await database.fetchval("SELECT $1::int", ada.email)

    @api.app.get("/cast")
    async def cast() -> None:
        await database.fetchval("SELECT $1::text::uuid", ada.email)

    @api.app.get("/nested")
    async def nested() -> None:
        async with database.transaction() as connection:
            await connection.fetchval("SELECT $1::text::date", ada.email)

    for path in ("own-schema", "answer", "constraint", "type", "cast", "nested"):
        reply = await api.client.get(f"/{path}", headers={"X-Request-ID": f"id-of-{path}"})
        assert reply.status_code == 500, path
        assert reply.json()["request_id"] == f"id-of-{path}"
        assert ada.email not in reply.text, path
        assert any(f"id-of-{path}" in line for line in logs.lines), "the id finds the error in the log"
    logs.assert_free_of({"the address": ada.email})


@pytest.mark.parametrize("log_format", FORMATS)
async def test_messages_of_libraries_are_cleaned(api: Api, logs: Logs) -> None:
    ada = await api.member("Adelheid")

    @api.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(f"no answer for {ada.email} with {ada.headers}")

    assert (await api.client.get("/broken")).status_code == 500
    written = logs.written.getvalue()
    assert "RuntimeError: no answer for [redacted]" in written
    assert ada.headers["Authorization"] not in written
    assert ada.email in logs.said.getvalue(), "the test looks where such a message would be"
