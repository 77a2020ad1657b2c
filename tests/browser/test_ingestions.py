"""The console's pages that add pictures: an archive is dropped, and what was not taken is decided."""

from __future__ import annotations

import io
import zipfile

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import PHONE, Look, check_axe, expect_drawn, expect_no_sideways_scroll
from tests.support.photos import BIDEN, couple

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def archive() -> bytes:
    """One picture that the gallery has, one with two people, and a text."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("politicians/joe-biden.jpg", BIDEN.read_bytes())
        made.writestr("politicians/two-people.jpg", couple())
        made.writestr("politicians/note.jpg", b"no picture")
    return file.getvalue()


async def test_an_archive_is_added_and_what_was_not_taken_is_decided(
    console_page: Page, look: Look, request: pytest.FixtureRequest
) -> None:
    page = console_page
    await page.get_by_role("link", name="Gallery").click()
    await page.get_by_role("link", name="Add pictures").click()
    await expect(page.get_by_role("heading", name="Added before")).to_be_visible()
    zipped = {"name": "people.zip", "mimeType": "application/zip", "buffer": archive()}
    await page.get_by_label("Drop pictures, folders or a ZIP archive here").set_input_files(zipped)  # type: ignore[arg-type]
    await expect(page.get_by_text("1 file, ")).to_be_visible()
    await check_axe(page)
    await look(page, "ingestions-add")
    await page.get_by_role("button", name="Add to the gallery").click()
    if request.config.getoption("--without-ray"):
        await expect(page.get_by_role("alert")).to_contain_text("without Ray")
        return

    await expect(page.get_by_role("heading", name="Uploaded files")).to_be_visible()
    await expect(page.get_by_text("To be decided")).to_be_visible()
    await expect(page.get_by_text("1 was there before · 2 not taken")).to_be_visible()
    refused = page.get_by_role("list", name="Not taken").get_by_role("listitem")
    two = refused.filter(has_text="Two People")
    await expect(two).to_contain_text("Several faces are of similar size.")
    await expect_drawn(two.locator("img"))
    await expect(two.get_by_role("button", name="Take largest face: Two People")).to_be_visible()
    await check_axe(page)
    await look(page, "ingestions-review")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.get_by_role("combobox", name="Language").select_option("de")
    await expect(page.get_by_text("Mehrere Gesichter sind ähnlich groß.").last).to_be_visible()
    await expect_no_sideways_scroll(page)
    await look(page, "ingestions-german")
    await page.get_by_role("combobox", name="Sprache").select_option("en")

    await two.get_by_role("button", name="Discard: Two People").press("Enter")
    await expect(refused).to_have_count(1)
    await page.get_by_role("combobox", name="Reason").select_option("unreadable")
    await page.get_by_role("button", name="Discard it").click()
    await page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    await expect(page.get_by_text("Everything is settled")).to_be_visible()
    await page.get_by_role("link", name="Add pictures").click()
    row = page.get_by_role("table", name="Added before").get_by_role("row").nth(1)
    await expect(row).to_contain_text("Done")
