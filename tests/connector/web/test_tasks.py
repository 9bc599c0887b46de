"""The pages of tasks and invoices."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select

from connector.arrangements.agreement_list import format_agreement
from connector.db.engine import reading, writing
from connector.db.money import to_e4
from connector.db.tables import Agreement, CustomerRow, InvoiceRow, InvoiceSetting, Task
from connector.privacy.personal_data import RULES
from connector.vocabulary import TaskCode, TaskState
from policies.receivables import InvoiceStatus
from tests.connector import site as sites

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
        CustomerRow(
            connection_id=company,
            external_id="c1",
            name="Miller & Sons",
            emails="ap@miller.example",
            country="GB",
            phones="phone 020 7946 0018\nother ask for Jo, room 7",
            contacts="Ann Lee <ann@miller.example>",
        ),
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


def submit(browser: Any, task: int, **fields: str) -> Any:
    browser.get(f"/tasks/{task}")
    return browser.submit(f"/tasks/{task}", fields)


def read_task(site: Site, task: int) -> Task:
    with reading(site.app.engine) as session:
        return session.get_one(Task, task)


def test_a_task_shows_whom_to_call_and_what_is_due_now(site: Site, task: int) -> None:
    site.clock.advance(days=1)
    browser = site.sign_in("viewer")
    page = browser.get(f"/tasks/{task}").text
    assert '<a class="button" href="tel:+442079460018">020 7946 0018</a>' in page
    assert "ask for Jo" in browser.text
    assert "Ann Lee &lt;ann@miller.example&gt;" in page
    assert "GBP 99.50" in browser.text
    assert '<strong class="bad">Overdue</strong>' in page
    assert "Save promise" not in page
    with writing(site.app.engine) as session:
        session.get_one(InvoiceRow, (1, "i1")).is_open = False
    assert "Due now" not in (browser.get(f"/tasks/{task}") and browser.text)


def test_a_promise_is_one_form_with_its_date_and_amount(site: Site, task: int) -> None:
    browser = site.sign_in("bookkeeper")
    submit(browser, task, do="promise", promised_on="2026-06-19", promised_amount="50", note="Spoke to Jo")
    assert "Task closed." in browser.text
    with reading(site.app.engine) as session:
        said = session.get_one(InvoiceSetting, (1, "i1"))
        agreement = session.scalars(select(Agreement)).one()
    assert str(said.promised_on) == "2026-06-19"
    assert agreement.amount_e4 == to_e4(Decimal(50))
    assert format_agreement(agreement).startswith("Promise to pay GBP 50.00 by 19 Jun 2026: Spoke to Jo")
    closed = read_task(site, task)
    assert (closed.state, closed.ended_by) == ("done", "bookkeeper@example.com")
    assert "Save promise" not in browser.get(f"/tasks/{task}").text


def test_a_number_of_ones_own_is_called_first_and_erased_with_the_customer(site: Site, task: int) -> None:
    owner = site.sign_in("owner")
    customer = f"/companies/1/customers/{read_task(site, task).customer_id}"
    owner.get(customer)
    page = owner.submit(customer, {"do": "set", "phone": "ask Jo"}).text
    assert 'id="phone-problem">&#39;ask Jo&#39; is not a telephone number.' in page
    assert "Saved." in owner.submit(customer, {"do": "set", "phone": "0131 496 0000"}).text
    page = owner.get(f"/tasks/{task}").text
    assert '<a class="button" href="tel:+441314960000">0131 496 0000</a>' in page
    assert '<a class="button second" href="tel:+442079460018">' in page
    assert RULES["customer_setting"].redact["phone"] == ""


def test_the_outcome_of_a_task_is_undone_with_its_promise_by_one_click(site: Site, task: int) -> None:
    other = site.add_company("South Ltd")
    browser = site.sign_in("bookkeeper")
    submit(browser, task, do="promise", promised_on="2026-06-19", promised_amount="50", note="Spoke to Jo")
    assert "South Ltd" in browser.page.text.partition("<main")[2]  # it leaves the choice of companies as it was
    ben = site.sign_in("bookkeeper", other, email="ben@example.com")
    assert "Undo:" not in ben.get(browser.page.url.removeprefix(site.base)).text
    browser.submit("/tasks", {"do": "undo"})
    assert "Undone." in browser.text
    assert (read_task(site, task).state, read_task(site, task).outcome[-8:]) == ("open", "(undone)")
    with reading(site.app.engine) as session:
        setting = session.get_one(InvoiceSetting, (1, "i1"))
        assert (setting.promised_on, setting.promised_e4) == (None, None)
    submit(browser, task, do="promise", promised_on="2026-06-19", note="Spoke to Jo")
    site.clock.advance(hours=2)
    page = browser.submit("/tasks", {"do": "undo"})
    assert (page.status_code, read_task(site, task).state) == (409, "done")


def test_a_task_is_annotated_snoozed_assigned_and_closed_with_an_outcome(site: Site, task: int) -> None:
    browser = site.sign_in("bookkeeper")
    submit(browser, task, do="note", note="Office closes at 4")
    submit(browser, task, do="snooze", retry_on="2026-06-12", note="no answer")
    submit(browser, task, do="assign", owner="Ben Roe <ben@example.com>")
    row = read_task(site, task)
    assert (row.state, str(row.due_on), row.owner) == ("open", "2026-06-12", "Ben Roe <ben@example.com>")
    submit(browser, task, do="close", note="They will look into it")
    row = read_task(site, task)
    assert row.outcome == "Office closes at 4; try again on 12 Jun 2026; no answer; They will look into it"
    assert row.state == "done"


def test_what_was_typed_about_a_task_that_was_closed_meanwhile_can_be_copied(site: Site, task: int) -> None:
    ann, ben = site.sign_in("bookkeeper"), site.sign_in("owner")
    submit(ann, task, do="note", note="Office closes at 4")
    ann.get(f"/tasks/{task}")
    submit(ben, task, do="close", note="paid")
    fields = sites.hidden_fields(ann.page.text, f"/tasks/{task}")
    for fields_typed, referer, link in (
        (
            {"do": "close", "note": "They <b>will</b> pay"},
            f"{site.base}/tasks/{task}?a=1&b",
            f"/tasks/{task}?a=1&amp;b",
        ),
        ({"do": "promise", "promised_on": "2026-06-19", "note": "They <b>will</b> pay"}, "http://[", "/"),
        ({"do": "snooze", "retry_on": "2026-06-19", "note": "They <b>will</b> pay"}, "https://evil.example/x", "/"),
        ({"do": "snooze", "retry_on": "2026-06-19", "note": "They <b>will</b> pay"}, f"{site.base}//evil.example", "/"),
    ):
        headers = {"Origin": site.base, "Referer": referer}
        url, data = f"{site.base}/tasks/{task}", {**fields, **fields_typed}
        page = ann.http.post(url, data=data, headers=headers, timeout=20)
        assert page.status_code == 409
        assert "You had typed: They &lt;b&gt;will&lt;/b&gt; pay" in page.text
        assert f'<a href="{link}">' in page.text.partition("You had typed")[2], referer


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"do": "promise", "promised_on": "soon"}, "promised_on", "is not a valid date"),
        ({"do": "promise"}, "promised_on", "Enter the date of the promised payment."),
        ({"do": "promise", "promised_on": "2026-06-01"}, "promised_on", "is in the past"),
        ({"do": "promise", "promised_on": "2026-06-19", "promised_amount": "1.000,00"}, "promised_amount", "amount"),
        ({"do": "promise", "promised_on": "2026-06-19", "promised_amount": "99.51"}, "promised_amount", "GBP 99.50"),
        ({"do": "close"}, "note", "Enter what came of it."),
        ({"do": "snooze", "retry_on": "2026-06-10"}, "retry_on", "Enter a date in the future."),
        ({"do": "assign", "owner": "nobody"}, "owner", "nobody"),
    ],
)
def test_what_is_wrong_stays_in_the_form_beside_its_field(
    site: Site, task: int, fields: dict[str, str], field: str, problem: str
) -> None:
    browser = site.sign_in("bookkeeper")
    page = submit(browser, task, **fields)
    assert page.status_code == 422
    assert f'aria-describedby="{field}-problem"' in page.text
    [said] = re.findall(rf'id="{field}-problem">([^<]*)<', page.text)
    assert problem in unescape(said)
    for value in list(fields.values())[1:]:
        assert f'value="{value}"' in page.text
    assert read_task(site, task).state == TaskState.OPEN


def test_an_invoice_page_shows_timeline_and_next_steps(site: Site, task: int) -> None:
    browser = site.sign_in("viewer")
    browser.get("/companies/1/invoices/i1")
    assert "GBP 99.50 of GBP 120.00" in browser.text
    assert "Issued for" in browser.text
    assert "Next steps, unless it is paid" in browser.text
    assert browser.get("/companies/1/invoices/nothing").status_code == 404
