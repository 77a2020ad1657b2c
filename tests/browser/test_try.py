"""The console's first page: a photo in, its faces and lookalikes out; two photos compared."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import BrowserContext, Page, expect

from tests.support.browser import PHONE, ConsoleSite, Look, check_axe, expect_drawn, expect_no_sideways_scroll
from tests.support.photos import BIDEN, GROUP, NO_FACE, OBAMA, OBAMA_2, OBAMA_3

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def drop(page: Page, *photos: Path | dict[str, object]) -> None:
    """Give photos to the first place that takes some."""
    await page.locator("input[type=file][multiple]").first.set_input_files(photos)  # type: ignore[arg-type]


async def test_a_photo_says_who_looks_like_it_and_why(console_page: Page, look: Look) -> None:
    page = console_page
    await expect(page.get_by_role("heading", name="Try it")).to_be_visible()
    await check_axe(page)
    await look(page, "try-empty")
    await drop(page, OBAMA_2)
    best = page.get_by_role("region", name="Who looks like this face").get_by_role("button").first
    await expect(best).to_contain_text("Barack Obama")
    await expect(page.get_by_role("heading", name="The face", exact=True)).to_be_visible()
    await expect(page.get_by_text("male", exact=True)).to_be_visible()
    # A long name widens no card.
    await best.locator("span").first.evaluate("name => { name.textContent = 'Obama '.repeat(9) }")
    strip = page.get_by_role("region", name="Who looks like this face")
    widths = await strip.get_by_role("listitem").evaluate_all("all => all.map(card => card.offsetWidth)")
    assert len(set(widths)) == 1
    await best.click()
    why = page.get_by_role("region", name="Why Barack Obama?")
    await expect(why.get_by_role("img", name="Barack Obama")).to_be_visible()
    await expect(why.get_by_text("weight 20%").first).to_be_visible()
    await expect(why.get_by_text("weight 15%")).to_have_count(4)
    await page.get_by_role("switch", name="Landmarks").press("Space")
    await expect(page.locator("main circle")).to_have_count(68)
    await check_axe(page)
    await look(page, "try-photo")


async def test_the_request_can_be_copied(console_page: Page, look: Look) -> None:
    page = console_page
    await drop(page, OBAMA_3)
    await page.get_by_role("button", name="Request and answer").click()
    drawer = page.get_by_role("dialog", name="Request and answer")
    await expect(drawer.get_by_text("-F 'file=@obama3.jpg'")).to_be_visible()
    await drawer.get_by_role("tab", name="Python").click()
    await expect(drawer.get_by_text("import httpx")).to_be_visible()
    await drawer.get_by_role("tab", name="Answer").click()
    await expect(drawer.get_by_text("512 in all").first).to_be_visible()
    await check_axe(page)
    await look(page, "try-request")
    await page.keyboard.press("Escape")
    await expect(drawer).to_be_hidden()


async def test_each_face_of_a_group_has_its_own_lookalikes(console_page: Page, look: Look) -> None:
    """By keyboard: the boxes are buttons."""
    page = console_page
    await drop(page, GROUP)
    await expect(page.get_by_text("6 faces found")).to_be_visible()
    named = set()
    for number in range(1, 7):
        box = page.get_by_role("button", name=f"Face {number}", exact=True)
        await box.focus()
        await page.keyboard.press("Enter")
        await expect(box).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_role("heading", name=f"Face {number}", exact=True)).to_be_visible()
        named.add(await page.get_by_role("region", name="Who looks").get_by_role("button").first.inner_text())
    assert len({name.partition("\n")[0] for name in named}) == 6
    await check_axe(page)
    await look(page, "try-group")


async def test_several_photos_have_a_result_or_a_reason_each(console_page: Page, look: Look) -> None:
    page = console_page
    broken = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}
    await drop(page, OBAMA, GROUP, NO_FACE)
    photos = page.get_by_role("region", name="Your photos").get_by_role("button")
    for said in ("1 face", "6 faces", "no face"):
        await expect(photos.filter(has_text=said)).to_have_count(1)
    await photos.filter(has_text="no face").click()
    await expect(page.get_by_text("No face found")).to_be_visible()
    await look(page, "try-several")
    await drop(page, broken)  # type: ignore[arg-type]
    await expect(page.get_by_role("alert")).to_contain_text("not a")


async def test_a_file_that_is_no_photo_is_refused_like_a_broken_one(
    console_page: Page, tmp_path: Path, look: Look
) -> None:
    """Passed over in silence, the last photo would stay as if it were its result."""
    page = console_page
    await drop(page, OBAMA_2)
    await expect(page.get_by_role("button", name="Face 1")).to_be_visible()
    notes = tmp_path / "notes.txt"
    notes.write_text("Ada")
    await drop(page, notes)
    await expect(page.get_by_role("alert")).to_contain_text("not a readable photo")
    await expect(page.get_by_role("button", name="Face 1")).to_have_count(0)
    await look(page, "try-no-photo")
    await drop(page, OBAMA_2, notes)
    photos = page.get_by_role("region", name="Your photos").get_by_role("button")
    await expect(photos.filter(has_text="notes.txt")).to_have_count(1)


async def test_two_photos_are_compared(console_page: Page, look: Look) -> None:
    page = console_page
    await page.get_by_role("tab", name="Compare two photos").click()
    await check_axe(page)
    await drop(page, OBAMA)
    await drop(page, OBAMA_2)
    await expect(page.get_by_role("heading", name="The same person")).to_be_visible()
    await expect(page.get_by_text("reaches the threshold")).to_be_visible()
    await check_axe(page)
    await look(page, "try-compare")
    await page.get_by_role("button", name="Compare two others").click()
    await drop(page, OBAMA, BIDEN)
    await expect(page.get_by_role("heading", name="Different people")).to_be_visible()


async def test_a_pasted_photo_is_taken(console_page: Page) -> None:
    page = console_page
    await page.evaluate(
        """async ([data]) => {
            const files = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (digit) => digit.charCodeAt(0));
            files.items.add(new File([bytes], 'pasted.jpg', {type: 'image/jpeg'}));
            document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: files}));
        }""",
        [base64.b64encode(OBAMA.read_bytes()).decode()],
    )
    await expect(page.get_by_role("button", name="Face 1")).to_be_visible()


async def test_a_format_that_browsers_do_not_draw_is_shown(console_page: Page, look: Look) -> None:
    page = console_page
    with Image.open(OBAMA_2) as opened:
        heic = io.BytesIO()
        opened.convert("RGB").save(heic, "HEIF")
    photo: dict[str, object] = {"name": "phone.heic", "mimeType": "image/heic", "buffer": heic.getvalue()}
    await drop(page, photo)
    await expect(page.get_by_role("button", name="Face 1")).to_be_visible()
    shown = page.get_by_role("img", name="Your photo")
    await expect_drawn(shown)
    assert await shown.evaluate("image => Math.max(image.naturalWidth, image.naturalHeight)") <= 1080
    await look(page, "try-heic")
    await page.get_by_role("tab", name="Compare two photos").click()
    await drop(page, photo)
    await drop(page, OBAMA)
    await expect(page.get_by_role("heading", name="The same person")).to_be_visible()
    drawn = page.get_by_role("img", name="First photo").locator("image")
    await expect(drawn).to_have_attribute("href", re.compile("^blob:"))
    await look(page, "try-heic-compare")


async def test_the_camera_takes_a_photo(console_page: Page, look: Look) -> None:
    """Of a test pattern, in which there is no face."""
    page = console_page
    await page.get_by_role("button", name="Take a photo").click()
    take = page.get_by_role("button", name="Take the photo")
    await expect(take).to_be_enabled()
    await check_axe(page)
    await look(page, "try-camera")
    await take.click()
    await expect(page.get_by_text("No face found")).to_be_visible()


async def test_it_fits_a_phone(console_page: Page) -> None:
    page = console_page
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await drop(page, OBAMA_2)
    await page.get_by_role("region", name="Who looks").get_by_role("button").first.click()
    await expect(page.get_by_role("region", name="Why")).to_be_visible()
    await expect_no_sideways_scroll(page)


@pytest_asyncio.fixture(loop_scope="session")
async def german_page(watched: BrowserContext, site: ConsoleSite) -> AsyncIterator[Page]:
    page = await watched.new_page()
    await page.add_init_script("localStorage.setItem('semblance.language', 'de')")
    await page.goto(await site.link())
    yield page


async def test_it_speaks_german(german_page: Page) -> None:
    page = german_page
    await expect(page.get_by_role("heading", name="Ausprobieren")).to_be_visible()
    await drop(page, OBAMA_2)
    await expect(page.get_by_role("heading", name="Wer diesem Gesicht ähnlich sieht")).to_be_visible()
    broken: dict[str, object] = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}
    await drop(page, broken)
    refused = page.get_by_role("alert")
    await expect(refused).to_contain_text("Das ist kein Bild, das der Dienst lesen kann.")
    # What the service says more of it is in its own language, and marked as such.
    await expect(refused.locator("[lang=en]")).to_contain_text("not a")
