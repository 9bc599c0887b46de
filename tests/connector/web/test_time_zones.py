"""All times of a page are in one zone, which the page names: the company's, or the one that its reader has chosen."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connector.db.tables import SyncRun
from connector.vocabulary import RunOutcome

Site = Any


@pytest.fixture
def browser(site: Site) -> Any:
    """A viewer of three companies in two zones, each synced at noon in London."""
    zones = ("Europe/London", "America/New_York", "America/New_York")
    for number, zone in enumerate(zones):
        company = site.add_company(
            f"Company {number}", time_zone=zone, last_run_at=site.clock.at, next_run_at=site.clock.at
        )
        site.add_rows(SyncRun(connection_id=company, started_at=site.clock.at, outcome=RunOutcome.OK))
    return site.sign_in("viewer")


def times(page: str) -> set[str]:
    return set(re.findall(r"<time datetime=[^>]*>10 Jun 2026 ([^<]*)</time>", page))


def test_the_page_of_a_company_is_in_its_zone(browser: Any) -> None:
    for company, zone, shown in ((1, "Europe/London", "12:00 BST"), (2, "America/New_York", "07:00 EDT")):
        page = browser.get(f"/companies/{company}").text
        assert shown in times(page)
        assert len({each.rpartition(" ")[2] for each in times(page)}) == 1
        assert f"Times are in {zone}." in page


def test_a_page_over_companies_of_several_zones_is_in_the_one_of_most(browser: Any) -> None:
    page = browser.get("/companies").text
    assert times(page) == {"07:00 EDT"}
    assert "Times are in America/New_York." in page


def test_a_reader_s_own_zone_is_that_of_every_page(browser: Any) -> None:
    browser.get("/account")
    browser.submit("/account/preferences", {"time_zone": "Asia/Tokyo"})
    assert "Saved." in browser.text
    for path in ("/companies", "/companies/1", "/runs/1", "/runs", "/account"):
        page = browser.get(path).text
        assert {each.rpartition(" ")[2] for each in times(page)} == {"JST"}, path
        assert "Times are in Asia/Tokyo." in page


def test_a_page_without_times_names_no_zone(browser: Any) -> None:
    assert "Times are in" not in browser.get("/policy/document").text


@pytest.mark.parametrize(("field", "value"), [("time_zone", "Europe/Londn"), ("digest_at", "25:00")])
def test_a_zone_or_time_that_does_not_exist_is_refused(browser: Any, field: str, value: str) -> None:
    browser.get("/account")
    browser.submit("/account/preferences", {field: value})
    assert browser.page.status_code == 409
    assert value in browser.text
