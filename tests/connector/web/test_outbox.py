"""The outbox pages: approvals, unconfirmed deliveries, fees and email previews."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading, writing
from connector.db.money import to_e4
from connector.db.tables import CompletedStep, CustomerRow, InvoiceRow, OutboxEntry, SyncLogEntry
from connector.emails.outbound import sent_emails
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from policies.receivables import InvoiceStatus
from providers.mailer import Attachment, Email
from tests.connector.payloads import late_fee_payload

Site = Any


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"mail_from": "billing@north.example", "mail_from_name": "North"}


@pytest.fixture
def company_with_invoice(site: Site) -> int:
    """A company with one customer who has one overdue invoice."""
    from decimal import Decimal  # noqa: PLC0415

    company = int(site.add_company("North Ltd", base_currency="GBP", country="GB", first_pull_done_at=site.clock.at))
    site.add_rows(
        CustomerRow(
            connection_id=company, external_id="c1", name="Miller <b>&</b> Sons", emails="ap@miller.example",
            country="GB",
        ),
        InvoiceRow(
            connection_id=company, external_id="i1", number="INV-1", customer_id="c1", currency="GBP",
            issued_on=site.clock.at.date() - timedelta(days=37), due_on=site.clock.at.date() - timedelta(days=7),
            total_e4=to_e4(Decimal(120)), due_e4=to_e4(Decimal("99.50")), status=InvoiceStatus.OPEN, is_open=True,
        ),
    )  # fmt: skip
    return company


def add_email(site: Site, company: int, state: str = "awaiting_approval", **more: Any) -> int:
    given = {
        "key": f"k:{company}:{state}:{more.pop('number', 1)}",
        "kind": "email",
        "step": "past_due",
        "customer_id": "c1",
        "invoice_id": "i1",
        "currency": "GBP",
        "content_hash": "abc",
        "reason": "INV-1 is 7 days late.",
        "payload": {
            "to": ["ap@miller.example"],
            "completed": [["i1", "past_due"]],
            "listed": ["i1"],
            "due": {"i1": "99.50"},
            "suspension_on": None,
        },
        "planned_at": site.clock.at,
        **more,
    }
    row = OutboxEntry(connection_id=company, state=OutboxState(state), **given)
    site.add_rows(row)
    return row.id or 0


def add_fee(site: Site, company: int, state: str) -> int:
    payload = late_fee_payload(number="LF-INV-1-2606")
    more = {"kind": "late_fee", "step": "late_fee", "payload": payload, "reference": "fee-1", "number": f"fee-{state}"}
    return add_email(site, company, state, **more)


def get_entry(site: Site, entry_id: int) -> OutboxEntry:
    with reading(site.app.engine) as session:
        return session.get_one(OutboxEntry, entry_id)


def test_an_email_is_previewed_and_approved(site: Site, company_with_invoice: int) -> None:
    entry = add_email(site, company_with_invoice)
    browser = site.sign_in("bookkeeper", company_with_invoice)
    browser.get("/outbox")
    assert "GBP 99.50" in browser.text
    page = browser.get(f"/outbox/{entry}").text
    assert "INV-1 is 7 days late." in page
    assert "<b>&</b>" not in page
    assert "frame-src 'self'" in browser.page.headers["Content-Security-Policy"]
    letter = browser.http.get(f"{site.base}/outbox/{entry}/email.html", timeout=20)
    assert "INV-1" in letter.text
    assert "99.50" in letter.text
    assert letter.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert letter.headers["X-Frame-Options"] == "SAMEORIGIN"
    browser.submit(f"/outbox/{entry}", {"do": "approve"})
    assert "Approved. It will be sent with the next sync." in browser.text
    row = get_entry(site, entry)
    assert (row.state, row.approved_by) == ("planned", "bookkeeper@example.com")


def test_several_entries_are_approved_or_rejected_at_once(site: Site, company_with_invoice: int) -> None:
    ids = [add_email(site, company_with_invoice, number=number) for number in range(4)]
    browser = site.sign_in("bookkeeper")
    browser.get("/outbox")
    browser.submit("/outbox", {"do": "reject", "id": f"{ids[0]}:abc", "reason": "Paid in cash"})
    assert "Rejected. It will not be sent." in browser.text
    browser.submit("/outbox", {"do": "approve", "id": [f"{ids[1]}:abc", f"{ids[2]}:abc"]})
    assert [get_entry(site, each).state for each in ids] == ["rejected", "planned", "planned", "awaiting_approval"]
    assert get_entry(site, ids[0]).response == "rejected by bookkeeper@example.com: Paid in cash"
    browser.submit("/outbox", {"do": "approve", "scope": "page"})
    assert get_entry(site, ids[3]).state == "planned"
    browser.get("/outbox")
    assert "Nothing awaits approval." in browser.text
    with reading(site.app.engine) as session:
        log = [row.kind for row in session.scalars(select(SyncLogEntry))]
    assert (log.count(LogKind.APPROVED), log.count(LogKind.REJECTED)) == (3, 1)


def test_an_entry_that_changed_since_it_was_seen_is_not_approved(site: Site, company_with_invoice: int) -> None:
    one, other = add_email(site, company_with_invoice, number=1), add_email(site, company_with_invoice, number=2)
    browser = site.sign_in("bookkeeper")
    browser.get("/outbox")
    with writing(site.app.engine) as session:
        session.get_one(OutboxEntry, other).content_hash = "changed"
    browser.submit("/outbox", {"do": "approve", "id": [f"{one}:abc", f"{other}:abc"]})
    assert browser.page.status_code == 200
    assert "1 of 2 approved. Left as they are:" in browser.text
    assert f"The email to Miller <b>&</b> Sons ({other}) has changed since you read it" in browser.text
    assert [get_entry(site, each).state for each in (one, other)] == ["planned", "awaiting_approval"]
    browser.get("/outbox")
    browser.submit("/outbox", {"do": "reject", "id": [f"{one}:abc", f"{other}:abc"], "reason": "Paid"})
    assert browser.page.status_code == 409
    assert f"({one}) is planned, approved by bookkeeper@example.com." in browser.text


def test_an_edited_email_is_approved_only_with_the_text_that_was_seen(site: Site, company_with_invoice: int) -> None:
    entry = add_email(site, company_with_invoice)
    ann, ben = site.sign_in("bookkeeper"), site.sign_in("owner")
    ben.get(f"/outbox/{entry}")
    ann.get(f"/outbox/{entry}")
    ann.submit(
        f"/outbox/{entry}", {"do": "edit_text", "subject": "About <i>INV-1</i>", "opening": "Hello {{ amount }}."}
    )
    assert "Text saved" in ann.text
    assert "About <i>INV-1</i>" in ann.text
    letter = ann.http.get(f"{site.base}/outbox/{entry}/email.html", timeout=20).text
    assert "Hello {{ amount }}." in letter
    assert "99.50" in letter
    ben.submit(f"/outbox/{entry}", {"do": "approve"})  # the version seen before the change
    assert (ben.page.status_code, get_entry(site, entry).state) == (409, "awaiting_approval")
    ben.page = ben.get(f"/outbox/{entry}")
    fields = {"opening": "Mine", "closing": "Bye"}
    ann.get(f"/outbox/{entry}")
    ann.submit(f"/outbox/{entry}", {"do": "edit_text", "subject": "About <i>INV-1</i>", "opening": "Hello."})
    ben.submit(f"/outbox/{entry}", {"do": "edit_text", "subject": "My <subject>", **fields})
    assert (ben.page.status_code, "Not saved yet: this is what you typed" in ben.text) == (409, True)
    assert 'value="My &lt;subject&gt;"' in ben.page.text
    assert ">Mine</textarea>" in ben.page.text
    with writing(site.app.engine) as session:
        session.get_one(OutboxEntry, entry).state = OutboxState.SENDING
    ben.submit(f"/outbox/{entry}", {"do": "edit_text", "subject": "My <subject>", **fields})
    assert (ben.page.status_code, "<pre>Mine</pre>" in ben.page.text) == (409, True)  # to be copied
    with writing(site.app.engine) as session:
        session.get_one(OutboxEntry, entry).state = OutboxState.AWAITING_APPROVAL
    ben.get("/outbox")
    ben.submit("/outbox", {"do": "approve", "scope": "page"})
    row = get_entry(site, entry)
    assert (row.state, (row.custom_text or {})["lines"]["subject"]) == ("planned", "About <i>INV-1</i>")
    ann.get(f"/outbox/{entry}")
    ann.submit(f"/outbox/{entry}", {"do": "reset_text"})
    row = get_entry(site, entry)
    assert (row.state, row.custom_text, row.approved_by) == ("awaiting_approval", None, "")


def test_selecting_nothing_is_reported(site: Site, company_with_invoice: int) -> None:
    add_email(site, company_with_invoice)
    browser = site.sign_in("bookkeeper")
    browser.get("/outbox")
    browser.submit("/outbox", {"do": "approve"})
    assert "Nothing is selected." in browser.text


@pytest.mark.parametrize(("answer", "state"), [("sent", "done"), ("not_sent", "planned")])
def test_an_unconfirmed_delivery_is_resolved_by_a_user(
    site: Site, company_with_invoice: int, answer: str, state: str
) -> None:
    entry = add_email(site, company_with_invoice, "unconfirmed")
    site.add_rows(
        CompletedStep(
            connection_id=company_with_invoice, invoice_id="i1", step="past_due", customer_id="c1", outbox_id=entry,
            completed_at=site.clock.at, completed_on=site.clock.at.date(),
        )
    )  # fmt: skip
    browser = site.sign_in("bookkeeper")
    browser.get("/outbox?state=unconfirmed")
    assert "INV-1 is 7 days late." in browser.text
    browser.get(f"/outbox/{entry}")
    browser.submit(f"/outbox/{entry}", {"do": answer})
    assert "Marked as" in browser.text
    assert get_entry(site, entry).state == state


def test_a_fee_shows_its_calculation_and_annual_rate_and_is_waived(site: Site, company_with_invoice: int) -> None:
    draft, posted = (
        add_fee(site, company_with_invoice, "awaiting_approval"),
        add_fee(site, company_with_invoice, "done"),
    )
    browser = site.sign_in("bookkeeper")
    browser.get("/fees")
    assert "Draft" in browser.text
    assert "Posted" in browser.text
    browser.get(f"/outbox/{posted}")
    assert "a flat fee, as agreed" in browser.text
    assert "262.0 % per year" in browser.text
    for fields, field, words in (
        ({"amount": "2"}, "reason", "Enter why the fee is waived"),
        ({"reason": "goodwill", "amount": "two"}, "amount", "is not an amount"),
        ({"reason": "goodwill", "amount": "2000"}, "amount", "waive more than 0 and at most that"),
    ):
        assert browser.submit(f"/outbox/{posted}", {"do": "waive", **fields}).status_code == 422
        assert words in browser.page.text.partition(f'id="{field}-problem">')[2].partition("</p>")[0]
        assert all(f'value="{value}"' in browser.page.text for value in fields.values())
    browser.get(f"/outbox/{posted}")
    browser.submit(f"/outbox/{posted}", {"do": "waive", "reason": "goodwill"})
    assert '<a href="/fees">See the late fees</a>' in browser.page.text
    assert "Waived" in browser.text
    browser.get(f"/outbox/{draft}")
    browser.submit(f"/outbox/{draft}", {"do": "reject", "reason": "too soon"})
    browser.get("/fees")
    assert "Waiver requested" in browser.text
    with reading(site.app.engine) as session:
        waiver = session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.FEE_WAIVER)).one()
    assert "goodwill" in waiver.reason


def test_an_email_that_was_sent_is_shown_as_it_was_in_a_frame_where_nothing_loads(
    site: Site, company_with_invoice: int
) -> None:
    entry_id = add_email(site, company_with_invoice, "done", attempts=2, ended_at=site.clock.at)
    email = Email(
        key="k", attempt=2, to=("ap@miller.example",), to_name="Miller", cc=("boss@miller.example",), bcc=(),
        sender="billing@north.example", sender_name="North", reply_to="", subject="As <i>sent</i>",
        text="In plain text",
        html='<p onclick="x()">As sent</p><img src="https://tracker.example/x.png">', category="past_due",
        attachments=(Attachment("INV-1.pdf", "application/pdf", b"x" * 84_000),),
    )  # fmt: skip
    with writing(site.app.engine) as session:
        sent_emails.keep(session, site.app.keyring, session.get_one(OutboxEntry, entry_id), email, at=site.clock.at)
    viewer = site.sign_in("viewer")
    page = viewer.get(f"/outbox/{entry_id}")
    for words in (
        "Email as sent",
        "As <i>sent</i>",
        "Cc",
        "boss@miller.example",
        "INV-1.pdf",
        "84 kB",
        "In plain text",
    ):
        assert words in viewer.text, words
    assert f'src="/outbox/{entry_id}/email.html" sandbox' in page.text
    frame = viewer.http.get(f"{site.base}/outbox/{entry_id}/email.html", timeout=20)
    assert frame.text == email.html
    policy = frame.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none';")
    assert "img-src data:" in policy
    assert "script-src" not in policy
    assert viewer.get(f"/outbox/{entry_id}/email.html?attempt=1").status_code == 404
    other = site.sign_in("viewer", site.add_company("South Ltd"), email="south@example.com")
    assert other.get(f"/outbox/{entry_id}/email.html").status_code == 404


def test_late_fees_are_waived_many_at_once_with_a_reason(site: Site, company_with_invoice: int) -> None:
    ids = [add_fee(site, company_with_invoice, state) for state in ("awaiting_approval", "done")]
    browser = site.sign_in("bookkeeper")
    browser.get("/fees")
    browser.submit("/fees", {"do": "waive", "scope": "page"})
    assert "Enter the reason" in browser.text
    browser.get("/fees")
    browser.submit("/fees", {"do": "waive", "scope": "page", "reason": "goodwill"})
    assert "Waived." in browser.text
    assert [get_entry(site, each).state for each in ids] == ["rejected", "done"]
    assert "Waiver requested" in browser.text


def test_viewers_see_entries_without_buttons(site: Site, company_with_invoice: int) -> None:
    entry = add_email(site, company_with_invoice)
    viewer = site.sign_in("viewer")
    for path in ("/outbox", f"/outbox/{entry}"):
        page = viewer.get(path).text.partition("<main")[2]
        assert 'name="do"' not in page
        assert 'type="checkbox"' not in page


def test_an_email_that_cannot_be_composed_shows_the_reason(site: Site, company_with_invoice: int) -> None:
    entry = add_email(site, company_with_invoice, customer_id="gone")
    browser = site.sign_in("viewer")
    assert browser.get(f"/outbox/{entry}").status_code == 200
    assert "no longer has a statement in GBP" in browser.text
    assert browser.get(f"/outbox/{entry}/email.html").status_code == 404


def test_the_number_of_queries_does_not_depend_on_the_number_of_entries(
    site: Site, company_with_invoice: int, count_queries: Any
) -> None:
    add_email(site, company_with_invoice, number="first")
    browser = site.sign_in("bookkeeper")
    few = count_queries(lambda: browser.get("/outbox"))
    for number in range(60):
        add_email(site, company_with_invoice, number=number)
    assert count_queries(lambda: browser.get("/outbox")) == few
    assert few <= 8
    browser.get("/outbox")
    older = re.findall(r'href="([^"]*)" data-list-link rel="next"', browser.page.text)[0].replace("&amp;", "&")
    assert browser.get(older).text.count('type="checkbox" name="id"') == 11


def test_enter_in_a_field_approves_nothing(site: Site, company_with_invoice: int) -> None:
    entry = add_email(site, company_with_invoice)
    browser = site.sign_in("bookkeeper")
    whole_list = browser.get("/outbox").text  # a form's first button is what Enter in any of its fields presses
    form = whole_list[whole_list.index('<form class="card list"') :]
    assert re.findall(r"<button[^>]*>", form)[0] == "<button disabled hidden>"
    forms = re.findall(r"<form\b.*?</form>", browser.get(f"/outbox/{entry}").text, re.DOTALL)
    with_reason = [each for each in forms if 'name="reason"' in each]
    assert [re.findall(r'name="do" value="(\w+)"', each) for each in with_reason] == [["reject"]]


def test_many_entries_are_rejected_only_with_a_reason(site: Site, company_with_invoice: int) -> None:
    entry = add_email(site, company_with_invoice)
    browser = site.sign_in("bookkeeper")
    browser.get("/outbox")
    browser.submit("/outbox", {"do": "reject", "id": f"{entry}:abc"})
    assert "Enter the reason: why these entries are rejected." in browser.text
    assert get_entry(site, entry).state == "awaiting_approval"
