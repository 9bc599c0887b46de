"""What customers reported in the portal, on the pages of the user who follows it up."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from benchmarks.full_year import NOW
from connector.db.engine import reading
from connector.db.tables import InvoiceRow, PaymentRow, Task
from connector.emails.portal_links import PortalVisitor
from connector.portal import responses
from connector.portal.customer_response import CustomerResponse
from connector.vocabulary import PaymentMethod, ResponseKind

Site = Any
PAGE = "/companies/1/customers/c1"
PDF = b"%PDF-1.7\nproof\n%%EOF\n"


def test_a_reported_payment_stands_beside_the_unapplied_money_that_fits_it(site_with_invoices: Site) -> None:
    site = site_with_invoices
    with reading(site.app.engine) as session:
        invoice = next(row for row in session.scalars(select(InvoiceRow)) if row.customer_id == "c1" and row.is_open)
    visitor = PortalVisitor(1, "c1", expired=False)
    today = site.app.now().date()
    said = CustomerResponse(
        ResponseKind.PAID, (invoice.external_id,), today, method=PaymentMethod.CHEQUE, reference="<b>77</b>"
    )
    key = responses.save_draft(site.app, visitor, said, PDF)
    browser = site.sign_in("bookkeeper")
    browser.get(PAGE)
    assert "Reported in the customer portal" not in browser.text  # it was not sent yet
    assert browser.get(f"{PAGE}/files/1").status_code == 404
    responses.send_draft(site.app, visitor, key)
    site.add_rows(
        PaymentRow(connection_id=1, external_id="fits", customer_id="c1", currency=invoice.currency, paid_on=NOW.date(),
                   total_e4=invoice.due_e4, unapplied_e4=invoice.due_e4),
        PaymentRow(connection_id=1, external_id="other", customer_id="c1", currency=invoice.currency,
                   paid_on=NOW.date(), total_e4=10_000, unapplied_e4=10_000),
    )  # fmt: skip
    browser.get(PAGE)
    assert "by cheque, reference “<b>77</b>”" in browser.text
    assert browser.text.count("Same amount, not applied yet: payment of") == 1
    with reading(site.app.engine) as session:
        [task] = session.scalars(select(Task).where(Task.code == "payment_reported"))  # type: ignore[arg-type]
    assert "Unapplied: payment of" in (browser.get(f"/tasks/{task.id}") and browser.text)
    file = browser.get(f"{PAGE}/files/1")
    assert (file.status_code, file.content) == (200, PDF)
    assert file.headers["Content-Disposition"].startswith("attachment;")
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert file.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert browser.get("/companies/1/customers/c2/files/1").status_code == 404
    viewer = site.sign_in("viewer")
    assert "/files/" not in viewer.get(PAGE).text
    assert viewer.get(f"{PAGE}/files/1").status_code == 403
    other = site.add_company("Other Ltd")
    assert site.sign_in("bookkeeper", other, email="other@example.com").get(f"{PAGE}/files/1").status_code == 404
    responses.undo_response(site.app, visitor, key)
    browser.get(PAGE)
    assert "(taken back)" in browser.text
    assert "Same amount" not in browser.text
    assert browser.get(f"{PAGE}/files/1").status_code == 404
