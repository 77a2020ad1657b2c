"""The page that tries a photo, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import Look, check_axe
from tests.support.photos import GROUP, NO_FACE, OBAMA_2

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PICK = "input[type=file]:not([capture])"


async def test_a_photo_shows_its_face_and_who_looks_like_it(
    console_page: Page, look: Look, request: pytest.FixtureRequest
) -> None:
    await console_page.locator(PICK).set_input_files(OBAMA_2)
    await expect(console_page.get_by_text("Face 1")).to_be_visible(timeout=30_000)
    if request.config.getoption("--without-ray"):
        # The gallery of the API in this process is empty.
        await expect(console_page.get_by_text("The gallery is empty")).to_be_visible()
    else:
        nearest = console_page.get_by_role("listitem").first
        await expect(nearest).to_contain_text("Barack Obama")
        # Waits until the picture has come, and fails where it cannot be shown.
        await nearest.locator("img").evaluate("image => image.decode()")
    await check_axe(console_page)
    await look(console_page, "try")


async def test_every_face_of_a_group_is_described(console_page: Page) -> None:
    await console_page.locator(PICK).set_input_files(GROUP)
    for number in range(1, 7):
        await expect(console_page.get_by_text(f"Face {number}", exact=True)).to_be_visible(timeout=30_000)


async def test_a_photo_without_a_face_says_what_to_do(console_page: Page, look: Look) -> None:
    await console_page.locator(PICK).set_input_files(NO_FACE)
    await expect(console_page.get_by_text("No face found")).to_be_visible(timeout=30_000)
    await check_axe(console_page)
    await look(console_page, "no-face")
