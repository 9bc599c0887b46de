"""The pages of tasks and invoices."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.db.engine import reading
from connector.db.money import to_e4
from connector.db.tables import CustomerRow, InvoiceRow, InvoiceSetting, Task
from connector.vocabulary import TaskCode, TaskState
from policies.receivables import InvoiceStatus

Site = Any


@pytest.fixture
def task(site: Site) -> int:
    """An open call task about one invoice."""
    company = site.add_company("North Ltd", base_currency="GBP", first_pull_done_at=site.clock.at)
    today = site.clock.at.date()
    row = Task(
        connection_id=company,
        key="t",
        code=TaskCode.CALL,
        step="call",
        customer_id="c1",
        invoice_ids=["i1"],
        due_on=today,
        reason="INV-1 is 9 days late.",
        created_at=site.clock.at,
    )
    site.add_rows(
        CustomerRow(connection_id=company, external_id="c1", name="Miller & Sons", emails="ap@miller.example"),
        InvoiceRow(
            connection_id=company,
            external_id="i1",
            number="INV-1",
            customer_id="c1",
            currency="GBP",
            issued_on=today - timedelta(days=39),
            due_on=today - timedelta(days=9),
            total_e4=to_e4(Decimal(120)),
            due_e4=to_e4(Decimal("99.50")),
            status=InvoiceStatus.OPEN,
            is_open=True,
        ),
        row,
    )
    return row.id or 0


def test_the_outcome_of_a_task_is_recorded_with_its_promise(site: Site, task: int) -> None:
    browser = site.sign_in("bookkeeper")
    assert f'href="/tasks/{task}"' in browser.get("/").text
    browser.get(f"/tasks/{task}")
    assert "GBP 99.50 due on" in browser.text
    browser.submit(f"/tasks/{task}", {"note": "Spoke to Jo", "promised_on": "2026-06-19"})
    assert "Saved." in browser.text
    with reading(site.app.engine) as session:
        row, said = session.get_one(Task, task), session.get_one(InvoiceSetting, (1, "i1"))
    assert (row.state, row.ended_by) == ("done", "bookkeeper@example.com")
    assert str(said.promised_on) == "2026-06-19"
    browser.get(f"/tasks/{task}")
    assert "Save outcome" not in browser.text


def test_an_invalid_date_leaves_the_task_open(site: Site, task: int) -> None:
    browser = site.sign_in("bookkeeper")
    browser.get(f"/tasks/{task}")
    browser.submit(f"/tasks/{task}", {"promised_on": "soon"})
    assert browser.page.status_code == 409
    with reading(site.app.engine) as session:
        assert session.get_one(Task, task).state == TaskState.OPEN


def test_an_invoice_page_shows_timeline_and_next_steps(site: Site, task: int) -> None:
    browser = site.sign_in("viewer")
    browser.get("/companies/1/invoices/i1")
    assert "GBP 99.50 of GBP 120.00" in browser.text
    assert "Issued for" in browser.text
    assert "Next steps, unless it is paid" in browser.text
    assert browser.get("/companies/1/invoices/nothing").status_code == 404
