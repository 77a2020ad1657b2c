from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from semblance.settings import Settings
from serve_app.api.middleware import UnexpectedErrorMiddleware
from tests.support.api import API_KEY, Api

ORIGIN = "https://app.example"


@pytest.fixture
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    origins = getattr(request, "param", (ORIGIN, "http://localhost:3000"))
    return api_settings.model_copy(update={"cors_origins": origins, "max_image_bytes": 2000})


def allowed(answer: httpx.Response) -> str | None:
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


async def test_a_browser_may_send_a_preflight(api: Api) -> None:
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer = await api.client.options(
            "/api/notifications",
            headers={
                "Origin": ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
            },
        )
        assert answer.status_code == 200, answer.text
        assert allowed(answer) == ORIGIN
        assert method in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_other_origins_may_not(api: Api) -> None:
    for origin in ("https://evil.example", "https://app.example.evil.example", "http://app.example", "null"):
        answer = await api.client.options(
            "/api/notifications", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
        )
        assert answer.status_code == 400
        assert allowed(answer) is None
        assert allowed(await api.client.get("/health", headers={"Origin": origin})) is None


async def test_every_answer_can_be_read_by_the_app(api: Api) -> None:
    """Errors above all: a browser tells the app nothing of an answer without these headers."""
    user = await api.member("Ada")
    member, key = user.headers, {"Authorization": f"Bearer {API_KEY}"}
    big = {"image_base64": "x" * 4000}
    answers = {
        200: await api.client.get("/health", headers={"Origin": ORIGIN}),
        401: await api.client.get("/api/notifications", headers={"Origin": ORIGIN}),
        403: await api.client.get("/api/admin/settings", headers={"Origin": ORIGIN, **member}),
        404: await api.client.get("/api/nothing-here", headers={"Origin": ORIGIN, **member}),
        405: await api.client.put("/api/notifications", headers={"Origin": ORIGIN, **member}),
        413: await api.client.post("/extract-embedding", json=big, headers={"Origin": ORIGIN, **key}),
        415: await api.client.post("/extract-embedding", content="x", headers={"Origin": ORIGIN, **key}),
        422: await api.client.patch("/api/presence", json={}, headers={"Origin": ORIGIN, **member}),
    }
    await api.services.database.close()
    answers[503] = await api.client.get("/api/notifications", headers={"Origin": ORIGIN, **member})
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert allowed(answer) == ORIGIN, status
        assert answer.headers["access-control-expose-headers"] == "X-Request-ID, Retry-After"
        assert "Origin" in answer.headers["vary"]


async def test_an_unexpected_error_is_answered_like_all_others(api: Api) -> None:
    @api.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a@secret.edu")

    answer = await api.client.get("/broken", headers={"Origin": ORIGIN, "X-Request-ID": "abc-1"})
    assert answer.status_code == 500
    assert allowed(answer) == ORIGIN
    assert answer.json() == {
        "error": "Something went wrong on our side; the request id finds it in the log.",
        "code": "internal_error",
        "request_id": "abc-1",
    }


async def test_an_answer_that_breaks_off_is_not_made_to_look_whole() -> None:
    async def breaks_off(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        raise RuntimeError("halfway")

    app = FastAPI()
    app.mount("/", UnexpectedErrorMiddleware(breaks_off))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        with pytest.raises(RuntimeError, match="halfway"):
            await client.get("/")


@pytest.mark.parametrize("api_settings", [()], indirect=True)
async def test_without_origins_no_app_of_another_origin_may_call(api: Api) -> None:
    assert allowed(await api.client.get("/health", headers={"Origin": ORIGIN})) is None
    answer = await api.client.options(
        "/health", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    )
    assert allowed(answer) is None


@pytest.mark.parametrize("api_settings", [("*",)], indirect=True)
async def test_all_origins_may_be_let_in(api: Api) -> None:
    assert allowed(await api.client.get("/health", headers={"Origin": "https://any.example"})) == "*"


def test_origins_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, origins in (
        ("", ()),
        ("https://app.example", ("https://app.example",)),
        (
            "https://app.example, http://localhost:3000,capacitor://localhost,",
            ("https://app.example", "http://localhost:3000", "capacitor://localhost"),
        ),
        ("*", ("*",)),
    ):
        monkeypatch.setenv("SEMBLANCE_CORS_ORIGINS", text)
        assert Settings().cors_origins == origins


@pytest.mark.parametrize(
    "text",
    ["app.example", "https://app.example/", "https://App.example", "https://app.example/app", "https://"],
)
def test_what_no_browser_would_send_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        Settings(cors_origins=text)
