"""A headless Chromium for the pages of the console, and the checks of every page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from db.celebrities import Celebrities, CelebrityRow
from db.pool import Database
from deployments.faces.pipeline import LocalPipeline
from matching.worker import MatchWorker
from ops.commands.access.console import console_link
from semblance.storage.pictures import full_key, put_picture
from tests.support.api import Api, LocalFaces
from tests.support.gallery import make_gallery
from tests.support.realtime import serving
from tests.support.service import Service
from tests.support.waiting import PATIENCE_S
from tools.chromium import CHROMIUM, NO_CHROMIUM, QUIET
from tools.console import PACKAGES

expect.set_options(timeout=PATIENCE_S * 1000)

FLAGS = (
    *QUIET,
    # A camera that shows a test pattern.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PHONE, DESK = {"width": 375, "height": 812}, {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's Chromium, which talks to nobody."""
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": [*FLAGS]}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """In English and without animations."""
    return {**browser_context_args, "locale": "en-GB", "reduced_motion": "reduce", "viewport": DESK}


class Watch:
    """What went wrong on the pages of a context."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.wrong: list[str] = []
        self._origin = origin
        context.on("console", self._said)
        context.on("weberror", lambda error: self.wrong.append(f"error: {error.error}"))
        context.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        # Chromium reports every answer from 400 on; what the page makes of one is what a test looks at.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        here = urlsplit(self._origin)
        if address.scheme not in {"blob", "data"} and address.netloc != here.netloc:
            self.wrong.append(f"left the origin: {request.url}")


async def expect_drawn(picture: Locator) -> None:
    """Wait until a picture has come. The page may replace it meanwhile, at which its `decode` would fail."""
    await expect(picture).not_to_have_js_property("naturalWidth", 0)


@dataclass(frozen=True, slots=True)
class ConsoleSite:
    """A service whose console is looked at. link: makes a link that signs in once. token: of the app's
    user with an e-mail address. dsn: of its database, as the application logs in."""

    url: str
    link: Callable[[], Awaitable[str]]
    token: Callable[[str], Awaitable[str]]
    dsn: str

    async def upload(self, email: str, gender: str, photo: Path) -> None:
        """A photo of a user, whose match job waits or is done then."""
        headers = {"Authorization": f"Bearer {await self.token(email)}"}
        files = {"file": await asyncio.to_thread(photo.read_bytes)}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE_S) as client:
            profile = {"name": email.partition("@")[0].title(), "gender": gender}
            answers = [await client.patch("/api/auth/me", json=profile)]
            answers.append(await client.post("/api/faces", files=files))
        assert [answer.status_code for answer in answers] == [200, 202], [answer.text for answer in answers]

    @asynccontextmanager
    async def more_people(self, count: int) -> AsyncIterator[None]:
        """While the context is open the gallery has more people, Row 0000 and so on, whose pictures are
        lost."""
        database = await Database.connect(self.dsn, pool_size=1)
        try:
            await database.execute(
                """
                INSERT INTO celebrities (name, category, image_path)
                SELECT 'Row ' || lpad(number::text, 4, '0'), 'rows', 'celebrities/none/' || number || '.jpg'
                FROM generate_series(0, $1 - 1) AS number
                """,
                count,
            )
            yield
        finally:
            await database.execute("DELETE FROM celebrities WHERE category = 'rows'")
            await database.execute("DELETE FROM people WHERE category = 'rows'")
            await database.close()

    async def fail_waiting_jobs(self, message: str) -> None:
        """Match jobs that wait fail, as if a worker had tried them."""
        database = await Database.connect(self.dsn, pool_size=1)
        try:
            await database.execute(
                """
                UPDATE match_jobs
                SET status = 'failed', attempts = 1, error_message = $1, completed_at = now()
                WHERE status = 'pending'
                """,
                message,
            )
        finally:
            await database.close()


@pytest.fixture
def site(request: pytest.FixtureRequest) -> ConsoleSite:
    """The running stack, or with `--without-ray` the API in this process, which starts in a second."""
    without_ray = request.config.getoption("--without-ray")
    found: ConsoleSite = request.getfixturevalue("site_in_process" if without_ray else "site_on_stack")
    return found


@pytest.fixture(scope="session")
def site_on_stack(service: Service) -> ConsoleSite:
    """The stack that all tests over HTTP share, with its gallery."""

    async def link() -> str:
        printed = await asyncio.to_thread(service.run, "console")
        return next(word for word in printed.split() if "#code=" in word)

    async def token(email: str) -> str:
        return (await asyncio.to_thread(service.run, "token", "create", "--email", email)).strip()

    return ConsoleSite(service.status["url"], link, token, service.status["database_url"])


@pytest_asyncio.fixture(loop_scope="session")
async def site_in_process(api: Api, pipeline: LocalPipeline, tmp_path: Path) -> AsyncIterator[ConsoleSite]:
    """The API on a port, on a database of the test's own, with the gallery of the stack."""
    await _fill(api, pipeline, make_gallery(tmp_path / "gallery"))
    async with serving(api.app) as server:

        async def link() -> str:
            return f"{server.http}/console/#code={await api.services.db.console_sessions.make_code()}"

        async def token(email: str) -> str:
            return api.user(email).headers["Authorization"].removeprefix("Bearer ")

        async with _working(api, pipeline):
            yield ConsoleSite(
                server.http, link, token, api.services.settings.required_database_url.get_secret_value()
            )


@asynccontextmanager
async def _working(api: Api, pipeline: LocalPipeline) -> AsyncIterator[None]:
    """A worker on match jobs, as the Matcher of a stack."""
    services = api.services
    worker = MatchWorker(
        services.database, services.storage, LocalFaces(pipeline), pipeline.model, services.settings
    )
    working = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait([working])


async def _fill(api: Api, pipeline: LocalPipeline, folder: Path) -> None:
    rows = []
    for entry in json.loads((folder / "metadata.json").read_text())["celebrities"]:
        data = (folder / entry["category"] / entry["filename"]).read_bytes()
        _, faces = pipeline.analyze_photo(data, 1)
        picture = pipeline.finder.render(data)
        row_id = uuid4()
        key = full_key(f"celebrities/{row_id}")
        await put_picture(api.services.storage, key, picture)
        columns = {
            "id": row_id,
            "bio": None,
            "seen_gender": None,
            "image_path": key,
            "image_hash": row_id.hex,
        }
        described = {name: entry[name] for name in ("name", "category", "gender")}
        rows.append(
            CelebrityRow.of(faces[0], pipeline.model.digest, scale=picture.scale, **columns, **described)
        )
    await Celebrities(api.owner).copy_in(rows)


@pytest_asyncio.fixture(loop_scope="session")
async def watched(context: BrowserContext, site: ConsoleSite) -> AsyncIterator[BrowserContext]:
    """A context whose pages must report no error and ask nobody but the service."""
    context.set_default_timeout(PATIENCE_S * 1000)
    watch = Watch(context, site.url)
    yield context
    assert watch.wrong == []


@pytest_asyncio.fixture(loop_scope="session")
async def console_page(watched: BrowserContext, site: ConsoleSite) -> Page:
    """The console's first page, signed in by a link, which this process makes faster than the command."""
    page = await watched.new_page()
    await page.goto(await asyncio.to_thread(console_link, site.url, site.dsn))
    await page.get_by_role("button", name="Session").wait_for()
    return page


async def check_axe(page: Page, part: str = ":root") -> None:
    """The page, or a part of it, has no serious accessibility problem, in light or dark."""
    await page.evaluate((PACKAGES / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    for scheme in ("light", "dark"):
        await _show(page, scheme)
        assert await _grave_violations(page, scheme, part) == []


async def _grave_violations(page: Page, scheme: str, part: str) -> list[str]:
    violations = (await page.evaluate("part => axe.run(part)", part))["violations"]
    return [
        f"{scheme}: {each['id']}: {each['help']}: "
        f"{[(node['html'], node['failureSummary']) for node in each['nodes']]}"
        for each in violations
        if each["impact"] in {"serious", "critical"}
    ]


async def expect_no_sideways_scroll(page: Page) -> None:
    """Fails where the page stays wider than the window."""
    # In the page, because `wait_for_function` is what its policy refuses. React hears of a new width later.
    await page.evaluate(
        """() => new Promise((resolve, reject) => {
            const root = document.documentElement;
            const late = setTimeout(() => reject(`${root.scrollWidth} wide in ${innerWidth}`), 30_000);
            const look = () => root.scrollWidth <= innerWidth
                ? resolve(clearTimeout(late)) : requestAnimationFrame(look);
            look();
        })"""
    )


class Look:
    """Writes what a page looks like, in light and dark, at a desk and on a phone."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def __call__(self, page: Page, name: str) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        before = page.viewport_size
        for scheme in ("light", "dark"):
            await _show(page, scheme)
            for width, size in (("desk", DESK), ("phone", PHONE)):
                await page.set_viewport_size(size)  # type: ignore[arg-type]
                await page.evaluate("window.scrollTo(0, 0)")
                await expect_no_sideways_scroll(page)
                await page.screenshot(path=self._folder / f"{name}-{width}-{scheme}.png", full_page=True)
        if before is not None:
            await page.set_viewport_size(before)


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Iterator[Look]:
    """Call it with a page and a name; it does something where `--look FOLDER` is given."""
    yield Look(request.config.getoption("--look"))


async def _show(page: Page, scheme: str) -> None:
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.locator(f":root[data-mantine-color-scheme='{scheme}']").wait_for()
    await page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
