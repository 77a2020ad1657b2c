"""The console's page on the rules of matching: tried, saved, and applied to what is stored."""

from __future__ import annotations

import re
import uuid

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.browser import PHONE, ConsoleSite, Look, check_axe, expect_drawn, expect_no_sideways_scroll
from tests.support.photos import BIDEN, OBAMA_2

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def page(console_page: Page, site: ConsoleSite) -> Page:
    """The page, once two users' photos are matched with each other and with celebrities."""
    school = f"school-{uuid.uuid4().hex[:6]}.edu"
    await site.upload(f"ada@{school}", "female", OBAMA_2)
    await site.upload(f"bob@{school}", "male", BIDEN)
    await console_page.get_by_role("link", name="Matching").click()
    await expect(console_page.get_by_role("slider")).to_have_count(7)
    return console_page


async def test_other_rules_are_tried_saved_and_applied(page: Page, look: Look) -> None:
    await expect(page.get_by_text(re.compile(r"^0 of \d+ stored matches are below"))).to_be_visible()
    await expect(page.get_by_text("These rules are in use")).to_be_visible()
    await check_axe(page)
    await look(page, "matching")

    age = page.get_by_role("slider", name="Weight of Age")
    await page.get_by_role("button", name="Lock Face").click()
    await age.press("End")
    await expect(age).to_have_attribute("aria-valuetext", "80%")
    for name, weight in (("Face", "20%"), ("Expression", "0%")):
        await expect(page.get_by_role("group", name=name, exact=True)).to_contain_text(weight)
    for _ in range(30):
        await age.press("ArrowLeft")
    threshold = page.get_by_role("slider", name="Threshold")
    preview = page.get_by_role("region", name="What would change")
    await preview.get_by_role("tab", name="Celebrities").click()
    await expect(preview.locator("li img").first).to_be_visible()
    await look(page, "matching-moved")

    await threshold.press("End")
    vanish = preview.get_by_role("region", name="Vanish")
    await expect(vanish.locator("li img").first).to_be_visible()
    await expect_drawn(vanish.locator("li img").first)
    await expect(vanish.get_by_text("No longer at place").first).to_be_visible()
    await check_axe(page)
    await look(page, "matching-tried")

    await page.get_by_role("button", name="Reset").click()
    await expect(preview.get_by_text("These rules are in use")).to_be_visible()
    await threshold.press("ArrowLeft")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved. New matches")).to_be_visible()
    rescoring = page.get_by_role("region", name="Stored matches")
    await rescoring.get_by_role("button", name="Rescore matches").click()
    await check_axe(page)
    await page.get_by_role("dialog").get_by_role("button", name="Rescore matches").click()
    await expect(rescoring.get_by_text("Last done")).to_be_visible()
    await threshold.press("ArrowRight")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("button", name="Save")).to_be_disabled()


async def test_it_fits_a_phone_in_german(page: Page, look: Look) -> None:
    """German words are longer."""
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.get_by_role("combobox", name="Language").select_option("de")
    await page.get_by_role("slider", name="Schwelle").press("End")
    await expect(page.get_by_text("Nicht mehr auf Platz").first).to_be_visible()
    await expect_no_sideways_scroll(page)
    await look(page, "matching-german")
