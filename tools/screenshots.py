"""The README's pictures of the console, taken of a stack that is started for them.

python -m tools.screenshots     write docs/screenshots/

All photos are variations of one that scikit-image ships: NASA's of the astronaut Eileen Collins, which is in
the public domain.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import typer
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from playwright.sync_api import Page, expect, sync_playwright

from ops.commands.photos import ASTRONAUT, package_photo
from ops.stack.ports import free_ports
from tools import CHECKOUT
from tools.chromium import CHROMIUM, NO_CHROMIUM, QUIET

FOLDER = CHECKOUT / "docs" / "screenshots"
MOST_BYTES = 200_000
SCALE = 1.5
"""Pixels of a picture for one of the page, so that words stay sharp."""

_SEMBLANCE = Path(sys.executable).with_name("semblance")

Vary = Callable[[Image.Image], Image.Image]


def _stretched(wide: float, high: float) -> Vary:
    return lambda photo: photo.resize((round(wide * photo.width), round(high * photo.height)))


VARIATIONS: dict[str, Vary] = {
    "Collins, tilted": lambda photo: photo.rotate(15, Image.Resampling.BICUBIC).crop((60, 60, 452, 452)),
    "Collins, mirrored": ImageOps.mirror,
    "Collins in sepia": lambda photo: ImageOps.colorize(ImageOps.grayscale(photo), "#2b1a0e", "#f6e3c5"),
    "Collins at dusk": lambda photo: ImageEnhance.Brightness(photo).enhance(0.4),
    "Collins as a poster": lambda photo: ImageOps.posterize(photo, 2),
    "Collins, narrow": _stretched(0.72, 1),
    "Collins, wide": _stretched(1.35, 1),
    "Collins in glare": lambda photo: ImageEnhance.Contrast(photo).enhance(2.2),
    "Collins from afar": lambda photo: photo.resize((102, 102)).resize((512, 512)),
    "Collins out of focus": lambda photo: photo.filter(ImageFilter.GaussianBlur(3)),
}
"""The gallery: each of its people and how the photo becomes theirs."""

USERS = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hal", "Ida", "Jon")
"""Women and men by turns. Each has the photo of a variation."""


@dataclass(frozen=True, slots=True)
class _Stack:
    home: Path
    port: int

    def run(self, *arguments: str) -> str:
        """Run a `semblance` command on it. Raises CalledProcessError."""
        environment = {**os.environ, "SEMBLANCE_HOME": str(self.home), "SEMBLANCE_PORT": str(self.port)}
        done = subprocess.run([_SEMBLANCE, *arguments], env=environment, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    def upload(self, name: str, gender: str, photo: bytes) -> None:
        """A photo of a user."""
        token = self.run("token", "create", "--email", f"{name.lower()}@example.edu").strip()
        headers = {"Authorization": f"Bearer {token}"}
        base_url = f"http://127.0.0.1:{self.port}"
        with httpx.Client(base_url=base_url, headers=headers, timeout=60, trust_env=False) as client:
            client.patch("/api/auth/me", json={"name": name, "gender": gender}).raise_for_status()
            client.post("/api/faces", files={"file": photo}).raise_for_status()

    def link(self) -> str:
        """A link that signs in to the console."""
        return next(word for word in self.run("console").split() if "#code=" in word)


@contextmanager
def _running() -> Iterator[_Stack]:
    with TemporaryDirectory(prefix="semblance-") as folder:
        home = Path(folder)
        stack = _Stack(home / "home", free_ports({"service": ("127.0.0.1", 0)})["service"])
        try:
            stack.run("up", "--detach")
            _fill(stack, home / "gallery")
            yield stack
        finally:
            stack.run("down")


def _fill(stack: _Stack, gallery: Path) -> None:
    """A gallery of the variations, and a user of each."""
    with Image.open(package_photo(*ASTRONAUT)) as image:
        photo = image.convert("RGB")
    (gallery / "astronauts").mkdir(parents=True)
    entries = []
    for number, (name, vary) in enumerate(VARIATIONS.items()):
        varied = BytesIO()
        vary(photo).save(varied, "JPEG", quality=92)
        filename = f"{number}.jpg"
        (gallery / "astronauts" / filename).write_bytes(varied.getvalue())
        entries.append({"filename": filename, "name": name, "category": "astronauts", "gender": "female"})
    (gallery / "metadata.json").write_text(json.dumps({"celebrities": entries}))
    stack.run("ingest", str(gallery))
    for number, name in enumerate(USERS):
        gender = "male" if number % 2 else "female"
        stack.upload(name, gender, (gallery / "astronauts" / f"{number}.jpg").read_bytes())


def _take_try(page: Page) -> None:
    """A photo, its lookalikes, and why one of them is alike."""
    upper = BytesIO()
    with Image.open(package_photo(*ASTRONAUT)) as photo:
        photo.crop((0, 0, 512, 300)).save(upper, "PNG")
    page.locator("input[type=file][multiple]").set_input_files(
        {"name": "collins.png", "mimeType": "image/png", "buffer": upper.getvalue()}
    )
    lookalikes = page.get_by_role("region", name="Who looks like this face").get_by_role("button")
    lookalikes.nth(2).click()
    expect(page.get_by_role("region", name="Why")).to_be_visible()
    page.get_by_role("switch", name="Landmarks").press("Space")
    expect(page.locator("main circle")).to_have_count(68)


def _take_matching(page: Page) -> None:
    """Other rules, and what they would change."""
    page.get_by_role("button", name="Dark colours").click()
    page.get_by_role("link", name="Matching").click()
    for _ in range(25):
        page.get_by_role("slider", name="Weight of Age").press("ArrowRight")
    for _ in range(36):
        page.get_by_role("slider", name="Threshold").press("ArrowRight")
    expect(page.get_by_role("region", name="What would change").locator("li img").first).to_be_visible()


PICTURES: dict[str, tuple[Callable[[Page], None], int]] = {
    "try": (_take_try, 1345),
    "matching": (_take_matching, 1000),
}
"""How each page gets what it shows, and how high the picture is, in pixels of the page."""


def _save(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => 0)))")
    page.wait_for_timeout(500)
    target = FOLDER / f"{name}.webp"
    with Image.open(BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").save(target, "WEBP", quality=82, method=6)
    size = target.stat().st_size
    typer.echo(f"{target.relative_to(CHECKOUT)}: {size:,} bytes")
    if size > MOST_BYTES:
        raise typer.Exit(1)


def take() -> None:
    """Take all pictures again."""
    if CHROMIUM is None:
        typer.echo(NO_CHROMIUM, err=True)
        raise typer.Exit(1)
    FOLDER.mkdir(exist_ok=True)
    began = time.monotonic()
    with _running() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
        for name, (prepare, height) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": 1280, "height": height},
                device_scale_factor=SCALE,
                locale="en-GB",
                reduced_motion="reduce",
            )
            page.goto(stack.link())
            prepare(page)
            _save(page, name)
            page.close()
        browser.close()
    typer.echo(f"Done in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    typer.run(take)
