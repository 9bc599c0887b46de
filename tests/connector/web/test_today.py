"""The first page: what is owed, what needs a person, what happened and what comes next."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import escape
from typing import Any

import pytest
from sqlalchemy import event

from connector.connections.registry import list_connected
from connector.db.engine import reading
from connector.db.tables import (
    ApplicationRow,
    CustomerRow,
    InvoiceDecisionRow,
    InvoiceRow,
    OutboxEntry,
    PaymentRow,
    SyncRun,
    Task,
    WriteOff,
)
from connector.services.today import SHOWN_MAX, load_dashboard
from connector.vocabulary import OutboxState, RunOutcome, TaskCode
from policies.decisions import DecisionKind
from policies.receivables import CreditKind, InvoiceStatus, Step

Site = Any


def build_entry(site: Site, company: int, number: int, state: str, **more: Any) -> OutboxEntry:
    given = {
        "kind": "email",
        "step": "past_due",
        "customer_id": f"c{number % 7}",
        "reason": f"reason {company}-{number}",
        "payload": {"to": [], "completed": [], "listed": []},
        "planned_at": site.clock.at,
        **more,
    }
    return OutboxEntry(connection_id=company, key=f"{company}:{number}", state=OutboxState(state), **given)


def build_task(site: Site, company: int, customer: str, **more: Any) -> Task:
    given = {"code": TaskCode.CALL, "reason": "Call them", "due_on": site.clock.at.date(), **more}
    key = f"{company}:{customer}:{given['code']}"
    return Task(connection_id=company, key=key, customer_id=customer, invoice_ids=[], created_at=site.clock.at, **given)


def build_invoice(site: Site, company: int, customer: str, amount: int, *, late: int, **more: Any) -> InvoiceRow:
    due_on = site.clock.at.date() - timedelta(days=late)
    given = {
        "external_id": f"{customer}-{amount}-{late}",
        "number": f"N{amount}",
        "currency": "GBP",
        "issued_on": due_on - timedelta(days=30),
        "total_e4": amount * 10_000,
        "due_e4": amount * 10_000,
        "status": InvoiceStatus.OPEN,
        "is_open": True,
        **more,
    }
    return InvoiceRow(connection_id=company, customer_id=customer, due_on=due_on, **given)


def rows_of(page: str) -> list[str]:
    """Return the names in the attention list, in its order."""
    table = page.partition('<table class="attention">')[2].partition("</table>")[0]
    return [part.partition("</a>")[0].rpartition(">")[2] for part in table.split('<th scope="row">')[1:]]


def test_an_owner_without_a_company_sees_how_to_start(site: Site) -> None:
    owner = site.sign_in("owner")
    assert "Connect your first company" in owner.get("/").text
    assert "Connect your first company" not in site.sign_in("viewer").get("/").text
    assert "No customer needs attention." in owner.get("/attention").text


def test_it_shows_what_needs_attention_what_was_sent_and_what_is_next(site: Site) -> None:
    north = site.add_company("North <b>Ltd</b>", mode="live", first_pull_done_at=site.clock.at)
    south = site.add_company(
        "South Ltd",
        health="authorization_expired",
        health_reason="Xero says the consent was withdrawn.",
        first_pull_done_at=site.clock.at,
    )
    site.add_company("East Ltd", synced_at=site.clock.at - timedelta(days=2), first_pull_done_at=site.clock.at)
    at = site.clock.at
    on = (at + timedelta(days=3)).date()
    site.add_rows(
        CustomerRow(connection_id=north, external_id="c1", name="Miller & Sons"),
        build_entry(site, north, 1, "awaiting_approval"),
        build_entry(site, north, 2, "unconfirmed"),
        build_entry(site, north, 3, "done", ended_at=at - timedelta(hours=3), customer_id="c1"),
        build_entry(site, north, 4, "done", ended_at=at - timedelta(days=3)),
        build_entry(site, north, 5, "planned", send_after=at + timedelta(hours=20)),
        build_task(site, south, "c9"),
        build_task(site, south, "c8", due_on=on),
        SyncRun(connection_id=north, started_at=at, outcome=RunOutcome.FAILED, reason="The disk is full."),
        InvoiceDecisionRow(
            connection_id=north,
            invoice_id="i",
            customer_id="c1",
            kind=DecisionKind.HOLD,
            code="later",
            next_step=Step.SECOND_NOTICE,
            next_on=on,
            run_id=1,
            since_at=at,
        ),
    )
    browser = site.sign_in("viewer")
    page, text = browser.get("/").text, browser.text
    assert "<b>Ltd</b>" not in page
    assert "1 to approve" in text
    assert "1 unconfirmed" in text
    assert "1 task due" in text
    assert "Miller & Sons" in text
    assert "Approve: First reminder" in text
    assert "Delivery unconfirmed: First reminder" in text
    assert "1 more company has a problem" in text
    assert text.count("1 × Email") == 2  # sent since yesterday, and planned
    assert "13 Jun 2026" in text
    assert "1 task due within 7 days" in " ".join(text.split())
    sent, planned = (f"/outbox?state={state}&kind=email" for state in ("done", "planned"))
    for opened, count in ((sent + "&ended_from=2026-06-09", 1), (planned, 1)):
        assert f'href="{escape(opened)}"' in page
        assert browser.get(opened).text.count("/outbox/") >= count
    browser.get(f"/?company={south}")
    assert "the consent was withdrawn" in browser.text
    assert "Miller" not in browser.text
    assert f'href="/tasks?company={south}"' in browser.page.text


def test_a_customer_has_one_row_with_everything_to_do(site: Site) -> None:
    north = site.add_company("North Ltd", first_pull_done_at=site.clock.at)
    site.add_rows(
        CustomerRow(connection_id=north, external_id="c1", name="Miller"),
        *(build_entry(site, north, each, "awaiting_approval", customer_id="c1") for each in range(2)),
        build_entry(site, north, 9, "awaiting_approval", customer_id="c1", kind="late_fee", step="late_fee"),
        build_task(site, north, "c1"),
        build_task(site, north, "c1", code=TaskCode.REPLY),
    )
    browser = site.sign_in("viewer")
    assert rows_of(browser.get("/").text) == ["Miller"]
    text = " ".join(browser.text.split())
    assert "Approve: First reminder (2) , Approve: Late fee , Call , 1 more" in text


def test_customers_are_ordered_by_amount_times_lateness_within_and_across_currencies(site: Site) -> None:
    north = site.add_company("North Ltd", first_pull_done_at=site.clock.at)
    balances = (("a", 100, 50, "GBP"), ("b", 1000, 10, "GBP"), ("c", 90_000, 30, "JPY"), ("d", 9000, -5, "GBP"))
    for customer, amount, late, currency in balances:
        site.add_rows(
            CustomerRow(connection_id=north, external_id=customer, name=f"Customer {customer}"),
            build_task(site, north, customer),
            build_invoice(site, north, customer, amount, late=late, currency=currency),
        )
    site.add_rows(build_invoice(site, north, "x", 10_000, late=-20, currency="JPY"))
    browser = site.sign_in("viewer")
    names = rows_of(browser.get("/").text)
    # A typical invoice is of JPY 50,000 and of GBP 3,367: c has 54 times a day's worth of one, b 3 and a 1.5
    assert names == ["Customer c", "Customer b", "Customer a", "Customer d"]
    assert "GBP 9,000.00 not due" in browser.text
    assert rows_of(browser.get("/attention").text) == names


def test_amounts_are_by_currency_with_their_change_since_a_week_ago(site: Site) -> None:
    north = site.add_company("North Ltd", first_pull_done_at=site.clock.at)
    today = site.clock.at.date()
    paid = build_invoice(site, north, "b", 70, late=20, due_e4=0, status=InvoiceStatus.PAID, is_open=False)
    site.add_rows(
        build_invoice(site, north, "a", 100, late=12),
        build_invoice(site, north, "a", 40, late=3),  # became overdue within the week
        build_invoice(site, north, "a", 25, late=0),
        build_invoice(site, north, "a", 9, late=-7),  # due in a week, after the coming seven days
        build_invoice(site, north, "a", 500, late=9, currency="USD"),
        paid,
        *(
            ApplicationRow(
                connection_id=north,
                source_kind=CreditKind.PAYMENT,
                source_id=source,
                invoice_id=paid.external_id,
                applied_on=today - timedelta(days=ago),
                amount_e4=amount * 10_000,
            )
            for source, ago, amount in (("p1", 2, 60), ("p2", 8, 10))
        ),
        *(
            PaymentRow(
                connection_id=north,
                external_id=source,
                customer_id="b",
                currency="GBP",
                paid_on=today - timedelta(days=ago),
                total_e4=amount * 10_000,
                unapplied_e4=0,
            )
            for source, ago, amount in (("p1", 2, 60), ("p2", 8, 10), ("p3", 1, 33))
        ),
        WriteOff(connection_id=north, payment_id="p3"),
    )
    browser = site.sign_in("viewer")
    page = re.sub(r'<span class="code">(.*?)</span>', r"\1", browser.get("/").text)
    lines = page.partition('aria-label="Receivables"')[2].partition("</section>")[0].split("<tr>")[2:]
    amounts = [[part.partition("<")[0] for part in line.split(">") if part[:4] in {"GBP ", "USD "}] for line in lines]
    # Nobody has paid yet: half on the due date and nine in ten 30 days later. Expected of the 100, 40 and 25 are 26.42,
    # 7.89 and 14.50; a week ago of the 100, 40 and the 60 paid since: 20.90, 21.07 and 16.47. Of the USD 118.64, 95.89.
    assert amounts == [
        ["GBP 140.00", "GBP 49", "GBP 60.00"],
        ["USD 500.00", "USD 119", "USD 0.00"],
    ]
    assert "−GBP 10<" in lines[0]
    assert "+USD 23<" in lines[1]
    assert "−GBP 20.00" in lines[0]  # a week ago, 100 and the 60 paid since
    assert "no change" in lines[1]


def test_nothing_to_do(site: Site) -> None:
    site.add_company("North Ltd", mode="live", first_pull_done_at=site.clock.at)
    browser = site.sign_in("viewer")
    browser.get("/")
    assert "Nothing. All companies sync automatically." in browser.text


def test_before_the_first_sync_ends_it_never_says_that_nothing_needs_attention(site: Site) -> None:
    north = site.add_company("North Ltd", synced_at=None, health="new")
    browser = site.sign_in("viewer")
    browser.get("/")
    assert "First sync under way" in browser.text
    assert "starts within a minute" in browser.text
    assert "Not known yet" in browser.text
    site.add_rows(SyncRun(connection_id=north, started_at=site.clock.at))
    assert 'href="/runs/1"' in browser.get("/").text
    site.add_company("South Ltd", first_pull_done_at=site.clock.at)
    browser.get("/")
    assert "the invoices of 1 company have not all been read" in browser.text
    assert "Nothing. All" not in browser.text
    site.add_company("East Ltd", synced_at=None, health="authorization_expired", health_reason="Reconnect it.")
    page = browser.get("/").text.partition("Receivables")[0]
    assert "North Ltd" in page.partition("First sync under way")[2]
    assert "East Ltd: it starts" not in browser.text  # it does not, until it is reconnected


@pytest.mark.parametrize("path", ["/", "/attention"])
def test_users_see_only_their_companies(site: Site, path: str) -> None:
    north, south = (site.add_company(name, first_pull_done_at=site.clock.at) for name in ("North Ltd", "South Ltd"))
    for company, name in ((north, "Miller"), (south, "Baker")):
        site.add_rows(
            CustomerRow(connection_id=company, external_id="c1", name=name),
            build_task(site, company, "c1"),
            build_invoice(site, company, "c1", 77 * company, late=9),
        )
    browser = site.sign_in("viewer", south)
    page = browser.get(path).text
    assert rows_of(page) == ["Baker"]
    assert "GBP 154.00" in page
    assert "GBP 231.00" not in page
    assert browser.get(f"{path}?company={north}").status_code == 404


def test_the_page_is_as_heavy_for_many_companies_as_for_few(
    site: Site, count_queries: Callable[[Callable[[], object]], int]
) -> None:
    browser = site.sign_in("viewer")
    weights: list[tuple[int, int]] = []
    for number in range(30):
        company = site.add_company(f"Company {number}", first_pull_done_at=site.clock.at)
        site.add_rows(
            *(
                build_entry(site, company, each, state)
                for each, state in enumerate(["awaiting_approval", "unconfirmed", "planned", "done"] * 7)
            ),
            *(build_invoice(site, company, f"c{each}", 100, late=each) for each in range(5)),
        )
        if number in {1, 29}:
            browser.get("/")  # from now on, figures that depend on the mirror alone are in memory
            queries = count_queries(lambda: browser.get("/"))
            page = browser.page.text
            weights.append((queries, len(page) - page.count("<option") * 60))
            assert len(rows_of(page)) == SHOWN_MAX
    (few, short), (many, long) = weights
    assert many == few <= 12
    assert abs(long - short) < 500


def test_recently_sent_entries_are_found_by_an_index(site: Site) -> None:
    site.add_company("North Ltd")
    plans: list[str] = []

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "outbox.ended_at >=" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))

    event.listen(site.app.engine, "before_cursor_execute", note)
    with reading(site.app.engine) as session:
        load_dashboard(session, list_connected(session), site.clock.at)
    event.remove(site.app.engine, "before_cursor_execute", note)
    assert len(plans) == 1
    assert all("ix_outbox_state (connection_id=? AND state=? AND ended_at>?)" in plan for plan in plans), plans
