"""Every list page: sorted, filtered, paged without gaps, totalled by currency, acted on as it was seen."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.auth.users import change_role
from connector.db.engine import reading, writing
from connector.db.money import to_e4
from connector.db.tables import (
    CustomerRow,
    CustomerSetting,
    InvoiceDecisionRow,
    InvoiceRow,
    InvoiceSetting,
    OutboxEntry,
    SyncLogEntry,
    Task,
)
from connector.services.lists.engine import encode_position
from connector.services.lists.filters import FilterKind
from connector.vocabulary import OutboxKind, OutboxState, TaskCode
from connector.web.lists import customers, invoices, log, outbox, runs, tasks, users
from connector.web.page_request import derive_csrf_token
from connector.web.routes import cookie_name
from policies.decisions import DecisionKind
from policies.receivables import InvoiceStatus, Segment

Site = Any
TODAY = date(2026, 6, 10)
VIEWS = (*(each.VIEW for each in (customers, invoices, log, runs, tasks, users)), outbox.OUTBOX, outbox.FEES)


def add_customer(site: Site, company: int, customer: str, name: str) -> None:
    site.add_rows(CustomerRow(connection_id=company, external_id=customer, name=name, emails=f"{customer}@x.example"))


def invoice(company: int, number: str, due: str, **more: Any) -> InvoiceRow:
    due_e4 = to_e4(Decimal(due))
    days = more.pop("days", 7)
    given: dict[str, Any] = {
        "external_id": f"id-{number}", "customer_id": "c1", "currency": "GBP", "total_e4": due_e4, "due_e4": due_e4,
        "status": InvoiceStatus.OPEN, "is_open": True, "issued_on": TODAY - timedelta(days=(days or 0) + 30),
        "due_on": None if days is None else TODAY - timedelta(days=days),
    }  # fmt: skip
    return InvoiceRow(connection_id=company, number=number, **{**given, **more})


@pytest.fixture
def companies(site: Site) -> tuple[int, int]:
    """Two companies: two customers, five open invoices in two currencies, and a paid one."""
    north, south = site.add_company("North Ltd"), site.add_company("South Ltd")
    add_customer(site, north, "c1", "Miller & Sons")
    add_customer(site, south, "c1", "Ash GmbH")
    site.add_rows(
        invoice(north, "N-1", "120.00", days=7),
        invoice(north, "N-2", "80.50", days=-5),
        invoice(north, "N-3", "1000.00", days=40, currency="EUR"),
        invoice(north, "N-4", "5.00", due_on=None),
        invoice(north, "N-5", "0.00", is_open=False, status=InvoiceStatus.PAID),
        invoice(south, "=S-1", "12496.13", days=20),
    )
    return north, south


def cells(page: str, label: str) -> list[str]:
    """Return the texts of a column."""
    found = re.findall(rf'<t[hd][^>]*data-label="{label}"[^>]*>(.*?)</t[hd]>', page.partition("<tfoot")[0], re.DOTALL)
    return [unescape(re.sub(r"<[^>]+>", " ", each)).split("  ")[0].strip() for each in found]


def pages(browser: Any, path: str, label: str) -> Iterator[list[str]]:
    """Yield the texts of a column, page by page."""
    while path:
        page = browser.get(path).text
        yield cells(page, label)
        found = re.findall(r'href="([^"]*)" data-list-link rel="next"', page)
        path = unescape(found[0]) if found else ""


def test_invoices_are_filtered_sorted_and_totalled_by_currency(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("viewer")
    page = browser.get("/invoices").text
    assert cells(page, "Number") == ["N-3", "=S-1", "N-1", "N-2", "N-4"]  # by due date, those without one last
    total = page.partition("<tfoot")[2]
    assert "Total of 5 invoices" in total
    assert "EUR 1,000.00" in total
    assert "GBP 12,701.63" in total
    for query, numbers in {
        "sort=-due_on": ["N-2", "N-1", "=S-1", "N-3", "N-4"],
        "sort=due": ["N-4", "N-2", "N-1", "N-3", "=S-1"],
        "sort=customer": ["=S-1", "N-1", "N-2", "N-3", "N-4"],
        "state=overdue": ["N-3", "=S-1", "N-1"],
        "state=paid": ["N-5"],
        "state=all&sort=number": ["=S-1", "N-1", "N-2", "N-3", "N-4", "N-5"],
        "search=MILLER&currency=gbp": ["N-1", "N-2", "N-4"],
        "search=n-3": ["N-3"],
        "min=12.496,13": ["=S-1"],
        "min=80&max=1,000.00": ["N-3", "N-1", "N-2"],
        f"due_from={TODAY - timedelta(days=20)}&due_to={TODAY}": ["=S-1", "N-1"],
        f"company={companies[1]}": ["=S-1"],
    }.items():
        assert cells(browser.get(f"/invoices?company=all&{query}").text, "Number") == numbers, query


def test_an_empty_or_impossible_filter_says_why_and_how_to_widen_it(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("viewer")
    page = browser.get("/invoices?search=nobody&state=overdue").text
    assert "No invoices match these filters." in page
    assert 'href="/invoices?company=all&amp;state=overdue"' in page
    page = browser.get("/invoices?min=lots").text
    assert "Balance from: &#39;lots&#39; is not an amount. Enter it like 1,250.00." in page
    assert 'value="lots" maxlength="200" inputmode="decimal" size="9" aria-invalid="true"' in page
    for path in ("/invoices?sort=secret", "/invoices?state=odd", "/invoices?due_from=x", "/invoices?search=%00"):
        assert 'role="alert"' in browser.get(path).text, path
    for path in ("/invoices?after=!!", "/invoices?after=WyJhIl0", "/invoices?after=WzEsMiwzXQ", "/outbox?after=x"):
        assert browser.get(path).status_code == 200, path


def test_an_unknown_choice_is_answered_with_the_names_that_the_filter_shows(
    site: Site, companies: tuple[int, int]
) -> None:
    browser = site.sign_in("owner")
    choices = [(view.path, each) for view in VIEWS for each in view.listing.filters if each.kind is FilterKind.CHOICE]
    assert {path for path, _each in choices} >= {"/invoices", "/outbox", "/customers", "/tasks", "/runs", "/log"}
    for path, each in choices:
        page = unescape(browser.get(f"{path}?{each.name}=bogus").text)
        names = ", ".join(each.choices.values())
        assert f"{each.label}: there is no 'bogus'. Choose one of {names}." in page, path
    assert "cannot be sorted by 'odd'. Choose one of its columns." in unescape(browser.get("/invoices?sort=odd").text)
    answer = browser.get("/invoices.csv?state=bogus")
    assert "Choose one of Open, Overdue" in answer.text


def test_a_page_whose_rows_are_gone_begins_anew(site: Site, companies: tuple[int, int]) -> None:
    after = encode_position(["2099-01-01", 9, "z"])  # the rows of this page were decided about, or paid
    text = site.sign_in("viewer").get(f"/invoices?sort=due_on&search=N-1&after={after}").text
    assert ">N-1<" in text
    assert "No invoices match" not in text


@pytest.mark.parametrize("sort", ["due_on", "-due_on", "due", "-due", "customer", "-number", "next_on"])
def test_pages_have_no_gaps_and_no_repetitions_in_any_order(site: Site, companies: tuple[int, int], sort: str) -> None:
    north = companies[0]
    site.add_rows(*(
        invoice(north, f"M-{n:03}", f"{n % 7}.00", days=None if n % 5 == 0 else n % 11, issued_on=TODAY)
        for n in range(118)
    ))  # fmt: skip
    browser = site.sign_in("viewer")
    found = list(pages(browser, f"/invoices?sort={sort}", "Number"))
    assert [len(each) for each in found] == [50, 50, 23]
    assert len({number for each in found for number in each}) == 123
    page = browser.get(f"/invoices?sort={sort}").text
    second = unescape(re.findall(r'href="([^"]*)" data-list-link rel="next"', page)[0])
    first_shown = cells(page, "Number")[0]
    with writing(site.app.engine) as session:  # a row of the first page goes, another one comes
        session.delete(session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == first_shown)).one())
    assert cells(browser.get(second).text, "Number") == found[1]
    back = unescape(re.findall(r'href="([^"]*)" data-list-link rel="prev"', browser.page.text)[0])
    assert cells(browser.get(back).text, "Number") == found[0][1:]


def test_a_list_shows_only_the_companies_of_the_user(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("bookkeeper", companies[0])
    page = browser.get("/invoices?state=all").text
    assert "S-1" not in page
    assert "South Ltd" not in page
    assert "12,496.13" not in page
    assert browser.get(f"/invoices?company={companies[1]}").status_code == 404
    browser.get("/invoices")
    browser.submit("/invoices", {"do": "pause", "id": f"{companies[1]}:id-=S-1:x"})
    assert browser.page.status_code == 404
    browser.get("/invoices")
    browser.submit("/invoices", {"do": "export", "id": f"{companies[1]}:id-=S-1:x"})
    assert "12496.13" not in browser.page.text


def test_the_company_is_kept_from_page_to_page_and_named_in_the_header(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("viewer")
    browser.get(f"/invoices?company={companies[1]}")
    assert cells(browser.get("/invoices").text, "Number") == ["=S-1"]
    assert "South Ltd ×" in " ".join(browser.text.split())
    assert cells(browser.page.text, "Company") == []  # the same in each row
    assert "South Ltd" in browser.get("/log").text.partition("<main")[0]
    assert len(cells(browser.get("/invoices?company=all").text, "Number")) == 5
    assert "South Ltd" in cells(browser.page.text, "Company")
    assert len(cells(browser.get("/invoices").text, "Number")) == 5


def test_reminders_are_paused_for_chosen_invoices_and_for_all_that_match(
    site: Site, companies: tuple[int, int]
) -> None:
    browser = site.sign_in("bookkeeper")
    page = browser.get("/invoices?state=overdue").text
    chosen = re.findall(r'name="id" value="([^"]*)"', page)
    browser.submit("/invoices", {"do": "pause", "id": chosen[0], "until": "2026-07-01", "reason": "Holiday"})
    assert "Reminders paused." in browser.text
    assert 'href="/invoices?company=all&amp;state=overdue' in browser.page.text or "State: Overdue" in browser.text
    browser.get("/invoices?state=overdue")
    browser.submit("/invoices", {"do": "pause", "scope": "matching", "until": "2026-07-02"})
    assert "Pause reminders: 3 invoices?" in browser.text
    assert "Balance: EUR 1,000.00 · GBP 12,616.13" in browser.text
    with writing(site.app.engine) as session:  # paid in part while the question is read
        session.get_one(InvoiceRow, (companies[0], "id-N-1")).due_e4 = 1
    browser.submit("/invoices", {"do": "pause", "until": "2026-07-02"})
    assert "2 of 3 paused. Left as they are:" in browser.text
    assert "Invoice N-1 has changed since you read it." in browser.text
    with reading(site.app.engine) as session:
        paused = {row.invoice_id: row.paused_until_on for row in session.scalars(select(InvoiceSetting)) if row.paused}
        log = [row.text for row in session.scalars(select(SyncLogEntry))]
    assert paused == {"id-N-3": date(2026, 7, 2), "id-=S-1": date(2026, 7, 2)}
    assert len([text for text in log if "bookkeeper@example.com" in text and "paused" in text]) == 3


def test_invoices_paused_together_are_resumed_together_by_one_click(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("bookkeeper")
    page = browser.get("/invoices?state=overdue").text
    browser.submit("/invoices", {"do": "pause", "id": re.findall(r'name="id" value="([^"]*)"', page)[0]})
    site.clock.advance(minutes=1)
    browser.get("/invoices?state=overdue")
    browser.submit("/invoices", {"do": "pause", "scope": "page", "until": "2026-07-01"})
    assert "Undo: paused reminders for 3 invoices" in browser.text
    browser.submit("/invoices", {"do": "undo"})
    assert "Undone." in browser.text
    assert 'href="/invoices?company=all&amp;state=all"' in browser.page.text  # the filter is still in force
    with reading(site.app.engine) as session:
        paused = [
            (row.invoice_id, row.paused_until_on) for row in session.scalars(select(InvoiceSetting)) if row.paused
        ]
    assert paused == [("id-N-3", None)]  # what the pause of three replaced applies again


def test_the_export_has_every_row_and_no_formula(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("bookkeeper")
    rows = list(csv.DictReader(io.StringIO(browser.get("/invoices.csv?sort=due").text)))
    assert [row["number"].strip("'") for row in rows] == ["N-4", "N-2", "N-1", "N-3", "=S-1"]
    assert rows[-1]["number"] == "'=S-1"
    assert (rows[-1]["balance"], rows[-1]["currency"], rows[-1]["days overdue"]) == ("12496.13", "GBP", "20")
    page = browser.get("/invoices").text
    browser.submit("/invoices", {"do": "export", "id": re.findall(r'name="id" value="([^"]*)"', page)[0]})
    assert len(browser.page.text.splitlines()) == 2


def test_a_segment_is_the_one_set_by_hand_or_else_the_one_of_the_policy(site: Site, companies: tuple[int, int]) -> None:
    north, south = companies
    add_customer(site, north, "c2", "Oak Ltd")
    site.add_rows(
        invoice(north, "O-1", "1.00", customer_id="c2"),
        *(
            InvoiceDecisionRow(
                connection_id=company, invoice_id=f"id-{number}", customer_id=customer, kind=DecisionKind.HOLD,
                code="paused", reason="", run_id=1, since_at=site.clock.at, segment=Segment.STRATEGIC,
            )
            for company, number, customer in ((north, "N-1", "c1"), (north, "O-1", "c2"), (south, "=S-1", "c1"))
        ),
        CustomerSetting(connection_id=north, customer_id="c2", segment=Segment.NEW, set_at=site.clock.at),
    )  # fmt: skip
    add_entries(site, north, 2)
    browser = site.sign_in("viewer")
    for segment, names in (("strategic", ["Ash GmbH", "Miller & Sons"]), ("new", ["Oak Ltd"]), ("established", [])):
        assert cells(browser.get(f"/customers?segment={segment}").text, "Customer") == names
        found = cells(browser.get(f"/invoices?segment={segment}").text, "Customer")
        assert sorted(set(found)) == names
    assert len(cells(browser.get("/outbox?segment=strategic").text, "Customer")) == 2
    assert cells(browser.get("/outbox?segment=new").text, "Customer") == []


def test_a_user_who_loses_a_company_on_its_page_changes_and_sees_nothing_of_it(
    site: Site, companies: tuple[int, int]
) -> None:
    north, south = companies
    browser = site.sign_in("bookkeeper", north, south)
    page = browser.get(f"/invoices?company={south}&state=overdue").text
    with writing(site.app.engine) as session:
        change_role(session, "bookkeeper@example.com", "bookkeeper", companies=[north], by="a test", at=site.clock.at)
    lost = browser.submit("/invoices", {"do": "pause", "id": re.findall(r'name="id" value="([^"]*)"', page)})
    assert (lost.status_code, "South" in lost.text) == (404, False)
    assert cells(browser.get("/invoices").text, "Number") == [
        "N-3",
        "N-1",
        "N-2",
        "N-4",
    ]  # the kept choice is gone, too
    assert "South" not in browser.page.text
    with reading(site.app.engine) as session:
        assert [row for row in session.scalars(select(InvoiceSetting)) if row.paused] == []


def add_entries(site: Site, company: int, count: int) -> None:
    site.add_rows(*(
        OutboxEntry(
            connection_id=company, state=OutboxState.AWAITING_APPROVAL, key=f"k{company}:{n}", kind=OutboxKind.EMAIL,
            step="past_due" if n % 2 else "second_notice", customer_id="c1", invoice_id="id-N-1", currency="GBP",
            content_hash=f"h{n}", amount_e4=to_e4(Decimal(n)), reason=f"N-{n} is late.", planned_at=site.clock.at,
            payload={"to": ["ap@x.example"], "listed": ["id-N-1"], "due": {"id-N-1": f"{n}.00"}},
        )
        for n in range(count)
    ))  # fmt: skip


def test_all_emails_that_match_are_approved_as_they_were_when_confirmed(site: Site, companies: tuple[int, int]) -> None:
    north, south = companies
    add_entries(site, north, 120)
    add_entries(site, south, 3)
    browser = site.sign_in("bookkeeper", north)
    page = browser.get("/outbox?step=past_due&min=11").text
    assert "All 55 that match" in page
    browser.submit("/outbox", {"do": "approve", "scope": "matching"})
    assert "Approve: 55 entries?" in browser.text
    assert f"Amount: GBP {sum(range(11, 120, 2)):,}.00" in browser.text
    with writing(site.app.engine) as session:
        changed = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == f"k{north}:11")).one()
        changed.content_hash, changed.changed_at = "other", site.clock.at
        session.add(
            OutboxEntry(
                connection_id=north, state=OutboxState.AWAITING_APPROVAL, key="new", kind=OutboxKind.EMAIL,
                step="past_due", customer_id="c1", currency="GBP", content_hash="new", amount_e4=to_e4(Decimal(50)),
                reason="New.", planned_at=site.clock.at, payload={"to": ["ap@x.example"]},
            )
        )  # fmt: skip
    browser.submit("/outbox", {"do": "approve"})
    assert "54 of 55 approved. Left as they are:" in browser.text
    with reading(site.app.engine) as session:
        rows = list(session.scalars(select(OutboxEntry)))
    assert sum(row.state == OutboxState.PLANNED for row in rows) == 54
    assert {row.state for row in rows if row.key in {"new", f"k{north}:11", f"k{south}:1"}} == {
        OutboxState.AWAITING_APPROVAL
    }


def test_a_viewer_may_filter_and_export_but_not_act(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("viewer")
    page = browser.get("/invoices").text
    assert 'name="do"' not in page
    assert browser.get("/invoices.csv").status_code == 200
    token = {"csrf": "x"}
    assert browser.post("/invoices", {**token, "do": "pause", "scope": "matching"}).status_code == 403


def test_a_list_needs_few_queries_and_stays_small(site: Site, companies: tuple[int, int], count_queries: Any) -> None:
    site.add_rows(*(invoice(companies[0], f"M-{n:03}", "12345.67", days=n) for n in range(118)))
    add_entries(site, companies[0], 118)
    for n in range(18):
        site.add_company(f"Company number {n} with a long name")
    browser = site.sign_in("bookkeeper")
    for path in ("/invoices", "/outbox", "/fees", "/customers", "/tasks", "/runs", "/log"):
        assert count_queries(lambda path=path: browser.get(path)) <= 12, path
        assert len(browser.page.content) <= 60_000, (path, len(browser.page.content))


def test_the_search_opens_an_exact_number_and_groups_the_rest(site: Site, companies: tuple[int, int]) -> None:
    browser = site.sign_in("viewer")
    found = browser.get("/search?q=n-3")
    assert found.url.endswith(f"/companies/{companies[0]}/invoices/id-N-3")
    browser.get("/search?q=12.496,13")
    assert "Invoices by amount" in browser.text
    assert "=S-1 GBP 12,496.13" in " ".join(browser.text.split())
    browser.get("/search?q=x.example")
    assert "Miller & Sons" in browser.text
    assert "Ash GmbH" in browser.text
    assert "Nothing found for “nobody”" in browser.get("/search?q=nobody").text
    assert "The key / takes you there" in " ".join(browser.get("/search").text and browser.text.split())
    northern = site.sign_in("bookkeeper", companies[0], email="n@example.com")
    for text in ("=S-1", "12496.13", "Ash GmbH", "c1@x.example"):
        northern.get(f"/search?q={text}")
        assert "Ash" not in northern.text.replace(f"“{text}”", "").replace(f"Search: {text}", "")
        assert "South" not in northern.text


def test_rows_of_another_company_are_neither_changed_nor_exported_by_their_ids(
    site: Site, companies: tuple[int, int]
) -> None:
    north, south = companies
    add_entries(site, south, 2)
    site.add_rows(
        Task(
            connection_id=south, key="t", code=TaskCode.CALL, customer_id="c1", invoice_ids=[], due_on=TODAY,
            reason="Ring them", created_at=site.clock.at,
        )
    )  # fmt: skip
    browser = site.sign_in("bookkeeper", north)
    browser.get("/outbox")
    session_token = browser.http.cookies[cookie_name(site.app)]
    chosen = {
        "/outbox": ("1:", ("approve", "reject", "export")),
        "/tasks": ("1:", ("complete", "assign", "export")),
        "/invoices": (f"{south}:id-=S-1:", ("pause", "resume", "export")),
        "/customers": (f"{south}:c1:", ("pause", "assign", "export")),
    }
    for path, (row, actions) in chosen.items():
        token = derive_csrf_token(session_token, path)
        for action in actions:
            for fields in ({"id": row}, {"scope": "page", "shown": row}, {"scope": "seen", "seen": row}):
                more = {"do": action, "csrf": token, "until": "2026-07-01", "assignee": "Eve <eve@example.com>"}
                answer = browser.post(path, {**more, **fields, "query": f"company={south}"})
                assert "South" not in answer.text, (path, action)
                assert "S-1" not in answer.text, (path, action)
                assert "Ash" not in answer.text, (path, action)
    with reading(site.app.engine) as session:
        assert {row.state for row in session.scalars(select(OutboxEntry))} == {OutboxState.AWAITING_APPROVAL}
        assert [row.state for row in session.scalars(select(Task))] == ["open"]
        assert list(session.scalars(select(InvoiceSetting))) == []
        assert list(session.scalars(select(CustomerSetting))) == []


def test_customers_and_tasks_are_changed_many_at_once(site: Site, companies: tuple[int, int]) -> None:
    site.add_rows(
        *(
            Task(
                connection_id=companies[0], key=f"t{n}", code=TaskCode.CALL, customer_id="c1", invoice_ids=[],
                due_on=TODAY - timedelta(days=n - 1), reason=f"Ring {n}", created_at=site.clock.at,
            )
            for n in range(3)
        )
    )  # fmt: skip
    browser = site.sign_in("bookkeeper")
    page = browser.get("/customers?sort=-overdue").text
    assert cells(page, "Customer") == ["Ash GmbH", "Miller & Sons"]
    assert "GBP 12,701.63" in page.partition("<tfoot")[2]
    browser.submit("/customers", {"do": "pause", "scope": "page", "until": "2026-06-01"})
    assert "would already be over" in browser.text
    browser.get("/customers")
    browser.submit("/customers", {"do": "assign", "scope": "page", "assignee": "Ann Lee <ann@example.com>"})
    assert "Assigned." in browser.text
    assert cells(browser.get("/customers?owner=ann").text, "Customer") == ["Ash GmbH", "Miller & Sons"]
    assert cells(browser.get("/tasks?state=overdue").text, "Reason") == ["Ring 2"]
    browser.get("/tasks")
    browser.submit("/tasks", {"do": "complete", "scope": "page", "note": ""})
    assert "Enter the outcome" in browser.text
    page = browser.get("/tasks").text
    chosen = re.findall(r'name="id" value="([^"]*)"', page)
    with writing(site.app.engine) as session:
        session.get_one(Task, int(chosen[0].partition(":")[0])).owner = "ben@example.com"
    browser.submit("/tasks", {"do": "complete", "id": chosen, "note": "Spoke to Mr Ash"})
    assert "2 of 3 completed. Left as they are:" in browser.text
    assert "has changed since you read it." in browser.text
    assert len(cells(browser.get("/tasks?state=done").text, "Reason")) == 2


def test_each_company_counts_its_overdue_balances_by_its_own_date(site: Site) -> None:
    site.clock.at = site.clock.at.replace(hour=10, minute=30)  # three dates on earth: 9, 10 and 11 June
    zones = ("Pacific/Pago_Pago", "Europe/London", "Pacific/Kiritimati")
    for zone in zones:
        company = site.add_company(zone.partition("/")[2], time_zone=zone)
        add_customer(site, company, "c1", zone)
        site.add_rows(invoice(company, "A", "10.00", days=0), invoice(company, "B", "1.00", days=1))
    browser = site.sign_in("viewer")
    page = browser.get("/customers?company=all&sort=-overdue").text
    assert cells(page, "Overdue") == ["GBP 11.00", "GBP 1.00", "–"]
    assert cells(page, "Customer") == ["Pacific/Kiritimati", "Europe/London", "Pacific/Pago_Pago"]
    assert "GBP 12.00" in page.partition("<tfoot")[2]  # in total
    for state in ("/customers?company=all&state=overdue", "/invoices?company=all&state=overdue"):
        assert len(cells(browser.get(state).text, "Customer")) == (2 if "customers" in state else 3), state


def test_a_pause_that_has_ended_is_not_shown_as_one(site: Site, companies: tuple[int, int]) -> None:
    given = {"customer_id": "c1", "set_by": "a", "set_at": site.clock.at}
    for company, until in zip(companies, (TODAY, TODAY + timedelta(days=1)), strict=True):
        site.add_rows(CustomerSetting(connection_id=company, hold_until_on=until, **given))
    assert site.sign_in("viewer").get("/customers?company=all").text.count("paused until") == 1
