"""Every page asks the database as often for many invoices, entries and lines as for few."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.full_year import NOW, Size, fill
from connector.database import writing
from connector.web.app import ROUTES

Office = Any
FEW = Size(invoices=20, runs=4, lines_of_run=6)
MANY = Size(invoices=160, runs=120, lines_of_run=8, per_customer=40)
MOST = 90  # of one page; those about one customer ask the most, for they decide anew
# Where the pages of the first company, and those of the second, find something.
FIRST = {"company": 1, "customer": "c0", "invoice": "i0", "entry": 1, "run": 1, "line": 3, "task": 1}
SECOND = {"company": 2, "customer": "c0", "invoice": "i0", "entry": 5, "run": 5, "line": 27, "task": 5}


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"mail_from": "billing@first.example"}


def address(route: Any, ids: dict[str, Any]) -> str:
    path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: str(ids[found[1]]), route.path)
    return path + ("?to=live" if path.endswith("/mode") else "")


def pages() -> list[Any]:
    """Every page that shows what was filled in."""
    return [
        route
        for route in ROUTES
        if route.method == "GET" and route.needs != "nobody" and set(re.findall(r"\{(\w+)", route.path)) <= set(FIRST)
    ]


def test_no_page_asks_more_often_where_there_is_more(office: Office, queries_of: Any) -> None:
    office.clock.at = NOW
    browser = office.signed_in("owner")
    counts: list[dict[str, int]] = []
    companies = [office.company("First Ltd", time_zone="UTC"), office.company("Second Ltd", time_zone="UTC")]
    for size, ids, company in ((FEW, FIRST, companies[0]), (MANY, SECOND, companies[1])):
        with writing(office.installation.engine) as session:
            fill(session, size, company)
        browser.get(f"/companies/{company}/customers/c0")  # what is kept in memory is there from now on
        counts.append({})
        for route in pages():
            path = address(route, ids)
            counts[-1][route.path] = queries_of(lambda path=path: browser.get(path))
            assert browser.page.status_code == 200, (path, browser.text)
    few, many = counts
    assert {path: (few[path], count) for path, count in many.items() if count > few[path]} == {}
    assert {path: count for path, count in many.items() if count > MOST} == {}


def test_no_page_asks_more_often_where_there_are_more_companies(office: Office, queries_of: Any) -> None:
    office.clock.at = NOW
    browser = office.signed_in("owner")
    asked = [route.path for route in pages() if "{" not in route.path]
    counts: list[dict[str, int]] = []
    for more in (["First Ltd"], ["Second Ltd", "Third Ltd", "Fourth Ltd"]):
        for name in more:
            company = office.company(name, time_zone="UTC")
            with writing(office.installation.engine) as session:
                fill(session, FEW, company)
        browser.get("/reports")  # what is kept in memory of each company's books is there from now on
        counts.append({path: queries_of(lambda path=path: browser.get(path)) for path in asked})
    one, four = counts
    assert {path: (one[path], count) for path, count in four.items() if count > one[path]} == {}
