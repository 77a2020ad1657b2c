"""The console's page on the gallery: people found, put in order, deleted and brought back."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, Request, Route, expect

from tests.support.browser import PHONE, ConsoleSite, Look, check_axe, expect_drawn, expect_no_sideways_scroll
from tests.support.photos import OBAMA_2
from tests.support.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def page(console_page: Page) -> Page:
    await console_page.get_by_role("link", name="Gallery").click()
    await expect(people(console_page).first).to_be_visible()
    return console_page


def people(page: Page) -> Locator:
    return page.get_by_role("list", name="Gallery").get_by_role("listitem")


async def test_people_are_found_by_name_filter_and_photo(page: Page, look: Look) -> None:
    await expect_drawn(people(page).locator("img").first)
    await check_axe(page)
    await look(page, "gallery")
    search = page.get_by_role("search", name="Find people")
    await search.get_by_label("Search by name").fill("BARACK")
    await expect(people(page)).to_have_count(1)
    assert "name=BARACK" in page.url
    await search.get_by_label("Gender").select_option("female")
    await expect(page.get_by_text("Nobody was found")).to_be_visible()
    await page.goto(page.url.partition("?")[0])
    await search.locator("input[type=file]").set_input_files(OBAMA_2)
    like = page.get_by_role("region", name="People like the face")
    await expect(like.get_by_role("link").first).to_contain_text("Barack Obama")
    await check_axe(page)
    await look(page, "gallery-by-photo")


async def test_a_person_is_edited_merged_split_deleted_and_back(page: Page, look: Look) -> None:
    """By keyboard, as far as it is about choosing."""
    before = await people(page).count()
    third, fourth = (people(page).filter(has_text=f"Person {number}") for number in (3, 4))
    picture = (await fourth.locator("img").get_attribute("src") or "").partition("?")[0]
    await third.get_by_role("link").press("Enter")
    await expect(page.get_by_role("heading", name="Person 3")).to_be_visible()
    details = page.get_by_role("form", name="Details")
    await details.get_by_label("About").fill("Third from the left")
    await details.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The details are saved.")).to_be_visible()
    await check_axe(page)
    await look(page, "gallery-person")

    await page.get_by_role("link", name="All people").click()
    for person in (third, fourth):
        await person.get_by_role("checkbox").press("Space")
    await expect(page.get_by_text("2 selected")).to_be_visible()
    await page.get_by_role("button", name="Merge").click()
    await page.get_by_role("dialog").get_by_role("button", name="Merge").click()
    await expect(people(page)).to_have_count(before - 1)
    await third.get_by_role("link").click()
    photos = page.get_by_role("list", name="Photos of Person 3").get_by_role("listitem")
    await expect(photos).to_have_count(2)
    await photos.filter(has=page.locator(f"img[src^='{picture}']")).get_by_role("checkbox").press("Space")
    await page.get_by_role("button", name="Make another person").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Person 4")
    await check_axe(page)
    await dialog.get_by_role("button", name="Make another person").click()
    await expect(page.get_by_role("heading", name="Person 4")).to_be_visible()

    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_text("1 photo was deleted.")).to_be_visible()
    await expect(people(page)).to_have_count(before - 1)
    await check_axe(page)
    await look(page, "gallery-deleted")
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("1 photo is back.")).to_be_visible()
    await expect(fourth).to_be_visible()


async def test_a_search_that_is_open_elsewhere_forgets_who_is_deleted(
    page: Page, watched: BrowserContext
) -> None:
    other = await watched.new_page()
    await other.goto(f"{page.url}?name=person")
    fifth = people(page).filter(has_text="Person 5")
    await expect(people(other).filter(has_text="Person 5")).to_have_count(1)
    await page.bring_to_front()
    await fifth.get_by_role("checkbox").press("Space")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(fifth).to_have_count(0)
    await other.bring_to_front()  # one behind another draws once a second
    await expect(people(other).filter(has_text="Person 5")).to_have_count(0)
    await page.bring_to_front()
    await page.get_by_role("button", name="Undo").click()
    await expect(fifth).to_be_visible()
    await other.bring_to_front()
    await expect(people(other).filter(has_text="Person 5")).to_have_count(1)


async def test_who_is_deleted_elsewhere_is_selected_no_longer(page: Page, watched: BrowserContext) -> None:
    other = await watched.new_page()
    await other.goto(page.url)
    for number in (3, 4, 5):
        await people(other).filter(has_text=f"Person {number}").get_by_role("checkbox").press("Space")
    await expect(other.get_by_text("3 selected")).to_be_visible()
    await page.bring_to_front()
    await people(page).filter(has_text="Person 5").get_by_role("checkbox").press("Space")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_text("1 photo was deleted.")).to_be_visible()
    await other.bring_to_front()  # one behind another draws once a second
    await expect(other.get_by_text("1 selected person is no longer in the gallery.")).to_be_visible()
    await expect(other.get_by_text("2 selected")).to_be_visible()
    await page.bring_to_front()
    await page.get_by_role("button", name="Undo").click()
    await expect(people(page).filter(has_text="Person 5")).to_be_visible()


async def test_a_long_list_is_shown_and_chosen_from_at_any_place(page: Page, site: ConsoleSite) -> None:
    async with site.more_people(1200):
        await page.reload()
        first = people(page).filter(has_text="Barack Obama")
        await expect(first).to_be_visible()
        await page.keyboard.press("End")
        last = people(page).filter(has_text="Row 1199")
        await expect(last).to_be_in_viewport()
        assert await last.get_attribute("aria-posinset") == await last.get_attribute("aria-setsize")
        await people(page).filter(has_text="Row 1190").get_by_role("checkbox").click()
        await last.get_by_role("checkbox").click(modifiers=["Shift"])
        await expect(page.get_by_text("10 selected")).to_be_attached()
        await page.keyboard.press("Home")
        await expect(first).to_be_in_viewport()
        # As many as one change takes, of which most were never read before.
        await page.get_by_role("button", name="Clear selection").click()
        await page.get_by_role("button", name="Select the first 1,000").click()
        await expect(page.get_by_text("1000 selected")).to_be_visible()


async def test_a_long_list_is_found_below_whatever_comes_above_it(page: Page, site: ConsoleSite) -> None:
    """Such as a hundred people like the face in a photo, on a phone."""
    async with site.more_people(1200):
        await page.reload()
        await expect(people(page).first).to_be_visible()
        await page.evaluate("document.querySelector('h1').style.marginBottom = '5000px'")
        await page.evaluate(
            """() => {
                const boxes = [...document.querySelectorAll('[role=listitem]')].map(each =>
                    each.getBoundingClientRect());
                const row = boxes.filter(({top}) => top === boxes[0].top).length;
                scrollTo(0, scrollY + boxes[0].top + 600 / row * (boxes[row].top - boxes[0].top));
            }"""
        )
        await expect(page.locator("[aria-posinset='601']")).to_be_in_viewport()


async def test_a_part_of_a_long_list_that_cannot_be_read_says_so(page: Page, site: ConsoleSite) -> None:
    refusal = {"error": "Try again in a minute.", "code": "rate_limited"}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json=refusal)

    async with site.more_people(1200):
        end = re.compile(r"/api/admin/people\?.*skip=1[12]00")
        await page.route(end, refuse)
        await page.reload()
        await expect(people(page).first).to_be_visible()
        await page.keyboard.press("End")
        await expect(page.get_by_role("alert")).to_contain_text("Try again in a minute.")
        await page.unroute(end)
        await page.get_by_role("alert").get_by_role("button", name="Try again").click()
        await expect(people(page).filter(has_text="Row 1199")).to_be_in_viewport()
        await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_reader_who_comes_back_finds_their_place(page: Page, site: ConsoleSite) -> None:
    async with site.more_people(1200):
        await page.reload()
        await expect(people(page).first).to_be_visible()
        await page.keyboard.press("End")
        last = people(page).filter(has_text="Row 1199")
        await expect(last).to_be_in_viewport()
        await page.reload()
        await expect(last).to_be_in_viewport()
        await last.get_by_role("link").click()
        await expect(page.get_by_role("heading", name="Row 1199")).to_be_visible()
        await page.go_back()
        await expect(last).to_be_in_viewport()
        await page.get_by_role("search", name="Find people").get_by_label("Gender").select_option("male")
        await expect(people(page).filter(has_text="Barack Obama")).to_be_in_viewport()


async def test_back_leads_through_filters(page: Page) -> None:
    search = page.get_by_role("search", name="Find people")
    name, gender = search.get_by_label("Search by name"), search.get_by_label("Gender")
    await name.press_sequentially("person")
    await expect(page).to_have_url(re.compile("name=person$"))
    await gender.select_option("female")
    await expect(page).to_have_url(re.compile("gender=female"))
    await page.go_back()
    await expect(gender).to_have_value("")
    await expect(name).to_have_value("person")
    await page.go_back()
    await expect(name).to_have_value("")
    await expect(people(page).filter(has_text="Barack Obama")).to_be_visible()
    await page.go_forward()
    await expect(name).to_have_value("person")
    await expect(people(page).filter(has_text="Barack Obama")).to_have_count(0)


async def test_a_deletion_is_undone_after_a_reload_and_after_a_failure(page: Page) -> None:
    third = people(page).filter(has_text="Person 3")
    undo = page.get_by_role("button", name="Undo")
    await third.get_by_role("checkbox").press("Space")
    await page.get_by_role("button", name="Delete", exact=True).press("Enter")
    await expect(third).to_have_count(0)
    await expect(page.get_by_role("main")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(undo).to_be_focused()
    await page.reload()
    await page.route("**/undo", lambda route: route.abort())
    await undo.click()
    await expect(page.get_by_text("does not answer")).to_be_visible()
    await page.unroute("**/undo")
    await undo.click()
    await expect(page.get_by_text("1 photo is back.")).to_be_visible()
    await expect(third).to_be_visible()
    await page.reload()
    await expect(third).to_be_visible()
    await expect(undo).to_have_count(0)


async def test_a_change_without_a_network_is_not_made_later(page: Page, watched: BrowserContext) -> None:
    third = people(page).filter(has_text="Person 3")
    await third.get_by_role("checkbox").press("Space")
    await watched.set_offline(True)
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_text("does not answer")).to_be_visible()
    await watched.set_offline(False)
    await page.reload()
    await expect(third).to_be_visible()


async def test_pictures_that_have_left_the_page_are_not_loaded(console_page: Page) -> None:
    """A browser would load all that a hand has scrolled past before those in the window."""

    async def hold(route: Route) -> None:
        """No answer."""

    asked: list[Request] = []
    await console_page.route("**/objects/**", hold)
    console_page.on("request", lambda request: asked.append(request) if "/objects/" in request.url else None)
    await console_page.get_by_role("link", name="Gallery").click()
    await until(lambda: any(request.failure is None for request in asked))
    await console_page.get_by_role("link", name="Matching").click()
    await until(lambda: {request.failure for request in asked} == {"net::ERR_ABORTED"})


async def test_it_fits_a_phone_in_german(page: Page, look: Look) -> None:
    """German words are longer."""
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.get_by_role("combobox", name="Language").select_option("de")
    await expect(page.get_by_text("Die Personen, mit denen")).to_be_visible()
    await page.get_by_role("list", name="Galerie").get_by_role("checkbox").first.press("Space")
    await expect(page.get_by_text("1 ausgewählt")).to_be_visible()
    await expect_no_sideways_scroll(page)
    await look(page, "gallery-german")
