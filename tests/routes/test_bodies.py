"""Bodies: which are accepted as a picture, how much of them is read for whom, what is too slow or large."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterable

import httpx
import numpy as np
import pytest
from fastapi import Body, FastAPI, Request
from starlette.types import Message, Receive, Scope, Send

from semblance.errors import BadInputError
from semblance.settings import Settings
from serve_app.api.bodies import JSON_BYTES, JSON_VALUES, BodyMiddleware
from serve_app.api.deadline import _DEADLINE, DeadlineMiddleware
from serve_app.api.errors import install_error_handlers
from serve_app.api.photos import decode_base64
from tests.support.api import API_KEY, Api
from tests.support.group import portrait
from tests.support.waiting import PATIENCE_S

KEY = {"Authorization": f"Bearer {API_KEY}"}
JSON = {"Content-Type": "application/json"}


async def test_a_body_may_be_the_picture_itself(api: Api) -> None:
    for path in ("/extract-embedding", "/lookalikes"):
        form = await api.client.post(path, files={"file": portrait()}, headers=KEY)
        for kind in ("IMAGE/x-whatever; q=1", "application/octet-stream"):
            raw = await api.client.post(path, content=portrait(), headers={**KEY, "Content-Type": kind})
            assert raw.status_code == 200, raw.text
            assert raw.json() == form.json()


async def test_an_upload_is_taken_in_every_form(api: Api) -> None:
    user = await api.member("ada")
    text = base64.encodebytes(portrait()).decode()
    raw = await api.client.post(
        "/api/faces", content=portrait(), headers={**user.headers, "Content-Type": "image/jpeg"}
    )
    assert raw.status_code == 202, raw.text
    again = await api.client.post("/api/faces", json={"image_base64": text}, headers=user.headers)
    assert (again.status_code, again.json()["code"]) == (400, "duplicate_picture")


REFUSED = [
    ("image/jpeg", b"", 400),
    ("image/jpeg", b"no picture", 415),
    ("application/octet-stream", bytes(20), 415),
    ("", b"anything", 415),
    ("text/plain", b"anything", 415),
    ("application/x-www-form-urlencoded", b"file=x", 415),
    ("imagejpeg", b"anything", 415),
    ("multipart/form-data", b"no boundary", 400),
    ("multipart/form-data; boundary=X", b"no form", 400),
    ("multipart/form-data; boundary=X; charset=a\0b", b"--X--\r\n", 400),
    ("multipart/form-data; boundary=\xe9", b"--X--\r\n", 400),
    ("application/json", b"", 400),
    ("application/json", b"\xff\xfe", 400),
    ("application/json", b"[" * 100_000, 400),
    ("application/json", b'{"image_base64": 7}', 400),
]


async def test_other_bodies_are_refused_with_a_sentence(api: Api) -> None:
    for kind, body, status in REFUSED:
        headers = {b"Authorization": KEY["Authorization"].encode(), b"Content-Type": kind.encode("latin-1")}
        answer = await api.client.post("/extract-embedding", content=body, headers=headers)
        assert answer.status_code == status, (kind, body, answer.text)
        assert answer.json()["error"].endswith(".")


async def test_a_form_with_another_file_is_refused_for_that(api: Api) -> None:
    files = [("file", portrait()), ("file", portrait())]
    answer = await api.client.post("/extract-embedding", files=files, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")
    assert "Too many files" in answer.json()["error"]


BYTES = bytes(range(256)) * 4 + b"\xfb\xff"
STANDARD, URL_SAFE = base64.b64encode(BYTES).decode(), base64.urlsafe_b64encode(BYTES).decode()


@pytest.mark.parametrize(
    "text",
    [
        STANDARD,
        URL_SAFE,
        STANDARD.rstrip("="),
        URL_SAFE.rstrip("="),
        base64.encodebytes(BYTES).decode(),
        base64.encodebytes(BYTES).decode().replace("\n", "\r\n"),
        f"  {STANDARD}\n\n",
        "\t".join(STANDARD),
        f"data:image/jpeg;base64,{STANDARD}",
        f"DATA:IMAGE/JPEG;BASE64,{URL_SAFE}",
        f"\nData:;base64,\n{STANDARD}",
    ],
)
def test_base64_as_tools_print_it(text: str) -> None:
    assert decode_base64(text) == BYTES


@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "A===", "AA=", "AAA==", "AAAA=", "AAAA====", "AA==AA==", "=AAA", "AAA*", "A.AA", "AAA,A",
     "AAAé", "AAA\N{FULLWIDTH LATIN CAPITAL LETTER A}", "AAA\0", "AAA\N{NO-BREAK SPACE}A", "\ud800AAA",
     "data:image/png;base64,AAA!", "file.jpg"],
)  # fmt: skip
def test_invalid_base64_stays_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="base64"):
        decode_base64(text)


async def test_compressed_bodies_are_415(api: Api) -> None:
    body = gzip.compress(json.dumps({"image_base64": STANDARD}).encode())
    for path in ("/extract-embedding", "/compare-faces"):
        for encoding in (b"gzip", b"GZIP", b"deflate", b"br", b"gzip, identity", b"x-\xe9"):
            headers = [(name.encode(), value.encode()) for name, value in (KEY | JSON).items()]
            headers.append((b"Content-Encoding", encoding))
            answer = await api.client.post(path, content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (415, "encoded_body")
            assert answer.json()["error"] == "Send the body without Content-Encoding."


async def test_the_identity_encoding_may_be_stated(api: Api) -> None:
    headers = {**KEY, "Content-Type": "image/jpeg", "Content-Encoding": "Identity"}
    answer = await api.client.post("/extract-embedding", content=portrait(), headers=headers)
    assert answer.status_code == 200


async def counted(parts: Iterable[bytes], read: list[int]) -> AsyncIterator[bytes]:
    for part in parts:
        read.append(len(part))
        yield part


@pytest.mark.parametrize("declared", [True, False])
async def test_no_more_is_read_than_a_route_accepts(api: Api, declared: bool) -> None:
    """1 MiB of JSON, half more than the largest picture where one is taken, and nothing for strangers."""
    limit = int(api.services.settings.max_image_bytes * 1.5)
    part = bytes(256 * 1024)
    for path, headers, most, status in (
        ("/compare-faces", {**KEY, **JSON}, JSON_BYTES, 413),
        ("/extract-embedding", {**KEY, "Content-Type": "image/jpeg"}, limit, 413),
        ("/extract-embedding", {"Content-Type": "image/jpeg"}, 0, 401),
        ("/api/faces", {"Content-Type": "image/jpeg"}, 0, 401),
    ):
        read: list[int] = []
        length = {"Content-Length": str(10 * limit)} if declared else {}
        parts = (part for _ in range(10 * limit // len(part)))
        answer = await api.client.post(path, content=counted(parts, read), headers={**headers, **length})
        assert answer.status_code == status, (path, answer.text)
        assert sum(read) <= (0 if declared else most + len(part))


async def test_json_of_many_values_is_refused_before_it_is_parsed(api: Api) -> None:
    """Some megabytes of `[],` would take a gigabyte, and keep everybody else waiting for seconds."""
    photo = base64.b64encode(portrait()).decode()
    for path, text, most in (
        ("/extract-embedding", f'{{"image_base64": "{photo}", "more": [%s]}}', 200),
        ("/compare-faces", '{"more": [%s]}', 422),
        ("/api/console/sessions", '{"more": [%s]}', 422),
    ):
        for value in ("[]", "{}", "0"):
            for count, status in ((JSON_VALUES - 10, most), (JSON_VALUES, 400)):
                values = ",".join([value] * (count if value == "0" else count // 2))
                answer = await api.client.post(path, content=text % values, headers=KEY | JSON)
                assert answer.status_code == status, (path, value, answer.text)
        assert answer.json()["error"] == "The JSON has more than 20,000 values."


async def test_an_answer_names_some_of_many_invalid_fields(api: Api) -> None:
    fields = {f"more_{number}": number for number in range(JSON_VALUES // 2)}
    answer = await api.client.post("/api/console/sessions", json=fields)
    assert (answer.status_code, len(answer.json()["fields"])) == (422, 50)


async def test_an_invalid_length_is_413(api: Api) -> None:
    for length in (b"\xb2", b"-1", b"1e3", b"9" * 400, b""):
        headers = [(name.encode(), value.encode()) for name, value in (KEY | JSON).items()]
        headers.append((b"Content-Length", length))
        answer = await api.client.post("/compare-faces", content=b"{}", headers=headers)
        assert answer.status_code == 413


@pytest.fixture
def slow_app() -> FastAPI:
    """With one route that reads its body itself and one whose body FastAPI reads. It waits .2 s for a body,
    and a second for each 100 bytes that came."""
    app = FastAPI()
    install_error_handlers(app)

    @app.post("/stream")
    async def stream(request: Request) -> int:
        return len(await request.body())

    @app.post("/json")
    async def parsed(body: object = Body()) -> int:
        return len(str(body))

    app.add_middleware(BodyMiddleware, grace=0.2, rate=100)
    app.add_middleware(DeadlineMiddleware, seconds=PATIENCE_S)
    return app


def drip(times: int, part: bytes, pause: float) -> Callable[[], AsyncIterator[bytes]]:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(times):
            await asyncio.sleep(pause)
            yield part

    return parts


@pytest.mark.parametrize("body", [b"", b"12"])
@pytest.mark.parametrize("path", ["/stream", "/json"])
async def test_a_body_that_ends_too_early_is_408(slow_app: FastAPI, path: str, body: bytes) -> None:
    """Where a proxy loses a body, its client is still there."""
    parts: list[Message] = [{"type": "http.disconnect"}]
    if body:
        parts.insert(0, {"type": "http.request", "body": body[:1], "more_body": True})

    async def losing(scope: Scope, receive: Receive, send: Send) -> None:
        async def lose() -> Message:
            return parts.pop(0)

        headers = [header for header in scope["headers"] if body or header[0] != b"content-length"]
        await slow_app({**scope, "headers": headers}, lose, send)

    client = httpx.AsyncClient(transport=httpx.ASGITransport(losing), base_url="http://api")
    answer = await client.post(path, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (408, "incomplete_body")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/stream", "/json"])
async def test_a_body_below_the_least_rate_is_408(slow_app: FastAPI, path: str) -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(slow_app), base_url="http://api")
    answer = await client.post(path, content=drip(1000, b"1", 0.05)(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (408, "slow_body")
    assert int(answer.headers["retry-after"]) > 0
    answer = await client.post(path, content=drip(1, b"1", 600)(), headers=JSON)
    assert answer.status_code == 408


@pytest.mark.parametrize("path", ["/stream", "/json"])
async def test_a_body_above_it_may_take_longer_than_the_deadline(
    slow_app: FastAPI, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline rests while the body comes, and each part gives the next one time."""
    until: list[float] = []
    deadlines: list[float | None] = []
    scopes: list[Scope] = []

    def timeout_at(when: float) -> asyncio.Timeout:
        until.append(when)
        return asyncio.timeout(None)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(12):
            deadlines.append(scopes[0][_DEADLINE].when())
            yield b"1" * 20

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await slow_app(scope, receive, send)

    monkeypatch.setattr(asyncio, "timeout_at", timeout_at)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(noting), base_url="http://api")
    answer = await client.post(path, content=parts(), headers=JSON)
    assert (answer.status_code, answer.json()) == (200, 240)
    assert deadlines == [None] * 12
    assert np.diff(until).tolist() == pytest.approx([0.2] * 12)


@pytest.fixture
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return api_settings.model_copy(update=getattr(request, "param", {}))


class Held:
    """Uploads that have begun and go on when they are let go."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._go_on = asyncio.Event()
        self._begun = 0
        self.tasks: list[asyncio.Task[httpx.Response]] = []

    async def start(self, headers: dict[str, str], path: str = "/api/faces") -> asyncio.Task[httpx.Response]:
        begun = asyncio.Event()

        async def parts() -> AsyncIterator[bytes]:
            yield portrait()[:1000]
            begun.set()
            await self._go_on.wait()
            yield portrait()[1000:]

        task = asyncio.create_task(
            self._api.client.post(path, content=parts(), headers={**headers, "Content-Type": "image/jpeg"})
        )
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self.tasks.append(task)
        return task

    async def finish(self) -> list[httpx.Response]:
        self._go_on.set()
        return await asyncio.gather(*self.tasks)


async def test_slow_uploads_of_one_user_do_not_block_others(api: Api) -> None:
    greedy, honest = await api.member("ada"), await api.member("bob")
    held = Held(api)
    for _ in range(66):
        await held.start(greedy.headers)
    refused = [task.result() for task in held.tasks if task.done()]
    assert len(refused) == 66 - api.services.settings.max_uploads_per_user
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert int(answer.headers["retry-after"]) > 0
    upload = await api.client.post("/api/faces", files={"file": portrait()}, headers=honest.headers)
    assert upload.status_code == 202, upload.text
    compute = await api.client.post("/extract-embedding", files={"file": portrait()}, headers=KEY)
    assert compute.status_code == 200, compute.text
    # The same file eight times: one is stored, the others are duplicates.
    statuses = [answer.status_code for answer in await held.finish() if answer.status_code != 429]
    assert sorted(statuses) == [202] + [400] * 7
    after = await api.client.post(
        "/api/faces", content=b"x", headers={**greedy.headers, "Content-Type": "image/png"}
    )
    assert after.status_code == 415


async def test_uploads_that_arrive_take_no_slot(api: Api) -> None:
    held = Held(api)
    for _ in range(api.services.settings.max_inflight):
        assert not (await held.start(KEY, "/extract-embedding")).done()
    slots = api.app.state.limits.slots
    with slots.held("nobody"):
        pass
    assert slots._free == api.services.settings.max_inflight
    one_more = await held.start(KEY, "/extract-embedding")
    assert one_more.result().status_code == 429
    await asyncio.sleep(0)
    for task in held.tasks:
        task.cancel()
    await asyncio.gather(*held.tasks, return_exceptions=True)
    assert slots._free == api.services.settings.max_inflight
    assert not api.app.state.limits.uploads._arriving


@pytest.mark.parametrize(
    "api_settings", [{"max_upload_bytes": 4000, "max_uploads_per_user": 100}], indirect=True
)
async def test_bytes_that_arrive_are_bounded_and_shared(api: Api) -> None:
    """Of four thousand bytes a user gets three quarters while alone; then others get theirs."""
    ada, bob, eve = [await api.member(name) for name in ("ada", "bob", "eve")]
    held = Held(api)
    tasks = [await held.start(user.headers) for user in (ada, ada, ada, ada, bob, eve)]
    assert [task.done() for task in tasks] == [False, False, False, True, False, True]
    greedy, late = tasks[3].result(), tasks[5].result()
    assert (greedy.status_code, greedy.json()["code"]) == (429, "too_many_requests")
    assert (late.status_code, late.json()["code"]) == (503, "overloaded")
    assert {greedy.headers["retry-after"], late.headers["retry-after"]} == {"1"}
    await held.finish()
    assert api.app.state.limits.uploads._bytes._free == 4000
