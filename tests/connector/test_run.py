"""The hour, as its user meets it: books in, mails, notes and fees out, once, and never to someone who has paid."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import CreditRow, InvoiceDecisionRow, InvoiceRow, PaymentRow
from connector.outbox import approvals
from policies.receivables import InvoiceStatus

TODAY = date(2026, 6, 10)
FEES = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def late_customer(scenario: Any) -> Any:
    """A live company with one customer who is six days late."""
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    return scenario.go_live()


def load_decisions(scenario: Any) -> dict[str, InvoiceDecisionRow]:
    with reading(scenario.app.engine) as session:
        rows = session.execute(
            select(InvoiceRow.number, InvoiceDecisionRow).join(  # type: ignore[call-overload]
                InvoiceDecisionRow, col(InvoiceDecisionRow.invoice_id) == InvoiceRow.external_id
            )
        )
        return dict(rows.all())


def test_a_late_customer_gets_one_mail_and_the_ledger_one_note(late_customer: Any) -> None:
    result = late_customer.run()
    assert result.outcome == "ok"
    assert [to for to, _subject in late_customer.customer_emails()] == [("accounts@ashdown.example",)]
    [note] = late_customer.company.notes(late_customer.number)
    assert "past due" in note
    assert len(note) <= 250
    [mail] = [entry for entry in late_customer.outbox("done") if entry["kind"] == "email"]
    assert late_customer.sandbox.sendgrid.emails()[0].custom_args["duewell_key"] == mail["key"]


def test_a_second_run_right_after_does_nothing(late_customer: Any) -> None:
    late_customer.run()
    writes = late_customer.sandbox.requests.count_of(late_customer.company.provider, "write")
    result = late_customer.run()
    assert result.outcome == "ok"
    assert len(late_customer.customer_emails()) == 1
    assert late_customer.sandbox.requests.count_of(late_customer.company.provider, "write") == writes


def test_a_quiet_hour_costs_one_read_on_quickbooks_and_three_on_xero(late_customer: Any) -> None:
    late_customer.run()
    late_customer.sandbox.clock.advance(timedelta(hours=1))
    late_customer.run()  # what our own notes and links changed at the vendor has been seen
    for _hour in range(3):
        before = late_customer.sandbox.requests.count_of(late_customer.company.provider, "read")
        tokens = late_customer.sandbox.requests.count_of(late_customer.company.provider, "token")
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        assert late_customer.run().outcome == "ok"
        reads = late_customer.sandbox.requests.count_of(late_customer.company.provider, "read") - before
        assert reads <= {"xero": 3, "quickbooks": 1}[late_customer.company.provider]
        assert late_customer.sandbox.requests.count_of(late_customer.company.provider, "token") - tokens <= 1


def test_who_paid_between_pull_and_send_hears_nothing(late_customer: Any) -> None:
    # The books have been read; the first call of the look before anything leaves finds that he has just paid.
    look = {"xero": {"query": "IDs="}, "quickbooks": {"path": "/query$"}}[late_customer.company.provider]
    rule = late_customer.sandbox.faults.call(
        lambda _: late_customer.company.pay(late_customer.number),
        vendor=late_customer.company.provider,
        times=1,
        **look,
    )
    result = late_customer.run()
    assert rule.fired == 1
    assert result.outcome == "ok"
    assert late_customer.customer_emails() == []
    assert late_customer.outbox("planned", "awaiting_approval", "sending", "done") == []


@pytest.mark.parametrize("end", ["pay", "void"])
def test_who_has_paid_or_whose_invoice_is_void_is_not_chased(late_customer: Any, end: str) -> None:
    getattr(late_customer.company, end)(late_customer.number)
    late_customer.run()
    assert [to for to, subject in late_customer.customer_emails() if "thank" not in subject.lower()] == []


def test_the_mirror_equals_the_books_to_the_cent(scenario: Any) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.customer("Birch & Co")
    first = scenario.company.invoice("Ashdown Ltd", "1200.10", due_on=ago(6))
    second = scenario.company.invoice("Birch & Co", "80.05", due_on=ago(2))
    third = scenario.company.invoice("Birch & Co", "500.00", due_on=ago(-9))
    scenario.company.pay(first, "0.33")
    scenario.company.pay(second)
    scenario.company.credit("Birch & Co", "20.01")
    scenario.connect()
    scenario.run()
    scenario.company.void(third)
    scenario.company.pay(first, "100.00")
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    with reading(scenario.app.engine) as session:
        living = session.scalars(
            select(InvoiceRow).where(col(InvoiceRow.status).in_([InvoiceStatus.OPEN, InvoiceStatus.PAID]))
        ).all()
        mirror = {row.number: Decimal(row.due_e4) / 10000 for row in living}
        payments = sum(row.total_e4 for row in session.scalars(select(PaymentRow)))
        credited = sum(row.remaining_e4 for row in session.scalars(select(CreditRow)))
    assert mirror == scenario.company.open_balances() == {first: Decimal("1099.77"), second: Decimal(0)}
    assert payments == (Decimal("0.33") + Decimal("80.05") + Decimal(100)) * 10000
    assert credited == Decimal("20.01") * 10000


def test_every_invoice_gets_one_answer_with_a_reason(scenario: Any) -> None:
    scenario.company.customer("Ashdown Ltd")
    numbers = [scenario.company.invoice("Ashdown Ltd", "10.00", due_on=ago(days)) for days in (40, 6, 0, -20, -60)]
    scenario.go_live().run()
    found = load_decisions(scenario)
    assert set(found) == set(numbers)
    assert all(answer.reason.endswith(".") for answer in found.values())


def test_nothing_leaves_while_a_connection_observes(scenario: Any) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    scenario.connect()
    for _hour in range(3):
        assert scenario.run().outcome == "ok"
        scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.customer_emails() == []
    assert scenario.sandbox.requests.count_of(scenario.company.provider, "write") == 0
    assert [entry["state"] for entry in scenario.outbox()] == ["planned"]


def test_what_waits_for_approval_leaves_after_it_and_only_as_it_was_approved(late_customer: Any) -> None:
    set_mode(late_customer.app, late_customer.connection, "approve")
    late_customer.run()
    [entry] = late_customer.outbox("awaiting_approval")
    assert late_customer.customer_emails() == []
    with writing(late_customer.app.engine) as session:
        approvals.approve(session, [entry["id"]], by="Ann", at=late_customer.app.now())
    late_customer.company.pay(late_customer.number, "200.00")  # now it says something else
    late_customer.run()
    assert late_customer.customer_emails() == []
    with writing(late_customer.app.engine) as session:
        approvals.approve(session, [entry["id"]], by="Ann", at=late_customer.app.now())
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1


def test_a_rejected_mail_never_leaves_and_the_next_rung_comes_in_its_time(late_customer: Any) -> None:
    set_mode(late_customer.app, late_customer.connection, "approve")
    late_customer.run()
    [entry] = late_customer.outbox("awaiting_approval")
    with writing(late_customer.app.engine) as session:
        approvals.reject(session, [entry["id"]], by="Ann", at=late_customer.app.now(), reason="I called them")
    for _day in range(3):
        late_customer.run()
        late_customer.pass_days(1)
    assert late_customer.outbox("awaiting_approval", "planned") == []


def test_a_fee_is_posted_once_and_only_after_its_warning(late_customer: Any) -> None:
    late_customer.set_policy(FEES)
    late_customer.run()
    assert late_customer.company.fees() == {}
    for days_later in (*[1] * 12, 7, 7, 7, 7):
        late_customer.pass_days(days_later)
        late_customer.run()
    [(number, amount)] = late_customer.company.fees().items()
    assert number == f"LF-{late_customer.number}"[:21]
    assert amount == Decimal("12.00")
    assert any("Late fee" in note for note in late_customer.company.notes(late_customer.number))


def test_a_mail_of_unknown_outcome_is_a_doubt_and_is_not_sent_again(late_customer: Any) -> None:
    late_customer.sandbox.faults.add(fault_rule("drop_before", vendor="sendgrid", kind="email"))
    late_customer.run()
    [entry] = late_customer.outbox("unconfirmed")
    for _hour in range(3):
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        late_customer.run()
    assert late_customer.customer_emails() == []
    with writing(late_customer.app.engine) as session:
        approvals.resolve(session, entry["id"], sent=False, by="Ann", at=late_customer.app.now())
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1


def test_a_mail_that_left_before_the_line_broke_is_found_again_and_noted(late_customer: Any) -> None:
    late_customer.sandbox.faults.add(fault_rule("drop_after", vendor="sendgrid", kind="email"))
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1
    for _hour in range(3):
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        late_customer.run()
    assert late_customer.outbox("unconfirmed") == []
    assert len(late_customer.customer_emails()) == 1
    assert len(late_customer.company.notes(late_customer.number)) == 1


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_note_whose_line_broke_is_written_once(late_customer: Any, action: str) -> None:
    late_customer.sandbox.faults.add(fault_rule(action, vendor=late_customer.company.provider, kind="write", times=2))
    for _hour in range(3):
        late_customer.run()
        late_customer.sandbox.clock.advance(timedelta(hours=1))
    assert len(late_customer.company.notes(late_customer.number)) == 1
    assert late_customer.outbox("sending", "unconfirmed") == []


def test_a_refused_key_stops_mail_and_says_what_to_do_and_mail_goes_on_after(late_customer: Any) -> None:
    rule = late_customer.sandbox.faults.refuse(
        401, body='{"errors":[{"message":"bad key"}]}', vendor="sendgrid", times=0
    )
    result = late_customer.run()
    assert result.outcome == "action_required"
    assert late_customer.customer_emails() == []
    assert [entry["state"] for entry in late_customer.outbox() if entry["kind"] == "email"] == ["planned"]
    late_customer.sandbox.faults.rules.remove(rule)
    assert late_customer.run().outcome == "ok"
    assert len(late_customer.customer_emails()) == 1


def test_one_refused_customer_does_not_stop_the_others(late_customer: Any) -> None:
    late_customer.company.customer("Birch & Co")
    late_customer.company.invoice("Birch & Co", "70.00", due_on=ago(7))
    late_customer.sandbox.faults.refuse(400, body='{"errors":[{"message":"no"}]}', vendor="sendgrid", kind="email")
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1
    assert len(late_customer.outbox("rejected")) == 1
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1  # refused for good: not tried again with the same content


def test_a_dry_run_changes_nothing_outside_and_plans_nothing(late_customer: Any) -> None:
    before = late_customer.outbox()
    result = late_customer.run(dry_run=True)
    assert result.outcome == "ok"
    assert late_customer.customer_emails() == []
    assert late_customer.outbox() == before
    assert any("Would mail" in line for line in result.story)
    assert "  decisions   dry run; those of the last run stand" in result.story


def fault_rule(action: str, **match: Any) -> Any:
    from sandbox.faults import Rule  # noqa: PLC0415

    return Rule(action, **match)
