"""The console's page on the system: how it is, API keys, sessions, the audit log."""

from __future__ import annotations

import re
import uuid

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from tests.support.browser import PHONE, Look, check_axe, expect_no_sideways_scroll

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def page(console_page: Page) -> Page:
    await console_page.get_by_role("link", name="System").click()
    return console_page


async def test_the_overview_says_how_everything_is(
    page: Page, look: Look, request: pytest.FixtureRequest
) -> None:
    await expect(
        page.get_by_role("table", name="Tables by size").get_by_text("celebrities").first
    ).to_be_visible()
    checks = page.get_by_role("region", name="Checks")
    await checks.get_by_role("button", name="Show everything").click()
    await expect(checks.get_by_text("stores, reads and removes pictures")).to_be_visible()
    deployments = page.get_by_role("region", name="Deployments")
    if request.config.getoption("--without-ray"):
        await expect(deployments).to_contain_text("without Ray")
    else:
        await expect(deployments.get_by_role("row").filter(has_text="Matcher")).to_be_visible()
    await check_axe(page)
    await look(page, "system")
    await page.get_by_role("button", name="Model card").click()
    card = page.get_by_role("dialog")
    await expect(card).to_contain_text("SFace")
    await look(page, "system-card")
    await page.keyboard.press("Escape")
    await expect(card).to_have_count(0)
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.get_by_role("combobox", name="Language").select_option("de")
    await expect(page.get_by_role("tab", name="Überblick")).to_be_visible()
    await expect_no_sideways_scroll(page)
    choice = page.get_by_role("radiogroup", name="Was von der Datenbank aufgeführt ist")
    assert await choice.evaluate("choice => choice.scrollWidth <= choice.clientWidth"), "words are cut off"
    await look(page, "system-german")


async def test_the_address_holds_the_tab_and_the_filter(page: Page) -> None:
    audit = page.get_by_role("tab", name="Audit log")
    await audit.click()
    await page.get_by_role("combobox", name="What").click()
    await page.get_by_role("option", name="API keys").click()
    await page.reload()
    await expect(audit).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_role("combobox", name="What")).to_have_value("API keys")
    await page.go_back()
    await expect(page.get_by_role("combobox", name="What")).to_have_value("")
    await page.go_back()
    await expect(page.get_by_role("tab", name="Overview")).to_have_attribute("aria-selected", "true")


async def test_a_list_that_breaks_off_says_so_and_asks_no_more(page: Page) -> None:
    read = asked = 0

    async def break_off(route: Route) -> None:
        """The first page has another, which the service refuses."""
        nonlocal read, asked
        if "cursor=" in route.request.url:
            asked += 1
            await route.fulfill(status=429, json={"error": "Wait a minute.", "code": "rate_limited"})
            return
        read += 1
        answer = await route.fetch()
        await route.fulfill(response=answer, json={**await answer.json(), "next_cursor": "next"})

    await page.route("**/api/admin/audit*", break_off)
    await page.get_by_role("tab", name="Audit log").click()
    await expect(page.get_by_role("table", name="Audit log").get_by_role("row").nth(1)).to_be_visible()
    # The next page is asked for at the end of this one, which others may have made long.
    await page.mouse.wheel(0, 100_000)
    await expect(page.get_by_role("alert")).to_contain_text("Wait a minute.")
    # Although the list is drawn again, and asks when it is. It is read again when others add lines.
    assert 1 <= asked <= read
    async with page.expect_response("**/api/admin/audit*cursor=next*"):
        await page.get_by_role("alert").get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("alert")).to_contain_text("Wait a minute.")
    assert asked <= read + 1


async def test_a_key_is_shown_once_and_every_change_is_in_the_log(page: Page, look: Look) -> None:
    name = f"Booth {uuid.uuid4().hex[:6]}"
    await page.get_by_role("tab", name="API keys").click()
    await page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill(name)
    await dialog.get_by_label("Metrics").check()
    await look(page, "system-new-key")
    await dialog.get_by_role("button", name="Make a key").click()
    await expect(dialog.get_by_text("smk_")).to_be_visible()
    await check_axe(page, "[role=dialog]")
    await look(page, "system-key")
    await dialog.get_by_role("button", name="I have kept it").click()
    row = page.get_by_role("table", name="API keys").get_by_role("row").filter(has_text=name)
    await expect(row).to_contain_text("Metrics")
    await check_axe(page)
    await look(page, "system-keys")
    await row.get_by_role("button", name=f"Revoke {name}").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("Revoked")

    await page.get_by_role("tab", name="Console sessions").click()
    await expect(
        page.get_by_role("table", name="Console sessions").get_by_text("This session")
    ).to_be_visible()
    await look(page, "system-sessions")

    await page.get_by_role("tab", name="Audit log").click()
    log = page.get_by_role("table", name="Audit log")
    await page.get_by_role("combobox", name="What").click()
    await page.get_by_role("option", name="API keys").click()
    made = log.get_by_role("row").filter(has_text=f"name: {name}").filter(has_text="api_key.create")
    await expect(made).to_contain_text("The console, by link")
    when = made.get_by_role("cell").first
    await expect(when).to_have_text(re.compile(r"^\d+ \w+ \d{4}, \d\d:\d\d$"))  # as in en-GB
    box = await when.locator("p").bounding_box()
    assert box is not None
    assert box["height"] < 30, "the time is broken into lines"
    await check_axe(page)
    await look(page, "system-audit")
