"""The pages of the sync log: filters, pagination, details, CSV and verification."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.tables import Budget, Connection, CustomerRow, InvoiceRow, SyncLogEntry, SyncRun
from connector.services.lists.log import LISTING
from connector.vocabulary import LimitWindow
from connector.web.lists.log import VIEW
from policies.receivables import InvoiceStatus

Site = Any


def write_lines(site: Site, company: int | None, *texts: str, **more: Any) -> None:
    with writing(site.app.engine) as session:
        for number, each in enumerate(texts):
            at = more.get("at", site.clock.at) + timedelta(seconds=number)
            sync_log.write(session, **{"kind": "emailed", **more, "at": at, "text": each, "connection_id": company})


def add_run(site: Site, company: int, **more: Any) -> int:
    row = SyncRun(connection_id=company, **{"started_at": site.clock.at, "outcome": "ok", **more})
    site.add_rows(row)
    return row.id or 0


def _link(page: str, rel: str) -> str:
    return page.partition(f'" data-list-link rel="{rel}"')[0].rpartition('href="')[2].replace("&amp;", "&")


@pytest.fixture
def company_id(site: Site) -> int:
    return int(site.add_company("North Ltd"))


def test_log_pages_lead_to_older_lines_and_back(site: Site, company_id: int) -> None:
    write_lines(site, company_id, *(f"line number {number:03}" for number in range(120)))
    browser = site.sign_in("viewer")
    seen: list[list[str]] = []
    for has_next in (True, True, False):
        page = browser.get("/log?kind=emailed").text if not seen else browser.page.text
        seen.append([f"{n:03}" for n in range(120) if f"line number {n:03}" in page])
        if has_next:
            browser.get(_link(page, "next"))
    assert [len(page) for page in seen] == [50, 50, 20]
    assert sorted(number for page in seen for number in page) == [f"{number:03}" for number in range(120)]
    assert max(seen[0]) == "119"
    assert "line number 069" in browser.get(_link(browser.page.text, "prev")).text
    assert "line number 070" not in browser.page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("customer=mill", {"one"}),
        ("customer=c1", {"one"}),
        ("customer=nobody", set()),
        ("invoice=INV-7", {"two"}),
        ("kind=unconfirmed", {"three"}),
        ("text=THRE", {"three"}),
        ("text=%25", set()),
        ("since=2026-06-11", {"four"}),
        ("until=2026-06-10", {"one", "two", "three", "elsewhere"}),
        ("company=1", {"one", "two", "three", "four"}),
        ("company=1&kind=emailed&text=o", {"one", "two", "four"}),
    ],
)
def test_lines_are_filtered_by_company_customer_invoice_kind_text_and_date(
    site: Site, company_id: int, query: str, found: set[str]
) -> None:
    south = site.add_company("South Ltd")
    site.add_rows(
        CustomerRow(connection_id=company_id, external_id="c1", name="Miller & Sons"),
        InvoiceRow(
            connection_id=company_id, external_id="i7", number="INV-7", customer_id="c2", currency="GBP",
            issued_on=site.clock.at.date(), status=InvoiceStatus.OPEN, is_open=True,
        ),
    )  # fmt: skip
    write_lines(site, company_id, "one", customer_id="c1")
    write_lines(site, company_id, "two", invoice_id="i7")
    write_lines(site, company_id, "three", kind="unconfirmed")
    write_lines(site, south, "elsewhere", kind="pulled")
    write_lines(site, company_id, "four", at=site.clock.at + timedelta(days=1))
    browser = site.sign_in("viewer")
    cells = browser.get(f"/log?{query}").text.partition("<tbody>")[2]
    every = {"one", "two", "three", "four", "elsewhere"}
    assert {each for each in every if f">{each}" in cells} == found


def test_an_invalid_date_is_reported(site: Site, company_id: int) -> None:
    browser = site.sign_in("viewer")
    browser.get("/log?since=yesterday")
    assert "'yesterday' is not a date. Enter it as 2026-12-31." in browser.text
    assert browser.get("/log?since=0001-01-01&until=9999-12-31&before=x&after=99999999999999999").status_code == 200


def test_a_run_shows_its_lines_and_a_line_its_data(site: Site, company_id: int) -> None:
    run = add_run(site, company_id, counts={"emailed": 2, "calls_read": 3}, ended_at=site.clock.at)
    other = add_run(site, company_id, outcome="failed", reason="The disk is full.")
    write_lines(site, company_id, "Miller was emailed", run_id=run, facts={"sum": "12.50", "step": "past_due"})
    write_lines(site, company_id, "of another run", run_id=other)
    browser = site.sign_in("viewer")
    browser.get("/runs")
    assert "2 emails sent" in browser.text
    assert "The disk is full." in browser.text
    page = browser.get(f"/runs/{run}").text
    assert "Miller was emailed" in page
    assert "of another run" not in page
    assert "Calls: reads" in page
    assert 'http-equiv="refresh"' not in page
    browser.get("/log/1")
    assert "12.50" in browser.text
    assert "0" * 64 in browser.text
    assert browser.get("/log/99").status_code == 404


def test_a_run_lists_what_was_sent_before_decisions_and_shows_the_remaining_calls(site: Site, company_id: int) -> None:
    site.add_rows(
        CustomerRow(connection_id=company_id, external_id="c1", name="Miller & Sons"),
        Budget(connection_id=company_id, limit_name=LimitWindow.DAY, used=62, remaining=938),
    )
    run = add_run(site, company_id, counts={"calls_read": 3, "calls_email": 1}, ended_at=site.clock.at)
    write_lines(site, company_id, "Nothing due until then.", run_id=run, kind="decided", customer_id="c1")
    write_lines(site, company_id, "Emailed: SendGrid accepted it.", run_id=run, customer_id="c1", facts={"entry": 7})
    write_lines(site, company_id, *(f"Decided {n:03}" for n in range(70)), run_id=run, kind="decided")
    browser = site.sign_in("viewer")
    page = browser.get(f"/runs/{run}").text
    assert "3 reads, 1 email" in browser.text
    assert "62 used, 938 left" in browser.text
    assert 'href="/outbox/7"' in page
    assert f'href="/companies/{company_id}/customers/c1"' in page
    assert page.index("Emailed: SendGrid accepted it.") < page.index("Nothing due until then.")
    assert f'href="/log?company={company_id}&amp;run={run}">11 more in the log' in page
    assert browser.get(f"/log?run={run}&kind=emailed").text.count('data-label="Text"') == 1


def test_the_log_links_to_a_run_that_is_under_way(site: Site, company_id: int) -> None:
    browser = site.sign_in("viewer")
    assert "is syncing" not in browser.get("/log").text
    run = add_run(site, company_id, outcome=None)
    with writing(site.app.engine) as session:
        session.get_one(Connection, company_id).lease_until_at = site.clock.at + timedelta(minutes=5)
    assert f'href="/runs/{run}?refresh=yes"' in browser.get("/log").text


def test_the_page_of_a_run_refreshes_only_on_request(site: Site, company_id: int) -> None:
    run, browser = add_run(site, company_id, outcome=None), site.sign_in("viewer")
    assert "Refresh automatically" in browser.get(f"/runs/{run}").text
    assert 'http-equiv="refresh"' not in browser.get(f"/runs/{run}").text
    assert 'http-equiv="refresh"' in browser.get(f"/runs/{run}?refresh=yes").text


def test_lines_without_a_company_are_shown_only_to_users_who_see_all_companies(site: Site, company_id: int) -> None:
    write_lines(site, None, "everything was put back")
    assert "put back" in site.sign_in("viewer").get("/log").text
    limited = site.sign_in("bookkeeper", company_id)
    assert "put back" not in limited.get("/log").text
    assert limited.get("/log/1").status_code == 404


def test_the_log_is_sorted_by_any_column_and_its_days_are_those_of_the_company(site: Site, company_id: int) -> None:
    with writing(site.app.engine) as session:
        session.get_one(Connection, company_id).time_zone = "Pacific/Auckland"
    write_lines(site, company_id, "early", at=datetime(2026, 6, 8, 13, 0, tzinfo=UTC))  # the 9th in Auckland
    write_lines(site, company_id, "late", kind="unconfirmed", at=datetime(2026, 6, 9, 13, 0, tzinfo=UTC))
    browser = site.sign_in("viewer")
    texts = {
        query: re.findall(r'data-label="Text"[^>]*>(early|late)', browser.get(f"/log?text=a&{query}").text)
        for query in ("", "sort=id", "sort=-kind", "since=2026-06-09&until=2026-06-09", "since=2026-06-10")
    }
    assert texts == {
        "": ["late", "early"],
        "sort=id": ["early", "late"],
        "sort=-kind": ["late", "early"],
        "since=2026-06-09&until=2026-06-09": ["early"],
        "since=2026-06-10": ["late"],
    }
    assert "Times are in Pacific/Auckland" in browser.text
    assert len(browser.get("/log.csv?text=late&since=2026-06-10").text.splitlines()) == 2


def test_a_long_log_is_not_counted_to_its_end(site: Site, company_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lines(site, company_id, *(f"line {number}" for number in range(70)))
    short = replace(LISTING, count_max=60)
    monkeypatch.setattr("connector.web.lists.log.VIEW", replace(VIEW, listing=short))
    assert "More than 60 lines" in site.sign_in("viewer").get("/log").text


def test_csv_contains_all_matching_lines_and_no_formulas(site: Site, company_id: int) -> None:
    write_lines(site, company_id, *(f"line {number}" for number in range(70)), '=HYPERLINK("http://evil.example")')
    write_lines(site, company_id, "no", kind="unconfirmed")
    answer = site.sign_in("viewer").get("/log.csv?kind=emailed")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(rows) == 71
    assert rows[0]["text"] == '\'=HYPERLINK("http://evil.example")'
    assert rows[-1]["text"] == "line 0"
    assert rows[-1]["company"] == "North Ltd"


def test_verifying_the_log_names_the_changed_line(site: Site, company_id: int) -> None:
    write_lines(site, company_id, "one", "two", "three")
    browser = site.sign_in("viewer")
    browser.get("/log/chain")
    assert "The log is intact" in browser.text
    browser.get("/log")
    assert "Verified on 10 Jun 2026 11:00 UTC" in " ".join(browser.text.split())
    with site.app.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER sync_log_refuses_update"))
        connection.execute(text("UPDATE sync_log SET text = 'TWO' WHERE id = 2"))
    browser.get("/log/chain")
    assert "The log was changed" in browser.text
    assert "At line 2" in browser.text


def test_the_number_of_queries_does_not_depend_on_the_number_of_lines(
    site: Site, company_id: int, count_queries: Any
) -> None:
    browser = site.sign_in("viewer")
    write_lines(site, company_id, "one")
    few = count_queries(lambda: browser.get("/log"))
    write_lines(site, company_id, *(f"line {number}" for number in range(500)))
    assert count_queries(lambda: browser.get("/log")) == few
    assert few <= 8


def test_every_filter_of_the_log_uses_an_index(site: Site, company_id: int) -> None:
    """A year of lines must not be read to show fifty of them."""
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415
    from sqlmodel import Session, col  # noqa: PLC0415

    from connector.audit import log_search  # noqa: PLC0415

    site.add_rows(CustomerRow(connection_id=company_id, external_id="c1", name="Miller"))
    with Session(site.app.engine) as session:
        for wanted in (
            log_search.LogFilter(company_ids=[company_id], before_id=900),
            log_search.LogFilter(company_ids=[company_id, 2]),
            log_search.LogFilter(run_id=1),
            log_search.LogFilter(company_ids=[company_id], customer="c1"),
        ):
            query = log_search._entries_query(session, wanted)
            assert query is not None
            ordered = query.order_by(col(SyncLogEntry.id).desc()).limit(51)
            statement = str(ordered.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
            plan = " ".join(row[3] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}"))
            assert "USING INDEX ix_log_" in plan or wanted.company_ids == [company_id, 2], plan
            assert "SCAN sync_log USING" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
