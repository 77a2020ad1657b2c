"""All pages by keyboard and by thumb, also in a reader's own few colours."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import DESK, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PATHS = ["", "gallery", "gallery/add", "matching", "jobs", "users", "system"]
MOST_STOPS = 120
LEAST_PX = 24
"""Of WCAG 2.2, success criterion 2.5.8."""

STOP = """async () => {
    // What moves into the window does so with the next frame.
    await new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    const element = document.activeElement;
    if (element === document.body) return null;
    // A switch or a radio button is drawn by what follows it.
    const drawn = getComputedStyle(element).opacity === '0' ? element.nextElementSibling : element;
    const {outlineStyle, outlineWidth} = getComputedStyle(drawn);
    const {top, bottom} = drawn.getBoundingClientRect();
    return {
        element: element.outerHTML.slice(0, 200),
        named: Boolean(element.ariaLabel || element.labels?.length || element.textContent.trim()),
        ring: outlineStyle === 'auto' || outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
        shown: bottom > 0 && top < innerHeight,
    };
}"""

SMALL = """least => [...document.querySelectorAll('a, button, input, select, [role=slider]')]
    .filter(element => element.checkVisibility({visibilityProperty: true}) && element.ariaHidden !== 'true')
    // Not what waits outside the window, as the link to the content, nor what is never seen, as a file field.
    .filter(element => element.getBoundingClientRect().bottom > 0 && element.tabIndex >= 0)
    .filter(element => {
        const boxes = [element, ...(element.labels ?? [])].map(each => each.getBoundingClientRect());
        const around = parseFloat(getComputedStyle(element, '::after').inset) || 0;
        return boxes.every(({width, height}) => Math.min(width, height) - 2 * Math.min(around, 0) < least);
    })
    .map(element => element.outerHTML.slice(0, 200))"""


async def go(page: Page, path: str) -> None:
    await page.goto(page.url.partition("/console/")[0] + "/console/" + path)
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(page.locator("main .mantine-Loader-root")).to_have_count(0)


@pytest.mark.parametrize("colours", ["none", "active"])
@pytest.mark.parametrize("path", PATHS)
async def test_tab_leads_through_a_page_with_a_ring_around_each_stop(
    console_page: Page, path: str, colours: Any
) -> None:
    page = console_page
    await page.emulate_media(forced_colors=colours)
    await go(page, path)
    stops = []
    for _ in range(MOST_STOPS):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(STOP)
        if stop is None:
            break
        stops.append(stop)
    assert len(stops) < MOST_STOPS
    assert len(stops) > 10
    assert [stop for stop in stops if not (stop["named"] and stop["ring"] and stop["shown"])] == []


@pytest.mark.parametrize("path", PATHS)
async def test_a_thumb_hits_everything(console_page: Page, path: str) -> None:
    page = console_page
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await go(page, path)
    assert await page.evaluate(SMALL, LEAST_PX) == []
    for tab in await page.get_by_role("tab").all():
        await tab.click()
        await expect(page.locator("main .mantine-Loader-root")).to_have_count(0)
        assert await page.evaluate(SMALL, LEAST_PX) == []


async def test_a_knob_is_taken_beside_it(console_page: Page) -> None:
    page = console_page
    await go(page, "matching")
    knob = page.get_by_role("slider", name="Weight of Face")
    before = await knob.get_attribute("aria-valuenow")
    box = await knob.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] - 6)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 80, box["y"] - 6, steps=4)
    await page.mouse.up()
    await expect(knob).not_to_have_attribute("aria-valuenow", str(before))


async def test_tab_leaves_the_menu_of_the_session(console_page: Page) -> None:
    page = console_page
    button = page.get_by_role("button", name="Session")
    await button.press("Enter")
    await expect(page.locator("[role=menu] :focus")).to_have_count(1)
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("menuitem", name="Sign out")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("menu")).to_have_count(0)
    await expect(button).to_be_focused()


async def test_the_camera_gives_the_focus_back(console_page: Page) -> None:
    page = console_page
    button = page.get_by_role("button", name="Take a photo")
    await button.press("Enter")
    await expect(page.get_by_role("dialog", name="Take a photo")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(button).to_be_focused()


async def test_only_a_table_that_scrolls_is_a_stop(console_page: Page) -> None:
    page = console_page
    await go(page, "system")
    table = page.get_by_role("region", name="Requests").filter(has=page.locator("table"))
    scroller = page.locator("[role=region][tabindex='0']")
    await expect(table.first).to_be_visible()
    await expect(scroller).to_have_count(0)
    await page.set_viewport_size({"width": 800, "height": 700})
    await expect(scroller).to_have_count(1)
    await page.set_viewport_size(DESK)  # type: ignore[arg-type]
    await expect(scroller).to_have_count(0)
