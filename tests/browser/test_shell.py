"""The frame around the console's pages, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.support.browser import PHONE, ConsoleSite, Look, check_axe, expect_no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_link_signs_in_and_its_code_leaves_the_address(console_page: Page, look: Look) -> None:
    assert "code=" not in console_page.url
    await check_axe(console_page)
    await look(console_page, "shell")


async def test_a_used_link_does_not_sign_in(watched: BrowserContext, site: ConsoleSite, look: Look) -> None:
    link = await site.link()
    first = await watched.new_page()
    await first.goto(link)
    await first.get_by_role("button", name="Session").wait_for()
    await watched.clear_cookies()
    second = await watched.new_page()
    await second.goto(link)
    await expect(second.get_by_text("semblance console", exact=False).first).to_be_visible()
    await expect(second.get_by_role("button", name="Session")).to_have_count(0)
    await check_axe(second)
    await look(second, "sign-in")


async def test_without_motion_a_change_is_there_at_once(console_page: Page) -> None:
    """A transition, however short, would show another height, and other colours, for a frame or two."""
    heights = await console_page.evaluate(
        """() => {
            const box = document.body.appendChild(document.createElement('div'));
            const height = value => (box.style.height = value, getComputedStyle(box).height);
            const found = [height('10px'), height('1000px')];
            box.remove();
            return found;
        }"""
    )
    assert heights == ["10px", "1000px"]


async def test_the_language_changes_at_once(console_page: Page) -> None:
    await console_page.get_by_label("Language").select_option("de")
    await expect(console_page.locator("html")).to_have_attribute("lang", "de")


async def test_a_phone_has_no_sideways_scroll(console_page: Page) -> None:
    await console_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await expect_no_sideways_scroll(console_page)
