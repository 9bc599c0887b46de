"""Approvals, doubts and fees in the browser; and the mail as the customer will read it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.database import reading, writing
from connector.money import to_e4
from connector.tables import CustomerRow, InvoiceRow, OutboxEntry, SyncLogEntry, TakenStep

Office = Any


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"mail_from": "billing@north.example", "mail_from_name": "North"}


@pytest.fixture
def north(office: Office) -> int:
    """A company with one customer who owes one invoice."""
    from decimal import Decimal  # noqa: PLC0415

    company = int(office.company("North Ltd", base_currency="GBP", country="GB", first_pull_done_at=office.clock.at))
    office.store(
        CustomerRow(
            connection_id=company, external_id="c1", name="Miller <b>&</b> Sons", emails="ap@miller.example",
            country="GB",
        ),
        InvoiceRow(
            connection_id=company, external_id="i1", number="INV-1", customer_id="c1", currency="GBP",
            issued_on=office.clock.at.date() - timedelta(days=37), due_on=office.clock.at.date() - timedelta(days=7),
            total_e4=to_e4(Decimal(120)), due_e4=to_e4(Decimal("99.50")), status="open", is_open=True,
        ),
    )  # fmt: skip
    return company


def mail(office: Office, company: int, state: str = "waiting", **more: Any) -> int:
    given = {
        "key": f"k:{company}:{state}:{more.pop('number', 1)}",
        "kind": "mail",
        "step": "past_due",
        "customer_id": "c1",
        "invoice_id": "i1",
        "currency": "GBP",
        "content": "abc",
        "why": "INV-1 is 7 days late.",
        "payload": {
            "to": ["ap@miller.example"],
            "taken": [["i1", "past_due"]],
            "listed": ["i1"],
            "due": {"i1": "99.50"},
            "suspension_on": None,
        },
        "planned_at": office.clock.at,
        **more,
    }
    row = OutboxEntry(connection_id=company, state=state, **given)
    office.store(row)
    return row.id or 0


def fee(office: Office, company: int, state: str) -> int:
    payload = {
        "taken": [["i1", "late_fee"]],
        "period": "2026-06",
        "number": "LF-INV-1-2606",
        "of_number": "INV-1",
        "amount": "5.00",
        "annual_rate": "262.0",
        "parts": [["a flat fee, as agreed", "5.00"]],
    }
    more = {"kind": "late_fee", "step": "late_fee", "payload": payload, "reference": "fee-1", "number": f"fee-{state}"}
    return mail(office, company, state, **more)


def stored(office: Office, entry_id: int) -> OutboxEntry:
    with reading(office.installation.engine) as session:
        return session.get_one(OutboxEntry, entry_id)


def test_a_mail_is_read_as_the_customer_will_and_approved(office: Office, north: int) -> None:
    entry = mail(office, north)
    browser = office.signed_in("bookkeeper", north)
    browser.get("/outbox")
    assert "99.50 GBP" in browser.text
    page = browser.get(f"/outbox/{entry}").text
    assert "INV-1 is 7 days late." in page
    assert "<b>&</b>" not in page
    assert "frame-src 'self'" in browser.page.headers["Content-Security-Policy"]
    letter = browser.http.get(f"{office.base}/outbox/{entry}/letter.html", timeout=20)
    assert "INV-1" in letter.text
    assert "99.50" in letter.text
    assert letter.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert letter.headers["X-Frame-Options"] == "SAMEORIGIN"
    browser.send(f"/outbox/{entry}", {"do": "approve"})
    assert "Approved: it leaves with the next run." in browser.text
    row = stored(office, entry)
    assert (row.state, row.approved_by) == ("planned", "bookkeeper@example.com")


def test_many_are_approved_at_once_and_others_rejected_with_a_reason(office: Office, north: int) -> None:
    ids = [mail(office, north, number=number) for number in range(4)]
    browser = office.signed_in("bookkeeper")
    browser.get("/outbox")
    browser.send("/outbox", {"do": "reject", "id": f"{ids[0]}:abc", "why": "He paid in cash"})
    assert "Rejected: it never leaves." in browser.text
    browser.send("/outbox", {"do": "approve", "id": [f"{ids[1]}:abc", f"{ids[2]}:abc"]})
    assert [stored(office, each).state for each in ids] == ["refused", "planned", "planned", "waiting"]
    assert stored(office, ids[0]).answer == "rejected by bookkeeper@example.com: He paid in cash"
    browser.send("/outbox", {"do": "approve_shown"})
    assert stored(office, ids[3]).state == "planned"
    browser.get("/outbox")
    assert "Nothing waits for an approval." in browser.text
    with reading(office.installation.engine) as session:
        log = [row.kind for row in session.scalars(select(SyncLogEntry))]
    assert (log.count("approved"), log.count("rejected")) == (3, 1)


def test_what_has_changed_since_it_was_looked_at_is_not_approved(office: Office, north: int) -> None:
    one, other = mail(office, north, number=1), mail(office, north, number=2)
    browser = office.signed_in("bookkeeper")
    browser.get("/outbox")
    with writing(office.installation.engine) as session:
        session.get_one(OutboxEntry, other).content = "changed"
    browser.send("/outbox", {"do": "approve", "id": [f"{one}:abc", f"{other}:abc"]})
    assert browser.page.status_code == 409
    assert "has changed meanwhile" in browser.text
    assert [stored(office, each).state for each in (one, other)] == ["waiting", "waiting"]


def test_a_mail_is_worded_and_only_the_words_that_were_looked_at_are_approved(office: Office, north: int) -> None:
    entry = mail(office, north)
    ann, ben = office.signed_in("bookkeeper"), office.signed_in("owner")
    ben.get(f"/outbox/{entry}")
    ann.get(f"/outbox/{entry}")
    ann.send(f"/outbox/{entry}", {"do": "reword", "subject": "About <i>INV-1</i>", "opening": "Hello {{ sum }}."})
    assert "These are its words now" in ann.text
    assert "About <i>INV-1</i>" in ann.text
    letter = ann.http.get(f"{office.base}/outbox/{entry}/letter.html", timeout=20).text
    assert "Hello {{ sum }}." in letter
    assert "99.50" in letter
    ben.send(f"/outbox/{entry}", {"do": "approve"})  # he looked at what it was before
    assert (ben.page.status_code, stored(office, entry).state) == (409, "waiting")
    ben.get("/outbox")
    ben.send("/outbox", {"do": "approve_shown"})
    row = stored(office, entry)
    assert (row.state, row.own_words["lines"]["subject"]) == ("planned", "About <i>INV-1</i>")
    ann.get(f"/outbox/{entry}")
    ann.send(f"/outbox/{entry}", {"do": "as_written"})
    row = stored(office, entry)
    assert (row.state, row.own_words, row.approved_by) == ("waiting", None, "")


def test_a_choice_of_nothing_is_said(office: Office, north: int) -> None:
    mail(office, north)
    browser = office.signed_in("bookkeeper")
    browser.get("/outbox")
    browser.send("/outbox", {"do": "approve"})
    assert "Nothing was chosen." in browser.text


@pytest.mark.parametrize(("answer", "state"), [("arrived", "done"), ("not_arrived", "planned")])
def test_a_doubt_is_settled_by_a_person(office: Office, north: int, answer: str, state: str) -> None:
    entry = mail(office, north, "doubt")
    office.store(
        TakenStep(
            connection_id=north, invoice_id="i1", step="past_due", customer_id="c1", outbox_id=entry,
            taken_at=office.clock.at, taken_on=office.clock.at.date(),
        )
    )  # fmt: skip
    browser = office.signed_in("bookkeeper")
    browser.get("/outbox?state=doubt")
    assert "INV-1 is 7 days late." in browser.text
    browser.get(f"/outbox/{entry}")
    browser.send(f"/outbox/{entry}", {"do": answer})
    assert "Settled" in browser.text
    assert stored(office, entry).state == state


def test_a_fee_shows_its_calculation_and_yearly_rate_and_is_waived(office: Office, north: int) -> None:
    draft, posted = fee(office, north, "waiting"), fee(office, north, "done")
    browser = office.signed_in("bookkeeper")
    browser.get("/fees")
    assert "draft" in browser.text
    assert "posted" in browser.text
    browser.get(f"/outbox/{posted}")
    assert "a flat fee, as agreed" in browser.text
    assert "262.0 % a year" in browser.text
    browser.send(f"/outbox/{posted}", {"do": "waive", "why": "goodwill"})
    assert "Waived" in browser.text
    browser.get(f"/outbox/{draft}")
    browser.send(f"/outbox/{draft}", {"do": "reject", "why": "too soon"})
    browser.get("/fees")
    assert "being waived" in browser.text
    with reading(office.installation.engine) as session:
        waiver = session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == "waive_fee")).one()
    assert "goodwill" in waiver.why


def test_a_viewer_reads_and_is_offered_no_button(office: Office, north: int) -> None:
    entry = mail(office, north)
    viewer = office.signed_in("viewer")
    for path in ("/outbox", f"/outbox/{entry}"):
        page = viewer.get(path).text.partition("<main")[2]
        assert 'name="do"' not in page
        assert 'type="checkbox"' not in page


def test_a_mail_that_cannot_be_written_says_why(office: Office, north: int) -> None:
    entry = mail(office, north, customer_id="gone")
    browser = office.signed_in("viewer")
    assert browser.get(f"/outbox/{entry}").status_code == 200
    assert "has no statement in GBP" in browser.text
    assert browser.get(f"/outbox/{entry}/letter.html").status_code == 404


def test_a_page_of_entries_costs_as_much_whatever_their_number(office: Office, north: int, queries_of: Any) -> None:
    mail(office, north, number="first")
    browser = office.signed_in("bookkeeper")
    few = queries_of(lambda: browser.get("/outbox"))
    for number in range(60):
        mail(office, north, number=number)
    assert queries_of(lambda: browser.get("/outbox")) == few
    assert few <= 6
    browser.get("/outbox")
    older = browser.page.text.partition('">Older</a>')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert browser.get(older).text.count('type="checkbox"') == 11
