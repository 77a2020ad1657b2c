"""The console's gallery with many pictures, as somebody in a browser waits for it.

A gallery is filled with people, each with a picture of their own address and one of 200 contents. A headless
Chromium opens the page, searches, scrolls as a wheel does and as a hand in a hurry does, and jumps to the
middle and to the end.

It scrolls twice. First the page scrolls itself, which says how long its frames take and which cells stay
empty. Then the browser scrolls, without asking the page, as with a wheel or a finger, and what it showed is
looked at: a frame has a hole where a column shows neither a picture nor a placeholder for one.

    python -m benchmarks.console_gallery --people 100000

The bounds are those of an answer that feels immediate: what is shown within a second keeps the train of
thought, and a tenth of it feels like the user's own doing (Nielsen, "Response Times", 1993).
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import numpy as np
import psycopg
import typer
from PIL import Image, ImageEnhance
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from benchmarks.reads import running_process
from db.console_sessions import ConsoleSessions
from db.pool import Database
from ops.commands.photos import ASTRONAUT, package_photo
from semblance.storage.pictures import full_key, keys_of
from serve_app.api.pages import BUNDLE
from tools.chromium import CHROMIUM, NO_CHROMIUM, QUIET

FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hal", "Ida", "Jon", "Kim", "Leo", "Mia", "Ned")
LAST = ("Adams", "Brandt", "Costa", "Dietz", "Evans", "Fuchs", "Grau", "Hill", "Ito", "Jung", "Khan", "Lind")

CONTENTS = 200
"""Different pictures."""

SIDE = 256
"""Long side of a thumbnail, in pixels."""

SPEEDS = {"by wheel": 2_000, "in a hurry": 20_000}
"""Pixels a second: two windows of 900, and twenty."""

SCROLLED_S = 5
"""How long each takes, in seconds."""

WINDOW: ViewportSize = {"width": 1440, "height": 900}

HEADER_PX = 60
"""What covers the top of the window."""

HOLE_PX = 130
"""Bare page above one another that nothing explains: a caption and two gaps are 76 pixels."""

BARE = 247
"""The page is white, a placeholder at most 239; between them is what the compression of frames adds."""

FIRST_PICTURES = """() => new Promise(resolve => {
    const look = () => {
        const pictures = [...document.querySelectorAll('[role=listitem] img')].slice(0, 6);
        const shown = pictures.length > 0 && pictures.every(each => each.complete && each.naturalWidth);
        return shown ? resolve(performance.now()) : requestAnimationFrame(look);
    };
    look();
})"""

SEARCH = """([text, expected]) => new Promise(resolve => {
    const field = document.querySelector('input[type=search]');
    const began = performance.now();
    const write = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
    write.call(field, text);
    field.dispatchEvent(new Event('input', {bubbles: true}));
    const look = () => {
        const names = [...document.querySelectorAll('[role=listitem] a')].map(each => each.textContent);
        const done = names.length > 0 && names.every(name => name.includes(expected));
        return done ? resolve(performance.now() - began) : requestAnimationFrame(look);
    };
    look();
})"""

# Every frame moves as far as its time says, so that slow frames make the way no shorter. A cell is late where
# it is in the window for a second and nobody stands in it.
SCROLL = """([speed, seconds]) => new Promise(resolve => {
    const found = {frames: [], longTasks: 0, late: 0};
    const observer = new PerformanceObserver(list => { found.longTasks += list.getEntries().length; });
    observer.observe({type: 'longtask'});
    const since = new Map();
    const began = performance.now();
    let before = began;
    const step = now => {
        found.frames.push(now - before);
        scrollBy(0, speed * (now - before) / 1000);
        before = now;
        const cells = [...document.querySelectorAll('[role=listitem]')].filter(cell => {
            const box = cell.getBoundingClientRect();
            return box.bottom > 0 && box.top < innerHeight;
        });
        for (const cell of cells) {
            const place = cell.getAttribute('aria-posinset');
            if (cell.querySelector('a')) { since.delete(place); continue; }
            if (!since.has(place)) since.set(place, now);
            else if (now - since.get(place) > 1000) { found.late += 1; since.set(place, Infinity); }
        }
        if (now - began < 1000 * seconds) return requestAnimationFrame(step);
        observer.disconnect();
        resolve(found);
    };
    requestAnimationFrame(now => { before = now; requestAnimationFrame(step); });
})"""

# Where the pictures of a row have their middle, in pixels from the left.
COLUMNS = """() => [...new Set([...document.querySelectorAll('[role=listitem] img')].map(picture => {
    const box = picture.getBoundingClientRect();
    return Math.round(box.left + box.width / 2);
}))]"""

# The last row may be shorter, and what is beside it is bare.
TO_THE_LAST_ROWS = "() => document.body.scrollHeight - scrollY - 2 * innerHeight"

BELOW_THE_HEADING = "() => scrollTo(0, document.querySelector('[role=list]').offsetTop)"

TO_THE_MIDDLE = "() => { scrollTo(0, document.body.scrollHeight / 2); return performance.now(); }"

SETTLED = """([from, place]) => new Promise(resolve => {
    const look = () => {
        const cells = [...document.querySelectorAll('[role=listitem]')].filter(cell => {
            const box = cell.getBoundingClientRect();
            return box.bottom > 0 && box.top < innerHeight;
        });
        const pictures = cells.map(cell => cell.querySelector('img'));
        const there = cells.some(cell => Number(cell.getAttribute('aria-posinset')) === place);
        const done = there && pictures.every(each => each?.complete && each.naturalWidth);
        return done ? resolve(performance.now() - from) : requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""

SHIFTS = """() => new Promise(resolve => {
    let sum = 0;
    new PerformanceObserver(list => {
        for (const each of list.getEntries()) if (!each.hadRecentInput) sum += each.value;
    }).observe({type: 'layout-shift', buffered: true});
    setTimeout(() => resolve(sum), 200);
})"""

CODE_BYTES = """() => performance.getEntriesByType('resource')
    .filter(each => /[.](js|css)$/.test(new URL(each.name).pathname))
    .reduce((sum, each) => sum + each.encodedBodySize, 0)"""


@dataclass(frozen=True, slots=True)
class Figure:
    """What somebody waits for. bound: what it should stay under; None: no bound."""

    name: str
    value: float
    unit: str
    bound: float | None


def main(
    people: Annotated[int, typer.Option(min=100, help="People, each with one picture.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Openings and searches; their median counts.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, open, search, scroll."""
    console = Console(stderr=as_json)
    if CHROMIUM is None:
        raise SystemExit(NO_CHROMIUM)
    if not (BUNDLE / "index.html").exists():
        raise SystemExit("The console is not built. Run `make console`.")
    load = os.getloadavg()[0]
    with scratch_database() as dsn, tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as home:
        began = time.perf_counter()
        fill(dsn, Path(home), people)
        console.print(f"{people:,} people in {time.perf_counter() - began:.0f} s; load {load:.2f} at start")
        with running_process(dsn, home) as url:
            link = f"{url}/console/#code={asyncio.run(_code(dsn))}"
            figures = measure(link, people, rounds)
    table = Table(title=f"The gallery of {people:,} people in Chromium")
    for heading in ("", "measured", "bound"):
        table.add_column(heading, justify="right" if heading else "left")
    for figure in figures:
        bound = "" if figure.bound is None else f"{figure.bound:g} {figure.unit}"
        table.add_row(figure.name, f"{figure.value:.3g} {figure.unit}", bound)
    console.print(table)
    if as_json:
        found = [asdict(figure) for figure in figures]
        print(json.dumps({"benchmark": "console_gallery", "people": people, "load": load, "figures": found}))


def fill(dsn: str, home: Path, people: int) -> None:
    """People, each with a picture in the store. Few contents are many files, as drawing each would take
    longer than all else; the browser loads and decodes each by its own address."""
    random = np.random.default_rng(1)
    with Image.open(package_photo(*ASTRONAUT)) as opened:
        photo = opened.convert("RGB")
    contents = []
    for number, picture in enumerate(_variations(photo, CONTENTS, random)):
        contents.append(home / f"content-{number}.jpg")
        contents[-1].write_bytes(picture)
    with psycopg.connect(dsn, autocommit=True) as connection:
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY celebrities (id, name, category, image_path, image_hash, quality_score) FROM STDIN"
            ) as copy,
        ):
            for number in range(people):
                row_id = UUID(int=number, version=4)
                key = full_key(f"celebrities/{row_id}")
                for stored in keys_of(key):
                    target = home / "objects" / stored
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.hardlink_to(contents[number % CONTENTS])
                name = f"{FIRST[number % len(FIRST)]} {LAST[number // len(FIRST) % len(LAST)]} {number}"
                quality = float(random.random())
                copy.write_row((row_id, name, f"category {number % 20}", key, f"{number:032x}", quality))
        connection.execute("VACUUM ANALYZE")


def _variations(photo: Image.Image, count: int, random: np.random.Generator) -> Iterator[bytes]:
    for _ in range(count):
        side = int(random.integers(280, 480))
        left, top = (int(random.integers(0, 512 - side)) for _ in range(2))
        varied = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
        varied = ImageEnhance.Color(varied).enhance(float(random.uniform(0.2, 2)))
        stored = io.BytesIO()
        varied.save(stored, "JPEG", quality=80)
        yield stored.getvalue()


def measure(link: str, people: int, rounds: int) -> list[Figure]:
    """What a browser shows that has opened the link before, and whose memory holds the code."""
    gallery = link.partition("#")[0] + "gallery"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
        context = browser.new_context(viewport=WINDOW, locale="en-GB", color_scheme="light")
        page = context.new_page()
        page.goto(link)
        page.get_by_role("button", name="Session").wait_for()
        code = page.evaluate(CODE_BYTES)
        openings = []
        for _ in range(rounds):
            # In the same tab: a new one makes the browser start pages of its own.
            page.goto("about:blank")
            page.goto(gallery, wait_until="commit")
            openings.append(page.evaluate(FIRST_PICTURES))
        shifts = page.evaluate(SHIFTS)
        searches = [_search(page, number) for number in range(rounds)]
        page.goto("about:blank")
        page.goto(gallery)
        page.evaluate(FIRST_PICTURES)
        scrolled = [page.evaluate(SCROLL, [speed, SCROLLED_S]) for speed in SPEEDS.values()]
        shown = [_scroll_as_a_wheel(browser, page, speed) for speed in SPEEDS.values()]
        began = page.evaluate(TO_THE_MIDDLE)
        middle = page.evaluate(SETTLED, [began, people // 2])
        began = page.evaluate("performance.now()")
        page.keyboard.press("End")
        end = page.evaluate(SETTLED, [began, people])
        shifts += page.evaluate(SHIFTS)
        browser.close()
    figures = [
        Figure("code of the first page, compressed", code / 1000, "kB", 300),
        Figure("opened, with the first pictures", statistics.median(openings), "ms", 1000),
        Figure("found by name, from the last key on", statistics.median(searches), "ms", 300),
        Figure("layout shift", shifts, "", 0.01),
        Figure("jumped to the middle, with pictures", middle, "ms", 1000),
        Figure("jumped to the end, with pictures", end, "ms", 1000),
    ]
    for speed, found, seen in zip(SPEEDS, scrolled, shown, strict=True):
        frames = found["frames"]
        figures += [
            Figure(f"{speed}: a frame, p50", float(np.percentile(frames, 50)), "ms", None),
            Figure(f"{speed}: a frame, p95", float(np.percentile(frames, 95)), "ms", None),
            Figure(f"{speed}: tasks over 50 ms a second", found["longTasks"] / SCROLLED_S, "", None),
            Figure(f"{speed}: cells empty for a second", found["late"], "", 1),
            Figure(f"{speed}: frames looked at", seen.frames, "", None),
            Figure(f"{speed}: frames with a hole", seen.with_a_hole, "", 1),
        ]
    return figures


@dataclass(frozen=True, slots=True)
class Shown:
    """Frames that the browser showed."""

    frames: int
    with_a_hole: int


def _scroll_as_a_wheel(browser: Browser, page: Page, speed: int) -> Shown:
    """Scroll from below the heading on, at so many pixels a second."""
    page.evaluate(BELOW_THE_HEADING)
    page.wait_for_timeout(1000)
    columns = page.evaluate(COLUMNS)
    wheel = {
        "x": WINDOW["width"] // 2,
        "y": WINDOW["height"] // 2,
        "yDistance": -min(speed * SCROLLED_S, page.evaluate(TO_THE_LAST_ROWS)),
        "speed": speed,
        "gestureSourceType": "mouse",
        "preventFling": True,
    }
    browser.start_tracing(page=page, screenshots=True, categories=["disabled-by-default-devtools.screenshot"])
    page.context.new_cdp_session(page).send("Input.synthesizeScrollGesture", wheel)
    trace = json.loads(browser.stop_tracing())
    frames = [
        base64.b64decode(event["args"]["snapshot"])
        for event in trace["traceEvents"]
        if event["name"] == "Screenshot"
    ]
    return Shown(len(frames), sum(_has_hole(frame, columns) for frame in frames))


def _has_hole(frame: bytes, columns: list[int]) -> bool:
    """Whether a column of a frame, which is a smaller picture of the window, is bare for HOLE_PX."""
    with Image.open(io.BytesIO(frame)) as opened:
        darkest = np.asarray(opened.convert("RGB")).min(axis=2)
    scale = darkest.shape[1] / WINDOW["width"]
    bare = darkest[int(HEADER_PX * scale) :, [int(column * scale) for column in columns]] >= BARE
    height = int(HOLE_PX * scale)
    windows = np.lib.stride_tricks.sliding_window_view(bare, height, axis=0)
    return bool(windows.all(axis=-1).any())


def _search(page: Page, number: int) -> float:
    name = f"{FIRST[number % len(FIRST)]} {LAST[number % len(LAST)]}"
    return float(page.evaluate(SEARCH, [name.upper(), name]))


async def _code(dsn: str) -> str:
    database = await Database.connect(dsn, pool_size=1)
    try:
        return await ConsoleSessions(database).make_code()
    finally:
        await database.close()


if __name__ == "__main__":
    typer.run(main)
