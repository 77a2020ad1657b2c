"""The console's page on the people of the app: found, kept out and deleted."""

from __future__ import annotations

import uuid

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.browser import PHONE, ConsoleSite, Look, check_axe, expect_no_sideways_scroll
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def page(console_page: Page) -> Page:
    await console_page.get_by_role("link", name="Users").click()
    await expect(console_page.get_by_role("heading", name="Users")).to_be_visible()
    return console_page


async def test_a_user_is_found_blocked_let_in_and_deleted_by_keyboard(
    page: Page, site: ConsoleSite, look: Look
) -> None:
    school = f"school-{uuid.uuid4().hex[:6]}.edu"
    headers = {"Authorization": f"Bearer {await site.token(f'ada@{school}')}"}
    async with httpx.AsyncClient(base_url=site.url, headers=headers, timeout=PATIENCE_S) as client:
        named = await client.patch("/api/auth/me", json={"name": "Ada Bell", "gender": "female"})
        assert named.status_code == 200, named.text
        await page.get_by_label("Name, e-mail or school").fill(school)
        rows = page.get_by_role("table", name="Users").get_by_role("row")
        await expect(rows).to_have_count(2)
        assert school in page.url
        await check_axe(page)
        await look(page, "users")
        await rows.get_by_role("button", name="Ada Bell").press("Enter")
        drawer = page.get_by_role("dialog", name="User")
        await expect(drawer.get_by_role("heading", name="Ada Bell")).to_be_visible()
        await check_axe(page, "[role=dialog]")
        await look(page, "users-one")

        await drawer.get_by_role("button", name="Block", exact=True).press("Enter")
        await (
            page.get_by_role("dialog", name="Block Ada Bell?")
            .get_by_role("button", name="Block")
            .press("Enter")
        )
        await expect(drawer.get_by_text("Blocked since")).to_be_visible()
        assert (await client.get("/api/auth/me")).status_code == 403
        unblock = drawer.get_by_role("button", name="Unblock")
        await expect(unblock).to_be_enabled()
        await unblock.press("Enter")
        await expect(drawer.get_by_text("Blocked since")).to_be_hidden()
        assert (await client.get("/api/auth/me")).status_code == 200

    await drawer.get_by_role("button", name="Delete").press("Enter")
    asking = page.get_by_role("dialog", name="Delete Ada Bell?")
    await asking.get_by_label("to confirm").fill("Ada")
    await expect(asking.get_by_role("button", name="Delete")).to_be_disabled()
    await asking.get_by_label("to confirm").fill("Ada Bell")
    await look(page, "users-delete")
    await asking.get_by_label("to confirm").press("Enter")
    await expect(page.get_by_text("Nobody was found")).to_be_visible()


async def test_it_fits_a_phone_in_german(page: Page, site: ConsoleSite, look: Look) -> None:
    """German words are longer, and rows are cards."""
    headers = {"Authorization": f"Bearer {await site.token('a-rather-long-name@department.school.edu')}"}
    async with httpx.AsyncClient(base_url=site.url, headers=headers, timeout=PATIENCE_S) as client:
        assert (await client.get("/api/auth/me")).status_code == 200
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.get_by_role("combobox", name="Language").select_option("de")
    await page.get_by_label("Name, E-Mail oder Schule").fill("a-rather")
    found = page.get_by_role("table", name="Nutzerkonten").get_by_role("button")
    await expect(found).to_have_count(1)
    await expect_no_sideways_scroll(page)
    await check_axe(page)
    await look(page, "users-german")
    await found.click()
    await expect(page.get_by_role("button", name="Zum Admin machen")).to_be_visible()
    await expect_no_sideways_scroll(page)
