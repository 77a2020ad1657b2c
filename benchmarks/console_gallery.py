"""The console's gallery with many pictures, as somebody in a browser waits for it.

A gallery is filled with variations of one photo, each a person. A headless Chromium opens the page, searches,
and scrolls from the first person to the last, a window at a time.

    python -m benchmarks.console_gallery --people 10000

The bounds are those of an answer that feels immediate: what is shown within a second keeps the train of
thought, and a tenth of it feels like the user's own doing (Nielsen, "Response Times", 1993).
"""

from __future__ import annotations

import asyncio
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
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from benchmarks.reads import running_process
from db.console_sessions import ConsoleSessions
from db.pool import Database
from ops.commands.photos import ASTRONAUT, package_photo
from semblance.storage.pictures import full_key, keys_of
from tools.chromium import CHROMIUM, NO_CHROMIUM, QUIET

FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hal", "Ida", "Jon", "Kim", "Leo", "Mia", "Ned")
LAST = ("Adams", "Brandt", "Costa", "Dietz", "Evans", "Fuchs", "Grau", "Hill", "Ito", "Jung", "Khan", "Lind")

SIDE = 256
"""Long side of a thumbnail, in pixels."""

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

SCROLL = """people => new Promise(resolve => {
    const found = {frames: [], holes: 0, unseen: 0};
    let before = performance.now();
    let late = 0;
    const step = () => {
        const now = performance.now();
        found.frames.push(now - before);
        before = now;
        const grid = document.querySelector('[role=list]');
        const box = grid.getBoundingClientRect();
        const cells = [...grid.querySelectorAll('[role=listitem]')];
        const boxes = cells.map(cell => cell.getBoundingClientRect());
        const top = Math.max(box.top, 0);
        const bottom = Math.min(box.bottom, innerHeight);
        const pitch = boxes.length > 0 ? boxes[0].height + 12 : 1;
        // In the middle of every row of the window something must stand.
        for (let y = top + pitch / 2; y < bottom - pitch; y += pitch) {
            const filled = boxes.some(each => each.top <= y + pitch / 2 && each.bottom >= y - pitch / 2);
            if (!filled) found.holes += 1;
        }
        const last = Math.max(0, ...cells.map(cell => Number(cell.getAttribute('aria-posinset'))));
        if (last >= people) return resolve(found);
        const atEnd = scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
        if (atEnd) {
            // The next page is on its way.
            late += 1;
            if (late > 6000) return resolve({...found, unseen: people - last});
        } else {
            scrollBy(0, innerHeight);
        }
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
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
    """People, each with a picture in the store."""
    random = np.random.default_rng(1)
    with Image.open(package_photo(*ASTRONAUT)) as opened:
        photo = opened.convert("RGB")
    rows = []
    for number, picture in enumerate(_variations(photo, people, random)):
        row_id = UUID(int=number, version=4)
        key = full_key(f"celebrities/{row_id}")
        for stored in keys_of(key):
            target = home / "objects" / stored
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(picture)
        name = f"{FIRST[number % len(FIRST)]} {LAST[number // len(FIRST) % len(LAST)]} {number}"
        rows.append((row_id, name, f"category {number % 20}", key, f"{number:032x}", float(random.random())))
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.executemany(
                """
                INSERT INTO celebrities (id, name, category, image_path, image_hash, quality_score)
                VALUES (%s, %s, %s, %s, %s, %s)
                """,
                rows,
            )
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
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
        page = context.new_page()
        page.goto(link)
        page.get_by_role("button", name="Session").wait_for()
        code = page.evaluate(CODE_BYTES)
        openings = []
        for _ in range(rounds):
            page.close()
            page = context.new_page()
            page.goto(gallery, wait_until="commit")
            openings.append(page.evaluate(FIRST_PICTURES))
        shifts = page.evaluate(SHIFTS)
        searches = [_search(page, number) for number in range(rounds)]
        page.goto(gallery)
        page.evaluate(FIRST_PICTURES)
        began = time.perf_counter()
        scrolled = page.evaluate(SCROLL, people)
        took = time.perf_counter() - began
        shifts += page.evaluate(SHIFTS)
        browser.close()
    frames = scrolled["frames"][1:]
    return [
        Figure("code of the first page, compressed", code / 1000, "kB", 300),
        Figure("opened, with the first pictures", statistics.median(openings), "ms", 1000),
        Figure("found by name, from the last key on", statistics.median(searches), "ms", 300),
        Figure("layout shift", shifts, "", 0.01),
        Figure("rows missing while scrolling", scrolled["holes"], "", 1),
        Figure("people never reached", scrolled["unseen"], "", 1),
        Figure("a frame while scrolling, p50", float(np.percentile(frames, 50)), "ms", None),
        Figure("a frame while scrolling, p95", float(np.percentile(frames, 95)), "ms", None),
        Figure("from the first to the last person", took, "s", None),
    ]


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
