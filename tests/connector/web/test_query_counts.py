"""No page needs more queries for many invoices, entries and lines than for few."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.full_year import NOW, DataSize, fill_company
from connector.db.engine import writing
from connector.web.app import ROUTES
from connector.web.routes import PUBLIC

Site = Any
SMALL = DataSize(invoices=20, runs=4, log_lines_per_run=6)
LARGE = DataSize(invoices=160, runs=120, log_lines_per_run=8, invoices_per_customer=40)
QUERIES_MAX = 95  # of one page; pages of one customer have the most, because they evaluate the policy
# Addresses of pages with data of the first company, and of the second
FIRST_IDS = {"company": 1, "customer": "c0", "invoice": "i0", "entry": 1, "run": 1, "line": 3, "task": 1}
SECOND_IDS = {"company": 2, "customer": "c0", "invoice": "i0", "entry": 5, "run": 5, "line": 27, "task": 5}


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"mail_from": "billing@first.example"}


def build_path(route: Any, ids: dict[str, Any]) -> str:
    path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: str(ids[found[1]]), route.path)
    return path + ("?mode=live" if path.endswith("/mode") else "")


def list_pages() -> list[Any]:
    """List the pages that show stored data."""
    return [
        route
        for route in ROUTES
        if route.method == "GET"
        and route.min_role is not PUBLIC
        and set(re.findall(r"\{(\w+)", route.path)) <= set(FIRST_IDS)
    ]


def test_no_page_needs_more_queries_for_more_data(site: Site, count_queries: Any) -> None:
    site.clock.at = NOW
    browser = site.sign_in("owner")
    counts: list[dict[str, int]] = []
    companies = [site.add_company("First Ltd", time_zone="UTC"), site.add_company("Second Ltd", time_zone="UTC")]
    for size, ids, company in ((SMALL, FIRST_IDS, companies[0]), (LARGE, SECOND_IDS, companies[1])):
        with writing(site.app.engine) as session:
            fill_company(session, size, company)
        browser.get(f"/companies/{company}/customers/c0")  # from now on, cached data is in memory
        counts.append({})
        for route in list_pages():
            path = build_path(route, ids)
            counts[-1][route.path] = count_queries(lambda path=path: browser.get(path))
            assert browser.page.status_code == 200, (path, browser.text)
    few, many = counts
    assert {path: (few[path], count) for path, count in many.items() if count > few[path]} == {}
    assert {path: count for path, count in many.items() if count > QUERIES_MAX} == {}


def test_no_page_needs_more_queries_for_more_companies(site: Site, count_queries: Any) -> None:
    site.clock.at = NOW
    browser = site.sign_in("owner")
    asked = [route.path for route in list_pages() if "{" not in route.path]
    counts: list[dict[str, int]] = []
    for more in (["First Ltd"], ["Second Ltd", "Third Ltd", "Fourth Ltd"]):
        for name in more:
            company = site.add_company(name, time_zone="UTC")
            with writing(site.app.engine) as session:
                fill_company(session, SMALL, company)
        browser.get("/reports")  # from now on, each company's cached data is in memory
        counts.append({path: count_queries(lambda path=path: browser.get(path)) for path in asked})
    one, four = counts
    assert {path: (one[path], count) for path, count in four.items() if count > one[path]} == {}
