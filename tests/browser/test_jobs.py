"""The console's page on jobs: the queue of match jobs, and Ray jobs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.browser import PHONE, ConsoleSite, Look, check_axe, expect_drawn, expect_no_sideways_scroll
from tests.support.photos import BIDEN, OBAMA_2

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def page(console_page: Page) -> AsyncIterator[Page]:
    """The page; other tests need a queue that is not paused."""
    await console_page.get_by_role("link", name="Jobs").click()
    await expect(console_page.get_by_text("Done in the last hour")).to_be_visible()
    yield console_page
    await console_page.evaluate("fetch('/api/admin/jobs/resume', {method: 'POST'})")


async def test_a_paused_queue_waits_and_goes_on_by_itself_on_the_page(
    page: Page, site: ConsoleSite, look: Look
) -> None:
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("The queue is paused")).to_be_visible()
    school = f"school-{uuid.uuid4().hex[:6]}.edu"
    for name, photo in (("cleo", OBAMA_2), ("dan", BIDEN)):
        await site.upload(f"{name}@{school}", "female", photo)
    await page.get_by_text("Waiting", exact=True).last.click()
    waiting = page.get_by_role("table", name="Waiting match jobs")
    await expect(waiting.get_by_text("Cleo")).to_be_visible()
    await expect_drawn(waiting.locator("img").first)
    await check_axe(page)
    await look(page, "jobs-paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_text("No job is waiting")).to_be_visible()
    await page.get_by_text("Done", exact=True).click()
    await expect(
        page.get_by_role("table", name="Match jobs that are done").get_by_text("Dan")
    ).to_be_visible()


async def test_a_failed_job_says_why_and_is_tried_again(page: Page, site: ConsoleSite, look: Look) -> None:
    email = f"eve@school-{uuid.uuid4().hex[:6]}.edu"
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("The queue is paused")).to_be_visible()
    await site.upload(email, "female", OBAMA_2)
    await site.fail_waiting_jobs("The photo of this face is not in the storage.")
    await page.reload()
    failed = page.get_by_role("table", name="Failed match jobs")
    row = failed.get_by_role("row").filter(has_text="Eve")
    await expect(row).to_contain_text("The photo of this face is not in the storage.")
    await check_axe(page)
    await look(page, "jobs-failed")
    await row.get_by_role("button", name="Retry Eve").click()
    await expect(page.get_by_text("1 job is back in the queue.")).to_be_visible()
    await expect(row).to_have_count(0)
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_text("The queue is paused")).to_be_hidden()


async def test_ray_jobs_are_started_and_watched(
    page: Page, look: Look, request: pytest.FixtureRequest
) -> None:
    await page.get_by_role("tab", name="Ray jobs").click()
    await page.get_by_role("button", name="Start a job").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Only this school")).to_be_visible()
    await check_axe(page)
    await look(page, "jobs-start")
    await dialog.get_by_role("button", name="Start a job").click()
    if request.config.getoption("--without-ray"):
        await expect(dialog.get_by_role("alert")).to_contain_text("without Ray")
        return
    row = page.get_by_role("table", name="Ray jobs").get_by_role("row").nth(1)
    await expect(row).to_contain_text("Rematch")
    await expect(row).to_contain_text("Succeeded")
    await look(page, "jobs-ray")
    await row.get_by_role("button", name="Rematch").click()
    await expect(dialog.get_by_text("would be added")).to_be_visible()
    await check_axe(page)
    await look(page, "jobs-log")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Ingestion").last.click()
    await dialog.get_by_role("tab", name="Report").click()
    await expect(dialog.get_by_role("alert").or_(dialog.get_by_role("table"))).to_be_visible()


async def test_texts_are_switched_on_and_counted(page: Page, look: Look) -> None:
    await page.get_by_role("tab", name="Suggested texts").click()
    await expect(page.get_by_text("Texts are made from templates on this server")).to_be_visible()
    switch = page.get_by_role("switch", name="Suggest texts")
    await expect(switch).to_be_enabled()
    await expect(switch).not_to_be_checked()
    await switch.press("Space")
    await expect(switch).to_be_checked()
    await expect(page.get_by_role("region", name="Texts of the last 30 days")).to_be_visible()
    search = page.get_by_role("region", name="Search in texts")
    await expect(search).to_contain_text("Vectors are made on this server. No text leaves it for them.")
    for name in ("Find people by their bios", "Find messages by what they mean"):
        of_search = search.get_by_role("switch", name=name)
        await of_search.press("Space")
        await expect(of_search).to_be_checked()
        await expect(of_search).to_be_enabled()
        await of_search.press("Space")
        await expect(of_search).not_to_be_checked()
    await check_axe(page)
    await look(page, "jobs-texts")
    await page.reload()
    await page.get_by_role("tab", name="Suggested texts").click()
    await expect(switch).to_be_checked()
    await expect(switch).to_be_enabled()
    await switch.press("Space")
    await expect(switch).not_to_be_checked()


async def test_it_fits_a_phone_in_german(page: Page, look: Look) -> None:
    """German words are longer."""
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.get_by_role("combobox", name="Language").select_option("de")
    await expect(page.get_by_text("In der letzten Stunde erledigt")).to_be_visible()
    await expect_no_sideways_scroll(page)
    await look(page, "jobs-german")
    await page.get_by_role("tab", name="Ray-Jobs").click()
    await page.get_by_role("button", name="Job starten").click()
    await expect(page.get_by_role("dialog").get_by_label("Nur diese Schule")).to_be_visible()
    await expect_no_sideways_scroll(page)
