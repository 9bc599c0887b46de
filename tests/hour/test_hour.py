"""The hour, as its user meets it: books in, mails, notes and fees out, once, and never to someone who has paid."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.access.connections import set_mode
from connector.database import reading, writing
from connector.people import approvals
from connector.tables import AnswerRow, CreditRow, InvoiceRow, PaymentRow

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
def late(town: Any) -> Any:
    """A live company with one customer who is six days late."""
    town.books.customer("Ashdown Ltd")
    town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    return town.live()


def answers(town: Any) -> dict[str, AnswerRow]:
    with reading(town.installation.engine) as session:
        rows = session.execute(
            select(InvoiceRow.number, AnswerRow).join(  # type: ignore[call-overload]
                AnswerRow, col(AnswerRow.invoice_id) == InvoiceRow.external_id
            )
        )
        return dict(rows.all())


def test_a_late_customer_gets_one_mail_and_the_ledger_one_note(late: Any) -> None:
    result = late.run()
    assert result.outcome == "ok"
    assert [to for to, _subject in late.mails()] == [("accounts@ashdown.example",)]
    [note] = late.books.notes(late.number)
    assert "past due" in note
    assert len(note) <= 250
    [mail] = [entry for entry in late.outbox("done") if entry["kind"] == "mail"]
    assert late.sandbox.sendgrid.mails()[0].custom_args["duewell_key"] == mail["key"]


def test_a_second_run_right_after_does_nothing(late: Any) -> None:
    late.run()
    writes = late.sandbox.requests.counted(late.books.provider, "write")
    result = late.run()
    assert result.outcome == "ok"
    assert len(late.mails()) == 1
    assert late.sandbox.requests.counted(late.books.provider, "write") == writes


def test_a_quiet_hour_costs_one_read_on_quickbooks_and_three_on_xero(late: Any) -> None:
    late.run()
    late.sandbox.clock.advance(timedelta(hours=1))
    late.run()  # what our own notes and links changed at the vendor has been seen
    for _hour in range(3):
        before = late.sandbox.requests.counted(late.books.provider, "read")
        tokens = late.sandbox.requests.counted(late.books.provider, "token")
        late.sandbox.clock.advance(timedelta(hours=1))
        assert late.run().outcome == "ok"
        reads = late.sandbox.requests.counted(late.books.provider, "read") - before
        assert reads <= {"xero": 3, "quickbooks": 1}[late.books.provider]
        assert late.sandbox.requests.counted(late.books.provider, "token") - tokens <= 1


def test_who_paid_between_pull_and_send_hears_nothing(late: Any) -> None:
    # The books have been read; the first call of the look before anything leaves finds that he has just paid.
    look = {"xero": {"query": "IDs="}, "quickbooks": {"path": "/query$"}}[late.books.provider]
    rule = late.sandbox.faults.call(lambda _: late.books.pay(late.number), vendor=late.books.provider, times=1, **look)
    result = late.run()
    assert rule.fired == 1
    assert result.outcome == "ok"
    assert late.mails() == []
    assert late.outbox("planned", "waiting", "calling", "done") == []


@pytest.mark.parametrize("end", ["pay", "void"])
def test_who_has_paid_or_whose_invoice_is_void_is_not_chased(late: Any, end: str) -> None:
    getattr(late.books, end)(late.number)
    late.run()
    assert [to for to, subject in late.mails() if "thank" not in subject.lower()] == []


def test_the_mirror_equals_the_books_to_the_cent(town: Any) -> None:
    town.books.customer("Ashdown Ltd")
    town.books.customer("Birch & Co")
    first = town.books.invoice("Ashdown Ltd", "1200.10", due_on=ago(6))
    second = town.books.invoice("Birch & Co", "80.05", due_on=ago(2))
    third = town.books.invoice("Birch & Co", "500.00", due_on=ago(-9))
    town.books.pay(first, "0.33")
    town.books.pay(second)
    town.books.credit("Birch & Co", "20.01")
    town.connect()
    town.run()
    town.books.void(third)
    town.books.pay(first, "100.00")
    town.sandbox.clock.advance(timedelta(hours=1))
    town.run()
    with reading(town.installation.engine) as session:
        living = session.scalars(select(InvoiceRow).where(col(InvoiceRow.status).in_(["open", "paid"]))).all()
        mirror = {row.number: Decimal(row.due_e4) / 10000 for row in living}
        payments = sum(row.total_e4 for row in session.scalars(select(PaymentRow)))
        credited = sum(row.remaining_e4 for row in session.scalars(select(CreditRow)))
    assert mirror == town.books.dues() == {first: Decimal("1099.77"), second: Decimal(0)}
    assert payments == (Decimal("0.33") + Decimal("80.05") + Decimal(100)) * 10000
    assert credited == Decimal("20.01") * 10000


def test_every_invoice_gets_one_answer_with_a_reason(town: Any) -> None:
    town.books.customer("Ashdown Ltd")
    numbers = [town.books.invoice("Ashdown Ltd", "10.00", due_on=ago(days)) for days in (40, 6, 0, -20, -60)]
    town.live().run()
    found = answers(town)
    assert set(found) == set(numbers)
    assert all(answer.why.endswith(".") for answer in found.values())


def test_nothing_leaves_while_a_connection_observes(town: Any) -> None:
    town.books.customer("Ashdown Ltd")
    town.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    town.connect()
    for _hour in range(3):
        assert town.run().outcome == "ok"
        town.sandbox.clock.advance(timedelta(hours=1))
    assert town.mails() == []
    assert town.sandbox.requests.counted(town.books.provider, "write") == 0
    assert [entry["state"] for entry in town.outbox()] == ["planned"]


def test_what_waits_for_approval_leaves_after_it_and_only_as_it_was_approved(late: Any) -> None:
    set_mode(late.installation, late.connection, "approve")
    late.run()
    [entry] = late.outbox("waiting")
    assert late.mails() == []
    with writing(late.installation.engine) as session:
        approvals.approve(session, [entry["id"]], by="Ann", at=late.installation.now())
    late.books.pay(late.number, "200.00")  # now it says something else
    late.run()
    assert late.mails() == []
    with writing(late.installation.engine) as session:
        approvals.approve(session, [entry["id"]], by="Ann", at=late.installation.now())
    late.run()
    assert len(late.mails()) == 1


def test_a_rejected_mail_never_leaves_and_the_next_rung_comes_in_its_time(late: Any) -> None:
    set_mode(late.installation, late.connection, "approve")
    late.run()
    [entry] = late.outbox("waiting")
    with writing(late.installation.engine) as session:
        approvals.reject(session, [entry["id"]], by="Ann", at=late.installation.now(), why="I called them")
    for _day in range(3):
        late.run()
        late.pass_days(1)
    assert late.outbox("waiting", "planned") == []


def test_a_fee_is_posted_once_and_only_after_its_warning(late: Any) -> None:
    late.policy(FEES)
    late.run()
    assert late.books.fees() == {}
    for days_later in (*[1] * 12, 7, 7, 7, 7):
        late.pass_days(days_later)
        late.run()
    [(number, amount)] = late.books.fees().items()
    assert number == f"LF-{late.number}"[:21]
    assert amount == Decimal("12.00")
    assert any("Late fee" in note for note in late.books.notes(late.number))


def test_a_mail_of_unknown_outcome_is_a_doubt_and_is_not_sent_again(late: Any) -> None:
    late.sandbox.faults.add(_rule("drop_before", vendor="sendgrid", kind="mail"))
    late.run()
    [entry] = late.outbox("doubt")
    for _hour in range(3):
        late.sandbox.clock.advance(timedelta(hours=1))
        late.run()
    assert late.mails() == []
    with writing(late.installation.engine) as session:
        approvals.resolve(session, entry["id"], sent=False, by="Ann", at=late.installation.now())
    late.run()
    assert len(late.mails()) == 1


def test_a_mail_that_left_before_the_line_broke_is_found_again_and_noted(late: Any) -> None:
    late.sandbox.faults.add(_rule("drop_after", vendor="sendgrid", kind="mail"))
    late.run()
    assert len(late.mails()) == 1
    for _hour in range(3):
        late.sandbox.clock.advance(timedelta(hours=1))
        late.run()
    assert late.outbox("doubt") == []
    assert len(late.mails()) == 1
    assert len(late.books.notes(late.number)) == 1


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_note_whose_line_broke_is_written_once(late: Any, action: str) -> None:
    late.sandbox.faults.add(_rule(action, vendor=late.books.provider, kind="write", times=2))
    for _hour in range(3):
        late.run()
        late.sandbox.clock.advance(timedelta(hours=1))
    assert len(late.books.notes(late.number)) == 1
    assert late.outbox("calling", "doubt") == []


def test_a_refused_key_stops_mail_and_says_what_to_do_and_mail_goes_on_after(late: Any) -> None:
    rule = late.sandbox.faults.refuse(401, body='{"errors":[{"message":"bad key"}]}', vendor="sendgrid", times=0)
    result = late.run()
    assert result.outcome == "person"
    assert late.mails() == []
    assert [entry["state"] for entry in late.outbox() if entry["kind"] == "mail"] == ["planned"]
    late.sandbox.faults.rules.remove(rule)
    assert late.run().outcome == "ok"
    assert len(late.mails()) == 1


def test_one_refused_customer_does_not_stop_the_others(late: Any) -> None:
    late.books.customer("Birch & Co")
    late.books.invoice("Birch & Co", "70.00", due_on=ago(7))
    late.sandbox.faults.refuse(400, body='{"errors":[{"message":"no"}]}', vendor="sendgrid", kind="mail")
    late.run()
    assert len(late.mails()) == 1
    assert len(late.outbox("refused")) == 1
    late.run()
    assert len(late.mails()) == 1  # refused for good: not tried again with the same content


def test_a_dry_run_changes_nothing_outside_and_plans_nothing(late: Any) -> None:
    before = late.outbox()
    result = late.run(dry_run=True)
    assert result.outcome == "ok"
    assert late.mails() == []
    assert late.outbox() == before
    assert any("Would mail" in line for line in result.story)
    assert "  decided     for show only; the answers of the last run stand" in result.story


def _rule(action: str, **match: Any) -> Any:
    from providers.sandbox.faults import Rule  # noqa: PLC0415

    return Rule(action, **match)
