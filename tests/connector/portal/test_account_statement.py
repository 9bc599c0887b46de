"""The statement of account: every balance follows from the one before, and the last one is the ledger's."""

from __future__ import annotations

import io
import zipfile
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.db.engine import reading, writing
from connector.db.money import from_e4
from connector.db.tables import CreditRow
from connector.emails.portal_links import PortalVisitor
from connector.portal import documents
from connector.portal.account_statement import Entry, EntryKind, build_statement, load_statements_of_account
from connector.web.portal_guard import PortalGuard
from policies.receivables import CreditKind
from tests.connector.portal.conftest import TODAY, PortalScenario, find_miller, find_row, visible_text

DAYS = st.dates(date(2026, 1, 1), date(2026, 6, 30))
ENTRIES = st.lists(
    st.builds(Entry, DAYS, st.sampled_from(EntryKind), st.text("AB1", max_size=3), st.integers(-(10**12), 10**12))
)


@given(ENTRIES, DAYS, st.integers(0, 90))
def test_the_running_balance_adds_up(entries: list[Entry], from_on: date, days: int) -> None:
    until_on = from_on + timedelta(days=days)
    statement = build_statement("GBP", entries, from_on, until_on)
    assert statement.opening_e4 == sum(each.amount_e4 for each in entries if each.on < from_on)
    assert statement.closing_e4 == sum(each.amount_e4 for each in entries if each.on <= until_on)
    before = statement.opening_e4
    for entry, balance in statement.entries:
        assert balance == before + entry.amount_e4
        assert from_on <= entry.on <= until_on
        before = balance
    next_period = build_statement("GBP", entries, until_on + timedelta(days=1), until_on + timedelta(days=400))
    assert next_period.opening_e4 == statement.closing_e4


def _pay_out_a_credit(scenario: PortalScenario, customer_id: str) -> None:
    """Add a credit note that was paid out: nothing remains of it, and it is applied to no invoice."""
    with writing(scenario.app.engine) as session:
        session.add(
            CreditRow(
                connection_id=scenario.connection,
                kind=CreditKind.CREDIT_NOTE,
                external_id="paid-out",
                customer_id=customer_id,
                currency="GBP",
                dated_on=TODAY,
                total_e4=123_400,
                remaining_e4=0,
            )
        )


@pytest.mark.parametrize("scenario", ["xero", "quickbooks"], indirect=True)
def test_the_closing_balance_is_the_ledgers_whatever_was_paid_credited_or_voided(scenario: PortalScenario) -> None:
    company = scenario.company
    paid = company.invoice("Miller & Sons", "300.00", due_on=TODAY - timedelta(days=20))
    credited = company.invoice("Miller & Sons", "90.00", due_on=TODAY - timedelta(days=15))
    voided = company.invoice("Miller & Sons", "55.00", due_on=TODAY - timedelta(days=15))
    company.pay(paid, on=TODAY - timedelta(days=10))
    company.pay(scenario.overdue, "450.10", on=TODAY - timedelta(days=3))
    company.credit_invoice(credited, "40.00")
    company.credit("Miller & Sons", "25.25")
    company.void(voided)
    if company.provider == "xero":
        company.simulator.add_credit("Miller & Sons", "60.00", "Overpayment", **company.company_filter)
    else:
        company.simulator.pay_unapplied("Miller & Sons", "60.00")
    scenario.pass_days(14)  # Xero's overpayments are read before an email is sent
    scenario.run()
    visitor = PortalVisitor(scenario.connection, find_miller(scenario).external_id, expired=False)
    with reading(scenario.app.engine) as session:
        [statement] = load_statements_of_account(
            session, visitor, TODAY - timedelta(days=90), scenario.today, scenario.app.now()
        )
    mine = (scenario.overdue, scenario.upcoming, paid, credited)
    due = sum((company.open_balances()[number] for number in mine), Decimal(0))
    owed = due - Decimal("25.25") - Decimal("60.00")
    assert from_e4(statement.closing_e4) == owed
    kinds = [entry.kind for entry, _balance in statement.entries]
    assert kinds.count(EntryKind.PAYMENT) == 3
    assert kinds.count(EntryKind.CREDIT) == 2
    assert {EntryKind.ADJUSTMENT, EntryKind.REFUND} & set(kinds) == set()
    assert voided not in [entry.name for entry, _balance in statement.entries]
    _pay_out_a_credit(scenario, visitor.customer_id)
    with reading(scenario.app.engine) as session:
        [statement] = load_statements_of_account(
            session, visitor, TODAY - timedelta(days=90), scenario.today, scenario.app.now()
        )
    assert from_e4(statement.closing_e4) == owed
    [refund] = [entry for entry, _balance in statement.entries if entry.kind is EntryKind.REFUND]
    assert from_e4(refund.amount_e4) == Decimal("12.34")
    page = scenario.client.get("/account")
    shown = visible_text(page)
    assert f"Closing balance £{owed:,.2f}" in shown
    assert "Potter" not in shown
    half = scenario.client.get(f"/account?from={TODAY - timedelta(days=5)}&until={TODAY - timedelta(days=1)}")
    assert "Opening balance £1,280.50" not in visible_text(half)
    if company.provider == "quickbooks":  # known only by the customer's own balance there
        company.simulator.book_on_no_invoice("Miller & Sons", "30.00")
        scenario.run()
        assert f"Closing balance £{owed - 30:,.2f}" in visible_text(scenario.client.get("/account"))
    pdf = scenario.client.get("/account/GBP.pdf")
    assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")
    for query in ("?from=2020-01-01", "?until=2026-12-31", "?from=x", "?from=2026-06-09&until=2026-06-08"):
        assert scenario.client.get(f"/account{query}").status_code == 422, query
    assert scenario.client.get("/account/EUR.pdf").status_code == 404


def test_all_pdfs_come_in_one_file_within_the_customers_share_of_calls(
    scenario: PortalScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = scenario.client.get("/invoices.zip")
    assert archive.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        assert opened.testzip() is None
        assert len(opened.namelist()) == 2
        assert all(opened.read(name).startswith(b"%PDF-") for name in opened.namelist())
    assert scenario.foreign not in archive.text
    assert find_row(scenario, scenario.foreign).number not in str(archive.content)
    monkeypatch.setattr(PortalGuard, "can_call_ledger", lambda _guard, _visitor: False)
    assert scenario.client.get("/invoices.zip").status_code == 200  # they are kept: no further call to the ledger
    monkeypatch.setattr(documents, "PDFS_AT_ONCE", 1)
    with zipfile.ZipFile(io.BytesIO(scenario.client.get("/invoices.zip").content)) as opened:
        assert scenario.upcoming in opened.read("NOT-COMPLETE.txt").decode()
        assert scenario.overdue not in opened.read("NOT-COMPLETE.txt").decode()
    monkeypatch.setattr(documents, "PDFS_AT_ONCE", 0)
    assert scenario.client.get("/invoices.zip").status_code == 503
