"""How the console's files and the pages of documentation are served."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from semblance.settings import Settings
from serve_app.api.pages import NONCE, ConsoleFiles
from tests.support.api import Api

SCRIPT = b"console.log('hello');"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(f'<meta name="style-nonce" content="{NONCE}"><div id="root"></div>')
    (folder / "assets" / "app-1a2b.js").write_bytes(SCRIPT)
    (folder / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "icon.svg").write_text("<svg/>")
    return folder


@pytest.fixture
async def pages(api: Api, bundle: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The bundle, as the API serves it."""
    app = FastAPI()
    app.state.services = api.services
    app.mount("/console", ConsoleFiles(Settings(public_url="https://faces.example/app"), bundle))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", trust_env=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/console"])
async def test_the_way_to_the_console(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    assert answer.status_code == 307
    assert answer.headers["location"] == "console/"
    assert answer.next_request is not None
    assert answer.next_request.url.path == "/console/"


@pytest.mark.parametrize("path", ["/console/", "/console/gallery/1", "/console/index.html"])
async def test_pages_are_the_index_with_a_nonce_of_each_answer(pages: httpx.AsyncClient, path: str) -> None:
    first, second = await pages.get(path), await pages.get(path)
    assert first.status_code == 200
    nonces = [re.findall(r'content="([A-Za-z0-9_-]{20,})"', answer.text) for answer in (first, second)]
    assert nonces[0] != nonces[1]
    assert f"'nonce-{nonces[0][0]}'" in first.headers["content-security-policy"]
    assert first.headers["cache-control"] == "no-cache"


async def test_the_policy_lets_nothing_in(pages: httpx.AsyncClient) -> None:
    answer = await pages.get("/console/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    nonce = policy.pop("style-src")
    assert re.fullmatch(r"'self' 'nonce-[A-Za-z0-9_-]+'", nonce)
    assert policy == {
        "default-src": "'self'",
        "img-src": "'self' blob: data: https://faces.example",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "camera=(self)" in answer.headers["permissions-policy"]


async def test_files_with_their_content_in_the_name_are_kept_for_ever(pages: httpx.AsyncClient) -> None:
    answer = await pages.get("/console/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert answer.content == SCRIPT
    assert "immutable" in answer.headers["cache-control"]
    assert "content-encoding" not in answer.headers
    icon = await pages.get("/console/icon.svg")
    assert icon.headers["cache-control"] == "no-cache"
    assert icon.headers["content-type"] == "image/svg+xml"
    known = await pages.get("/console/icon.svg", headers={"If-None-Match": icon.headers["etag"]})
    assert known.status_code == 304


async def test_a_compressed_copy_is_sent_to_those_who_take_it(pages: httpx.AsyncClient) -> None:
    answer = await pages.get("/console/assets/app-1a2b.js", headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "javascript" in answer.headers["content-type"]
    assert answer.content == SCRIPT


@pytest.mark.parametrize(
    "path",
    [
        "/console/../secret.txt", "/console/%2e%2e/secret.txt", "/console/..%2fsecret.txt",
        "/console/assets/../../secret.txt", "/console//secret.txt", "/console/%5c..%5csecret.txt",
        "/console/assets/%00", "/console/link.txt", "/console/assets/link.txt", "/console/" + "x" * 5000,
    ],
)  # fmt: skip
async def test_nothing_outside_of_the_bundle_is_served(
    pages: httpx.AsyncClient, bundle: Path, path: str
) -> None:
    secret = bundle.parent / "secret.txt"
    secret.write_text("secret")
    for link in (bundle / "link.txt", bundle / "assets" / "link.txt"):
        link.symlink_to(secret)
    answer = await pages.get(path)
    assert answer.status_code in {200, 404}
    assert "secret" not in answer.text.replace("secret.txt", "")


async def test_a_missing_file_is_not_answered_with_the_page(pages: httpx.AsyncClient) -> None:
    """A browser would take it for a script."""
    assert (await pages.get("/console/assets/app-0000.js")).status_code == 404


async def test_pages_are_only_read(pages: httpx.AsyncClient) -> None:
    assert (await pages.post("/console/")).status_code == 405


async def test_without_a_bundle_a_sentence_says_how_to_build_it(api: Api, tmp_path: Path) -> None:
    app = FastAPI()
    app.state.services = api.services
    app.mount("/console", ConsoleFiles(Settings(), tmp_path / "dist"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", trust_env=False) as client:
        answer = await client.get("/console/")
        assert answer.status_code == 503
        assert "make console" in answer.text
        # Built later.
        (tmp_path / "dist").mkdir()
        (tmp_path / "dist" / "index.html").write_text("built")
        assert (await client.get("/console/")).text == "built"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_pages_of_documentation_run_their_own_scripts_only(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    policy = answer.headers["content-security-policy"]
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "frame-ancestors 'none'" in policy
    [scripts_from] = [part for part in policy.split(";") if "script-src" in part]
    assert "unsafe" not in scripts_from
    assert re.findall(r'(?:src|href)="(?:https?:)?//', answer.text) == []
