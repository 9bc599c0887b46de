"""Pay links and PDFs are got once, kept until the invoice changes, and deleted when it is no longer open."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from connector.db.engine import reading, writing
from connector.db.tables import InvoicePdf
from connector.delivery import documents_ahead
from connector.emails.outbound.ledger_documents import LedgerDocuments
from connector.vocabulary import RunOutcome
from sandbox.faults import Rule
from tests.connector.scenario import Scenario, days


def document_calls(scenario: Scenario) -> list[str]:
    """Return the calls for links and PDFs so far: "link" and "pdf"."""
    found = []
    for one in scenario.sandbox.requests.filter_by(scenario.company.provider, "read"):
        is_xero_pdf = "/Invoices/" in one.path and not one.path.endswith(("/OnlineInvoice", "/History"))
        if one.path.endswith("/pdf") or is_xero_pdf:
            found.append("pdf")
        elif one.path.endswith("/OnlineInvoice") or "invoiceLink" in one.query:
            found.append("link")
    return sorted(found)


def kept_pdfs(scenario: Scenario) -> list[InvoicePdf]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(InvoicePdf)))


def test_what_tomorrows_email_needs_is_got_when_it_is_planned(late_customer: Scenario) -> None:
    assert document_calls(late_customer) == ["link", "pdf"], "the observing sync has planned it"
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1
    assert document_calls(late_customer) == ["link", "pdf"]


def test_an_email_about_many_invoices_asks_for_the_links_of_those_it_shows(scenario: Scenario) -> None:
    scenario.company.customer("Vast Ltd")
    for number in range(30):
        scenario.company.invoice("Vast Ltd", f"{100 + number}.00", due_on=days(-5 - number % 7))
    scenario.go_live()
    scenario.run()
    [email] = [one for one in scenario.sandbox.sendgrid.emails() if one.attachments]
    assert document_calls(scenario).count("link") == (10 if scenario.company.provider == "xero" else 1)
    assert email.html.count("Pay invoice ") == 10


def test_a_pdf_is_got_again_when_its_invoice_changes(late_customer: Scenario) -> None:
    late_customer.company.pay(late_customer.number, "200.00")
    late_customer.sandbox.clock.advance(timedelta(minutes=6))
    late_customer.run()
    assert document_calls(late_customer) == ["link", "pdf", "pdf"]
    [pdf] = kept_pdfs(late_customer)
    [email] = [one for one in late_customer.sandbox.sendgrid.emails() if one.attachments]
    assert email.attachments[0].content == pdf.content


def test_the_pdf_of_a_paid_invoice_is_deleted(late_customer: Scenario) -> None:
    assert len(kept_pdfs(late_customer)) == 1
    late_customer.company.pay(late_customer.number)
    late_customer.sandbox.clock.advance(timedelta(minutes=6))
    late_customer.run()
    assert kept_pdfs(late_customer) == []


def test_a_pdf_is_not_kept_for_ever(late_customer: Scenario) -> None:
    late_customer.sandbox.clock.advance(timedelta(days=31))
    late_customer.run()
    assert all(late_customer.app.now() - pdf.stored_at < timedelta(days=1) for pdf in kept_pdfs(late_customer))


def test_that_an_invoice_has_no_link_is_asked_again_after_a_week(late_customer: Scenario) -> None:
    asked = list[str]()

    class NoLinks:
        def get_payment_link(self, invoice_id: str) -> None:
            asked.append(invoice_id)

    app = late_customer.app
    links = LedgerDocuments(app, late_customer.connection, NoLinks(), lambda: writing(app.engine))  # type: ignore[arg-type]
    for passed in (0, 6, 2):
        late_customer.pass_days(passed)
        assert links.pay_link("other") == ""
    assert asked == ["other", "other"]


@pytest.mark.parametrize("scenario", ["quickbooks"], indirect=True)
@pytest.mark.parametrize("links_in_queries", [True, False])
def test_links_are_found_whether_or_not_queries_tell_them(scenario: Scenario, links_in_queries: bool) -> None:
    scenario.sandbox.quickbooks.ledger(scenario.company.external_id).links_in_queries = links_in_queries
    for n in range(4):
        scenario.company.invoice(scenario.company.customer(f"Customer{n} Ltd"), "100.00", due_on=days(-6))
        scenario.company.simulator.edit(scenario.company.numbers[-1], AllowOnlineCreditCardPayment=True)
    scenario.go_live().run()
    assert all("/pay/quickbooks/" in email.text for email in scenario.sandbox.sendgrid.emails())
    assert document_calls(scenario).count("link") == (1 if links_in_queries else 5)


def test_a_ledger_that_gives_no_documents_now_holds_up_no_sync(late_customer: Scenario) -> None:
    late_customer.company.invoice(late_customer.company.customer("Birch Ltd"), "90.00", due_on=days(40))
    late_customer.sandbox.faults.add(Rule(action="refuse", status=404, times=0, path="/pdf$|/OnlineInvoice$"))
    assert late_customer.run().outcome == RunOutcome.OK
    assert len(late_customer.customer_emails()) == 1


def test_a_sync_gets_no_more_ahead_than_leaves_calls_for_others(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_ahead, "CALLS_AHEAD_MAX", 4)
    for n in range(5):
        scenario.company.invoice(scenario.company.customer(f"Customer{n} Ltd"), "100.00", due_on=days(-6))
    scenario.connect()
    scenario.run()
    assert document_calls(scenario).count("pdf") == 2
    scenario.run()
    assert document_calls(scenario).count("pdf") == 4
