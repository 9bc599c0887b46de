"""The pages of customers: search, details, agreements and settings; exceptions and tasks."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html import escape, unescape
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from benchmarks.full_year import NOW
from connector.db.engine import reading, writing
from connector.db.tables import (
    Agreement,
    Connection,
    CustomerRow,
    CustomerSetting,
    ExceptionRow,
    InvoiceRow,
    InvoiceSetting,
    PaymentRow,
    SyncLogEntry,
    Task,
)
from connector.evaluation import exceptions
from connector.services.customer_profile import build_profile
from connector.vocabulary import AgreementKind, LogKind, TaskCode

Site = Any
PAGE = "/companies/1/customers/c1"


def get_customer_setting(site: Site) -> CustomerSetting | None:
    with reading(site.app.engine) as session:
        return session.get(CustomerSetting, (1, "c1"))


def invoice_settings(site: Site) -> dict[str, InvoiceSetting]:
    with reading(site.app.engine) as session:
        return {row.invoice_id: row for row in session.scalars(select(InvoiceSetting))}


def test_customers_are_found_by_part_of_the_name_and_paginated(site_with_invoices: Site) -> None:
    south = site_with_invoices.add_company("South Ltd")
    site_with_invoices.add_rows(
        *(CustomerRow(connection_id=south, external_id=f"s{n}", name=f"Miller {n:02}") for n in range(60)),
        CustomerRow(connection_id=south, external_id="gone", name="Miller Gone", deleted=True),
    )
    browser = site_with_invoices.sign_in("viewer")
    browser.get("/customers")
    assert "Customer 00001" in browser.text
    assert "Miller" not in browser.text  # they have no open balance
    browser.get("/customers?search=MILLER&state=all")
    assert browser.page.text.count("/customers/s") == 50
    more = re.findall(r'href="([^"]*)" data-list-link rel="next"', browser.page.text)[0].replace("&amp;", "&")
    browser.get(more)
    assert browser.page.text.count("/customers/s") == 10
    assert "Miller 59" in browser.text
    assert "Gone" not in browser.text
    assert "Customer 00001" not in site_with_invoices.sign_in("bookkeeper", south).get("/customers").text


def test_a_customer_page_shows_balance_forecast_agreements_and_payments(site_with_invoices: Site) -> None:
    site_with_invoices.add_rows(
        PaymentRow(connection_id=1, external_id="loose", customer_id="c1", currency="EUR", paid_on=NOW.date(),
                   total_e4=500_000, unapplied_e4=120_000),
        Agreement(connection_id=1, kind=AgreementKind.PROMISE, invoice_id="i10", customer_id="c1", since_on=NOW.date(),
                  until_on=date(2026, 12, 1), recorded_by="Ann", recorded_at=NOW),
    )  # fmt: skip
    browser = site_with_invoices.sign_in("viewer")
    text = browser.get(PAGE) and browser.text
    assert "Open balance EUR 333.00" in text
    assert "Paid invoices 7" in " ".join(text.split())
    assert "Unapplied credit: EUR 12.00" in text
    assert "Promise to pay by 1 Dec 2026 (Ann)" in text
    assert "Payment of EUR 113.00, applied to INV-13" in text
    assert "Payment of EUR 50.00; EUR 12.00 of it is not applied yet" in text
    assert "Some days late." in text  # the email that awaits approval
    assert 'name="do"' not in browser.page.text  # a viewer is offered no button
    assert browser.get("/companies/1/customers/nobody").status_code == 404


def test_a_payment_is_expected_until_the_companys_own_day_is_over(site_with_invoices: Site) -> None:
    site = site_with_invoices
    site.clock.at = NOW + timedelta(hours=15)  # the next day in UTC, and still this one in Los Angeles
    with writing(site.app.engine) as session:
        session.get_one(Connection, 1).time_zone = "America/Los_Angeles"
        customer = session.scalars(select(CustomerRow).where(col(CustomerRow.external_id) == "c1")).one()
        first = build_profile(session, customer, site.clock.at).invoices[0]
        invoice = session.get_one(InvoiceRow, (1, first.id))
        assert invoice.due_on is not None
        assert first.expected_on is not None
        invoice.due_on += NOW.date() - first.expected_on
    page = site.sign_in("viewer").get(PAGE).text
    shown = page.partition(f">{first.number}<")[2].partition('data-label="Expected">')[2].partition("</td>")[0]
    assert shown.startswith("<time>23 Nov 2026</time>")


PROMISE = {"do": "promise", "promised_on": "2026-12-02", "invoice": "i10"}


def test_next_steps_that_are_not_sent_say_so_beside_their_dates(site_with_invoices: Site) -> None:
    site = site_with_invoices
    browser = site.sign_in("bookkeeper")
    with reading(site.app.engine) as session:
        row = session.scalars(select(InvoiceRow).where(col(InvoiceRow.is_open)).limit(1)).one()
    company = f"/companies/{row.connection_id}"
    pages = [f"{company}/invoices/{row.external_id}", f"{company}/customers/{row.customer_id}"]
    for change, words in (
        ({"mode": "observe"}, "is in observe mode: none of this is sent."),
        ({"mode": "approve"}, "Emails and late fees await approval first."),
        ({"mode": "live", "pause_reason": "Holidays"}, "is paused: none of this is sent"),
        ({"mode": "live", "pause_reason": ""}, ""),
    ):
        with writing(site.app.engine) as session:
            for name, value in change.items():
                setattr(session.get_one(Connection, row.connection_id), name, value)
        for page in pages:
            shown = browser.get(page).text.partition('id="next"')[2].partition("</section>")[0]
            assert words in shown
            assert words or "none of this is sent" not in shown
        today = browser.get("/").text
        assert ("in observe mode: nothing of it is sent" in today) == (change["mode"] == "observe")


def test_an_agreement_is_recorded_for_all_selected_invoices_or_none(site_with_invoices: Site) -> None:
    browser = site_with_invoices.sign_in("bookkeeper")
    browser.get(PAGE)
    browser.submit(
        PAGE, {"do": "promise", "promised_on": "2026-12-01", "invoice": ["i10", "i11"], "reason": "By phone"}
    )
    assert "Saved. It applies from the next sync." in browser.text
    assert "Undo: promise to pay for 2 invoices" in browser.text
    assert '<a href="/attention">See who else needs attention</a>' in browser.page.text
    assert {key: str(row.promised_on) for key, row in invoice_settings(site_with_invoices).items()} == {
        "i10": "2026-12-01",
        "i11": "2026-12-01",
    }
    assert "Promised for 1 Dec 2026" in browser.text
    for fields, field, words in (
        ({"do": "promise", "promised_on": "2026-12-02"}, "invoice", "Select at least one invoice"),
        ({"do": "promise", "invoice": "i10"}, "promised_on", "Enter the date of the promised payment"),
        ({"do": "promise", "promised_on": "2026-11-01", "invoice": "i10"}, "promised_on", "is in the past"),
        ({"do": "pause", "paused_until": "2026-11-01", "invoice": "i10"}, "paused_until", "would already be over"),
        ({**PROMISE, "promised_amount": "some"}, "promised_amount", "is not an amount"),
        ({**PROMISE, "promised_amount": "999999"}, "promised_amount", "Enter an amount up to"),
        ({**PROMISE, "invoice": ["i10", "i11"], "promised_amount": "5"}, "promised_amount", "for one invoice"),
        (
            {
                "do": "payment_plan",
                "instalment_count": "1",
                "interval": "month",
                "first_due_on": "2026-12-01",
                "invoice": "i10",
            },
            "instalment_count",
            "number of instalments",
        ),
        ({"do": "payment_plan", "instalments": "soon 5", "invoice": "i10"}, "instalments", "is not an instalment"),
    ):
        browser.get(PAGE)
        browser.submit(PAGE, {**fields, "reason": "By phone"})
        assert browser.page.status_code == 422, words
        assert words in unescape(browser.page.text.partition(f'id="{field}-problem">')[2].partition("</p>")[0])
        assert f'role="alert">Not saved. <a href="#{field}-problem">' in browser.page.text
        assert browser.page.text.count('value="By phone"') == 1  # what was typed stays
        assert ('value="i10" aria-label="Select invoice INV-10" checked' in browser.page.text) == ("invoice" in fields)
    browser.get(PAGE)
    browser.submit(
        PAGE, {"do": "dispute", "invoice": ["i12", "i20"], "reason": "Never ordered"}
    )  # i20 is somebody else's
    assert browser.page.status_code == 404
    assert "i12" not in invoice_settings(site_with_invoices)


def test_a_payment_plan_a_pause_and_a_dispute_start_and_end_on_the_invoice_page(site_with_invoices: Site) -> None:
    page = "/companies/1/invoices/i10"
    browser = site_with_invoices.sign_in("bookkeeper")
    steps: tuple[tuple[dict[str, str], str], ...] = (
        (
            {"do": "payment_plan", "instalment_count": "2", "first_due_on": "2026-12-01", "interval": "month"},
            "Payment plan: EUR 55.00 by 1 Dec 2026, EUR 55.00 by 1 Jan 2027",
        ),
        (
            {"do": "payment_plan", "instalments": "2026-12-01 10.00\n2026-12-05 100.00"},
            "Payment plan: EUR 10.00 by 1 Dec 2026, EUR 100.00 by 5 Dec 2026",
        ),
        ({"do": "cancel_payment_plan"}, "Payment plan: withdrawn by"),
        ({"do": "pause", "paused_until": "2026-12-24", "reason": "Holidays"}, "Reminders paused until 24 Dec 2026"),
        ({"do": "resume"}, "Paused reminders: ended by"),
        ({"do": "dispute", "reason": "Two were broken"}, "Disputed since 23 Nov 2026: Two were broken"),
        ({"do": "undispute", "reason": "Credited"}, "Dispute: resolved by bookkeeper@example.com: Credited"),
    )
    for fields, words in steps:
        browser.get(page)
        browser.submit(page, fields)
        assert words in " ".join(browser.text.split()), words
    browser.get(page)
    assert browser.submit(page, {"do": "nonsense"}).status_code == 404
    for fields, words in (
        ({"do": "promise", "promised_on": "2026-12-02"}, "Promised for 2 Dec 2026"),
        ({"do": "pause", "paused_until": "2026-12-24"}, "Reminders paused until 24 Dec 2026"),
        ({"do": "dispute", "reason": "Two were broken"}, "Disputed since 23 Nov 2026: Two were broken"),
    ):
        browser.get(page)
        first = browser.submit(page, fields).url.removeprefix(site_with_invoices.base)
        assert words in " ".join(browser.text.split())
        later = {**fields, **({"promised_on": "2026-12-09"} if "promised_on" in fields else {})}
        later |= {"paused_until": "2026-12-31"} if "paused_until" in fields else {}
        second = browser.submit(page, {**later, "reason": "A second one"}).url.removeprefix(site_with_invoices.base)
        assert 'value="undo"' not in browser.get(first).text  # it was changed since
        assert (
            'value="undo"'
            not in site_with_invoices.sign_in("viewer", email=f"{fields['do']}@example.com").get(second).text
        )
        browser.get(second)
        browser.submit(page, {"do": "undo"})
        assert "Undone. What applied before applies again." in browser.text
        assert words in " ".join(browser.text.split())
        assert browser.get(second).text.count('value="undo"') == 0
        browser.get(first)
        browser.submit(page, {"do": "undo"})
        browser.get(page)
        assert words not in " ".join(browser.text.split())
    browser.get(page)
    browser.submit(page, {"do": "pause"})
    site_with_invoices.clock.advance(minutes=61)
    assert browser.submit(page, {"do": "undo"}).status_code == 409
    assert "Nothing was undone" in browser.text
    assert invoice_settings(site_with_invoices)["i10"].paused


def test_settings_are_saved_and_only_changes_are_logged(site_with_invoices: Site) -> None:
    browser = site_with_invoices.sign_in("bookkeeper")
    browser.get(PAGE)
    fields = {
        "do": "set",
        "emails": "new@c1.example; cfo@c1.example",
        "contact_name": "Jo",
        "segment": "strategic",
        "hold_until_on": "2026-12-24",
        "no_fees": "yes",
        "owner": "Ann Lee <ann@north.example>",
        "tags": "a, b",
    }
    browser.submit(PAGE, fields)
    row = get_customer_setting(site_with_invoices)
    assert row is not None
    assert (row.emails, row.segment, row.no_fees, row.tags) == (
        "new@c1.example,cfo@c1.example",
        "strategic",
        True,
        "a,b",
    )
    browser.get(PAGE)
    assert "new@c1.example,cfo@c1.example (in your accounting system" in browser.text
    browser.submit(PAGE, {**fields, "segment": "", "no_fees": ""})
    row = get_customer_setting(site_with_invoices)
    assert row is not None
    assert (row.segment, row.no_fees, row.contact_name) == (None, False, "Jo")
    with reading(site_with_invoices.app.engine) as session:
        query = select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.CUSTOMER_UPDATED)
        told = session.scalars(query.order_by(col(SyncLogEntry.id).desc())).first()
    assert told == "bookkeeper@example.com changed the settings of Customer 00001: segment: not set; no late fees: no."
    days = ({"hold_until_on": "x"}, {"hold_until_on": "2020-01-01"})
    for wrong in (
        {"emails": "nobody"},
        {"owner": "nobody"},
        {"emails": "Jo <jo@c1.example>"},
        {"language": "tlh"},
        *days,
    ):
        browser.get(PAGE)
        assert browser.submit(PAGE, {**fields, **wrong}).status_code == 422, wrong
        assert f'id="{next(iter(wrong))}-problem"' in browser.page.text
        assert f'value="{escape(next(iter(wrong.values())))}"' in browser.page.text or "language" in wrong
        assert 'value="a, b"' in browser.page.text
    assert "A hold until 1 Jan 2020 would already be over" in browser.text


def test_portal_links_are_created_and_revoked_by_bookkeepers_only(site_with_invoices: Site) -> None:
    browser, looking = site_with_invoices.sign_in("bookkeeper"), site_with_invoices.sign_in("viewer")
    browser.get(PAGE)
    assert "No valid link." in browser.text
    assert "emails contain no link" in browser.text
    browser.submit(PAGE, {"do": "link_created"})
    [link] = re.findall(r"http://localhost:\d+/c/[a-z2-7]{32}", browser.text)
    page = site_with_invoices.browser().get(link.removeprefix(site_with_invoices.base))
    assert page.status_code == 200
    assert "Customer 00001" in page.text
    looking.get(PAGE)
    assert "/c/" not in looking.text
    browser.submit(PAGE, {"do": "link_revoked"})
    assert "Portal link revoked" in browser.text
    assert site_with_invoices.browser().get(link.removeprefix(site_with_invoices.base)).status_code == 410


def test_an_exception_is_shown_until_it_is_marked_as_correct(site_with_invoices: Site) -> None:
    north = site_with_invoices.sign_in("bookkeeper", 1)
    assert "Far above what is usual here." in north.get("/exceptions").text
    key = "1|unusual_amount|c1|i10"
    north.get("/exceptions")
    north.submit("/exceptions", {"exception": key, "back": "/exceptions"})
    assert "Mark as correct" in north.text
    assert key not in north.get("/exceptions").text
    assert north.get(PAGE).text.count("Far above") == 0
    south = site_with_invoices.sign_in(
        "bookkeeper", site_with_invoices.add_company("South Ltd"), email="south@example.com"
    )
    south.get("/exceptions")
    from connector.web.page_request import derive_csrf_token  # noqa: PLC0415
    from connector.web.routes import cookie_name  # noqa: PLC0415

    token = derive_csrf_token(south.http.cookies[cookie_name(site_with_invoices.app)], "/exceptions")
    assert south.post("/exceptions", {"csrf": token, "exception": "1|unusual_amount|c2|i20"}).status_code == 404
    with reading(site_with_invoices.app.engine) as session:
        assert session.get_one(ExceptionRow, (1, "c1", "unusual_amount", "i10")).resolved_by == "bookkeeper@example.com"
        assert exceptions.find_exception(session, "1|unusual_amount|c2|i20").resolved_at is None  # type: ignore[union-attr]


def test_all_open_tasks_are_listed_on_one_page(site_with_invoices: Site) -> None:
    site_with_invoices.add_rows(
        *(Task(connection_id=1, key=f"more{n}", code=TaskCode.CALL, customer_id="c1", invoice_ids=[], due_on=NOW.date(),
               reason=f"Ring {n:02}", created_at=NOW) for n in range(60)),
    )  # fmt: skip
    browser = site_with_invoices.sign_in("viewer")
    assert browser.get("/tasks").text.count('<td data-label="Reason"') == 50
    more = re.findall(r'href="([^"]*)" data-list-link rel="next"', browser.page.text)[0].replace("&amp;", "&")
    assert browser.get(more).text.count('<td data-label="Reason"') == 15
