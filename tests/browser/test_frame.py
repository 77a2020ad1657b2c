"""The frame as users find it: on a phone, by keyboard, enlarged, in their colours, after their session."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.support.browser import PHONE, ConsoleSite, Look, check_axe, expect_no_sideways_scroll
from tests.support.photos import OBAMA_2

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ENLARGED = {"width": 640, "height": 400}
"""What a desk of 1280 by 800 holds at 200 %."""
SMALLEST = {"width": 320, "height": 256}
"""At 400 %, as WCAG 2.2, success criterion 1.4.10, asks."""


async def drop(page: Page) -> Locator:
    """Give the first page a photo, and return its best lookalike."""
    await page.locator("input[type=file][multiple]").first.set_input_files(OBAMA_2)
    best = page.get_by_role("region", name="Who looks like this face").get_by_role("button").first
    await expect(best).to_contain_text("Barack Obama")
    return best


async def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus."""
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {target}")


async def test_the_menu_of_a_phone_opens_leads_on_and_closes(console_page: Page, look: Look) -> None:
    page = console_page
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    menu, pages = page.get_by_role("button", name="Menu"), page.get_by_role("navigation", name="Pages")
    await expect(menu).to_have_attribute("aria-expanded", "false")
    await expect(pages).to_be_hidden()
    await menu.click()
    await expect(menu).to_have_attribute("aria-expanded", "true")
    await expect(pages.get_by_role("link", name="Try it")).to_have_attribute("aria-current", "page")
    await check_axe(page)
    await look(page, "menu")
    await pages.get_by_role("link", name="Jobs").click()
    await expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    await expect(page.get_by_role("main")).to_be_focused()
    await expect(pages).to_be_hidden()
    await menu.click()
    await page.keyboard.press("Escape")
    await expect(pages).to_be_hidden()
    await expect(menu).to_be_focused()


async def test_the_first_page_needs_no_mouse(console_page: Page) -> None:
    page = console_page
    skip = page.get_by_role("link", name="Skip to the content")
    await tab_to(page, skip)
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()

    first, second = (page.get_by_role("tab", name=name) for name in ("Faces and", "Compare two photos"))
    await tab_to(page, first)
    await page.keyboard.press("ArrowRight")
    await expect(second).to_have_attribute("aria-selected", "true")
    here = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Try it")
    await expect(here).to_have_attribute("aria-current", "page")  # the address names the tab now
    await page.keyboard.press("ArrowLeft")
    await expect(first).to_have_attribute("aria-selected", "true")

    pick = page.get_by_role("button", name="Choose photos")
    await expect(pick).to_have_count(1)
    async with page.expect_file_chooser() as chooser:
        await tab_to(page, pick)
        await page.keyboard.press("Enter")
    await (await chooser.value).set_files(OBAMA_2)

    best = page.get_by_role("region", name="Who looks like this face").get_by_role("button").first
    await expect(best).to_contain_text("Barack Obama")
    await tab_to(page, best)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="Why Barack Obama?")).to_be_visible()

    opener = page.get_by_role("button", name="Request and answer")
    drawer = page.get_by_role("dialog", name="Request and answer")
    await tab_to(page, opener)
    await page.keyboard.press("Enter")
    await tab_to(page, drawer.get_by_role("tab", name="curl"))
    await page.keyboard.press("ArrowRight")
    await expect(drawer.get_by_text("import httpx")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(drawer).to_be_hidden()
    await expect(opener).to_be_focused()


async def test_a_page_outlives_the_session(
    watched: BrowserContext, site: ConsoleSite, console_page: Page, look: Look
) -> None:
    """Which ends in another tab, where somebody signs in again."""
    page = console_page
    best = await drop(page)
    other = await watched.new_page()
    await other.goto(page.url)
    await other.get_by_role("button", name="Session").click()
    await other.get_by_role("menuitem", name="Sign out").click()
    await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    ended = page.get_by_role("dialog", name="You are no longer signed in")
    await expect(ended).to_be_visible()
    await page.bring_to_front()  # one behind another draws once a second
    await page.keyboard.press("Escape")
    await expect(ended).to_be_visible()
    await check_axe(page, "[role=dialog]")
    await look(page, "signed-out")
    await other.goto(await site.link())
    await other.get_by_role("button", name="Session").wait_for()
    await page.bring_to_front()
    await ended.get_by_role("button", name="I have signed in").click()
    await expect(ended).to_be_hidden()
    await best.click()
    await expect(page.get_by_role("region", name="Why Barack Obama?")).to_be_visible()


async def test_the_colours_are_remembered(console_page: Page) -> None:
    page = console_page
    for scheme, other in (("dark", "Light"), ("light", "Dark")):
        await page.get_by_role("button", name=f"{scheme.title()} colours").click()
        await page.reload()
        await expect(page.get_by_role("button", name=f"{other} colours")).to_be_visible()
        await expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)


async def test_the_focus_stays_on_the_page_when_what_had_it_is_gone(console_page: Page) -> None:
    page = console_page
    await page.get_by_role("link", name="Gallery").click()
    last = page.get_by_role("list", name="Gallery").get_by_role("listitem").last
    await last.get_by_role("checkbox").press("Space")
    await page.get_by_role("button", name="Clear selection").press("Enter")
    await expect(page.get_by_role("button", name="Clear selection")).to_have_count(0)
    await expect(page.get_by_role("main")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Export")).to_be_focused()


@pytest.mark.parametrize("path", ["", "gallery", "gallery/add", "matching", "jobs", "users", "system"])
async def test_a_page_fits_enlarged_in_both_languages(console_page: Page, path: str) -> None:
    """Every tab of it, without scrolling sideways and without a grave accessibility problem."""
    page = console_page
    loading = page.locator("main .mantine-Loader-root")
    await page.goto(page.url.partition("/console/")[0] + "/console/" + path)
    for size in (ENLARGED, SMALLEST):
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        for language in ("de", "en"):
            await page.locator("header select").select_option(language)
            await expect(page.get_by_role("heading", level=1)).to_have_count(1)
            await expect(loading).to_have_count(0)
            await expect_no_sideways_scroll(page)
            for tab in await page.get_by_role("tab").all():
                await tab.click()
                await expect(loading).to_have_count(0)
                await expect_no_sideways_scroll(page)
    await check_axe(page)


async def test_a_found_face_fits_enlarged(console_page: Page) -> None:
    page = console_page
    await page.set_viewport_size(SMALLEST)  # type: ignore[arg-type]
    await (await drop(page)).click()
    await expect(page.get_by_role("region", name="Why Barack Obama?")).to_be_visible()
    await expect_no_sideways_scroll(page)
