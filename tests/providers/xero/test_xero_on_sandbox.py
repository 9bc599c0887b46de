"""The whole provider against the simulated Xero over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from providers.errors import AuthorizationExpired, RateLimited
from providers.ledger import ChangePage, CompanyRef, Consent
from providers.xero import PROVIDER
from sandbox.server import Sandbox
from sandbox.xero import PKCE_CLIENT_ID
from tests.providers.xero.conftest import CallRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.ledger import Ledger

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REDIRECT_URI = "http://localhost:8710/callback/xero"
Key = tuple[str, ...]


class ConnectedXero:
    """A sandbox, a consent to it, and its first organisation's ledger."""

    def __init__(self, sandbox: Sandbox, url: str, calls: CallRecorder) -> None:
        self.sandbox, self.calls = sandbox, calls
        given = {name.lower(): value for name, value in sandbox.settings(url).items()}
        self.settings = SimpleNamespace(**{"xero_scopes": "", **given})
        self.consent = self.connect()
        self.token = self.consent.token
        first = sandbox.xero.organisation().tenant_id
        self.company = next(one for one in self.consent.companies if one.external_id == first)
        self.ledger: Ledger = PROVIDER.open_ledger(self.settings, self.company, self.access_token, calls)

    def connect(self) -> Consent:
        begun = PROVIDER.begin_consent(self.settings, REDIRECT_URI)
        chosen = "".join(f"&sandbox_organisation={book.tenant_id}" for book in self.sandbox.xero.organisations)
        reply = requests.get(f"{begun.url}&sandbox_allow=1{chosen}", allow_redirects=False, timeout=5)
        return PROVIDER.finish_consent(self.settings, REDIRECT_URI, reply.headers["Location"], begun, self.calls)

    def access_token(self, *, rejected_token: str | None = None) -> str:
        if rejected_token == self.token["access_token"]:
            self.token = PROVIDER.refresh(self.settings, self.token, self.calls)
        return str(self.token["access_token"])

    def reads(self) -> int:
        return self.sandbox.requests.count_of("xero", "read")


@pytest.fixture
def connected(calls: CallRecorder) -> Iterator[ConnectedXero]:
    sandbox = Sandbox(seed=5, now=NOW)
    with sandbox.serve() as url:
        yield ConnectedXero(sandbox, url, calls)


class LocalCopy:
    """What a connector stores of the pages."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.rows: dict[Key, Any] = {}
        self.malformed: list[Any] = []

    def pull(self, ledger: Ledger, now: datetime) -> LocalCopy:
        for page in ledger.list_changes(self.cursor, now):
            self.store(page)
            self.cursor = page.cursor
        return self

    def store(self, page: ChangePage) -> None:
        for one in page.invoices:
            self.rows["invoice", one.external_id] = (one.currency, one.total, one.due, one.status)
        for payment in page.payments:
            self.rows["payment", payment.external_id] = (payment.currency, payment.total)
        for credit in page.credits:
            self.rows[credit.kind, credit.external_id] = (credit.currency, credit.total, credit.remaining)
        for gone in page.deleted:
            self.rows.pop((gone.kind, gone.external_id), None)
        for customer in page.customers:
            self.rows["customer", customer.external_id] = (customer.name, customer.active)
        of_invoices, of_sources = set(page.replaced_invoice_ids), set(page.replaced_sources)
        for key in [k for k in self.rows if k[0] == "applied" and (k[3] in of_invoices or (k[1], k[2]) in of_sources)]:
            del self.rows[key]
        for applied in page.applications:
            self.rows["applied", applied.source_kind, applied.source_id, applied.invoice_id] = applied.amount
        self.malformed += page.malformed


STATUSES = {"DRAFT": "draft", "AUTHORISED": "open", "PAID": "paid", "VOIDED": "voided", "DELETED": "deleted"}
KINDS = {"CreditNote": "credit_note", "Overpayment": "overpayment", "Prepayment": "prepayment"}


def expected_copy(sandbox: Sandbox) -> dict[Key, Any]:
    """The first organisation's ledger, in the mirror's format."""
    book = sandbox.xero.organisation()
    rows: dict[Key, Any] = {}
    for invoice in book.invoices:
        if invoice.type == "ACCREC":
            facts = (invoice.currency, invoice.total, invoice.amount_due, STATUSES[invoice.status])
            rows["invoice", invoice.id] = facts
            for payment in invoice.payments:
                rows["payment", payment.id] = (invoice.currency, payment.amount)
                rows["applied", "payment", payment.id, invoice.id] = payment.amount
            for one in invoice.allocations:
                key = ("applied", KINDS[one.credit.kind], one.credit.id, invoice.id)
                rows[key] = rows.get(key, Decimal(0)) + one.amount
    for kind, shelf in book.credits.items():
        for credit in shelf:
            if credit.status not in {"VOIDED", "DELETED"}:
                rows[KINDS[kind], credit.id] = (credit.currency, credit.total, credit.remaining)
    for contact in book.contacts:
        rows["customer", contact.id] = (contact.name, contact.status == "ACTIVE")
    return rows


def test_one_consent_connects_both_organisations_and_their_refresh_token_rotates(connected: ConnectedXero) -> None:
    assert {one.name for one in connected.consent.companies} == {
        book.name for book in connected.sandbox.xero.organisations
    }
    old = connected.token
    fresh = PROVIDER.refresh(connected.settings, old, connected.calls)
    assert fresh["refresh_token"] != old["refresh_token"]
    assert PROVIDER.refresh(connected.settings, old, connected.calls)["refresh_token"] != fresh["refresh_token"]
    connected.sandbox.clock.advance(timedelta(minutes=31))
    with pytest.raises(AuthorizationExpired):
        PROVIDER.refresh(connected.settings, old, connected.calls)


def test_app_without_a_secret_connects_and_refreshes_with_pkce_alone(connected: ConnectedXero) -> None:
    connected.settings.xero_client_id, connected.settings.xero_client_secret = PKCE_CLIENT_ID, ""
    token = connected.connect().token
    assert PROVIDER.refresh(connected.settings, token, connected.calls)["access_token"] != token["access_token"]


def test_expired_token_is_refreshed_during_a_pull(connected: ConnectedXero) -> None:
    connected.sandbox.clock.advance(timedelta(hours=1))
    before = connected.token
    LocalCopy().pull(connected.ledger, connected.sandbox.clock.now())
    assert connected.token != before


def test_revoked_grant_gives_no_access(connected: ConnectedXero) -> None:
    PROVIDER.revoke(connected.settings, connected.token, CompanyRef("", ""), whole_grant=True, calls=connected.calls)
    with pytest.raises(AuthorizationExpired):
        connected.ledger.get_company_details()


def test_organisation_details_are_read(connected: ConnectedXero) -> None:
    facts = connected.ledger.get_company_details()
    assert (facts.company.base_currency, facts.company.country) == ("GBP", "GB")
    assert (facts.company.time_zone, facts.company.ledger_reminders) == ("Europe/London", False)
    assert facts.company.holiday_region == "GB"
    connected.sandbox.xero.organisation().sends_reminders = True
    connected.sandbox.xero.organisation().region = "Scotland"
    company = connected.ledger.get_company_details().company
    assert (company.ledger_reminders, company.holiday_region) == (True, "GB-SCT")


def test_first_pull_equals_the_ledger_to_the_cent(connected: ConnectedXero) -> None:
    mirror = LocalCopy().pull(connected.ledger, NOW)
    assert mirror.malformed == []
    assert len(mirror.rows) > 500
    assert mirror.rows == expected_copy(connected.sandbox)


def test_every_change_in_the_ledger_arrives_with_the_next_pull(connected: ConnectedXero) -> None:
    xero, clock = connected.sandbox.xero, connected.sandbox.clock
    mirror = LocalCopy().pull(connected.ledger, NOW)
    clock.advance(timedelta(minutes=30))
    numbers = [one.number for one in xero.invoices() if one.status == "AUTHORISED" and one.amount_due == one.total]
    payment = xero.pay(numbers[0])
    xero.pay(numbers[1], "1.37")
    xero.credit(numbers[2], "2.22")
    xero.void(numbers[3])
    customer = xero.find(numbers[4]).contact
    over = xero.add_credit(customer.id, 3, "Overpayment", xero.find(numbers[4]).currency)
    xero.allocate(over.id, numbers[4], 2)
    xero.archive(xero.find(numbers[5]).contact.id)
    clock.advance(timedelta(minutes=30))
    assert mirror.pull(connected.ledger, clock.now()).rows == expected_copy(connected.sandbox)
    clock.advance(timedelta(minutes=30))
    xero.delete_payment(payment.id)
    xero.unallocate(over.id)
    clock.advance(timedelta(minutes=30))
    assert mirror.pull(connected.ledger, clock.now()).rows == expected_copy(connected.sandbox)


def test_sync_without_changes_costs_three_reads(connected: ConnectedXero) -> None:
    ledger, clock = connected.ledger, connected.sandbox.clock
    mirror = LocalCopy().pull(ledger, clock.now())
    before = connected.reads()
    mirror.pull(ledger, clock.now() + timedelta(seconds=1))
    assert connected.reads() - before == 3


def test_edits_between_pages_lose_nothing(connected: ConnectedXero) -> None:
    sandbox = connected.sandbox
    sandbox.xero.add_bulk_invoices(5000)
    numbers = [one.number for one in sandbox.xero.invoices() if one.status == "AUTHORISED"]
    edited: list[str] = []

    def edit(_record: object) -> None:
        sandbox.clock.advance(timedelta(seconds=1))
        edited.append(numbers[len(edited) * 31 % len(numbers)])
        sandbox.xero.edit(edited[-1], reference=f"edit {len(edited)}")

    sandbox.faults.call(edit, service="xero", path="/Invoices$")
    mirror = LocalCopy().pull(connected.ledger, NOW)
    sandbox.faults.clear()
    sandbox.clock.advance(timedelta(hours=1))
    mirror.pull(connected.ledger, sandbox.clock.now())
    assert len(edited) > 5
    assert mirror.rows == expected_copy(sandbox)


def test_recheck_sees_a_payment_of_this_minute_and_every_open_credit(connected: ConnectedXero) -> None:
    xero = connected.sandbox.xero
    found = [one for one in xero.invoices() if one.status == "AUTHORISED"][:3]
    customers = sorted({one.contact.id for one in found})
    xero.pay(found[0].number)
    credit = xero.add_credit(found[1].contact.id, "7.50", "Prepayment")
    before = connected.reads()
    page = connected.ledger.reload_documents([one.id for one in found], customers, NOW)
    assert connected.reads() - before == 7  # the latest payments as well, and once the accounts they went to
    assert {one.external_id: one.status for one in page.invoices}[found[0].id] == "paid"
    assert {one.external_id: one.remaining for one in page.credits}[credit.id] == Decimal("7.50")
    page = connected.ledger.reload_documents([], [found[1].contact.id], NOW)
    assert credit.id in {one.external_id for one in page.credits}


def test_pay_link_and_pdf_come_from_the_ledger(connected: ConnectedXero) -> None:
    invoices = connected.sandbox.xero.invoices()
    approved = next(one for one in invoices if one.status == "AUTHORISED")
    link = connected.ledger.get_payment_link(approved.id)
    assert link is not None
    assert approved.id in link
    assert (connected.ledger.get_invoice_pdf(approved.id) or b"").startswith(b"%PDF")
    assert connected.ledger.get_payment_link("00000000-0000-4000-8000-000000000000") is None
    assert connected.ledger.get_invoice_pdf("00000000-0000-4000-8000-000000000000") is None


def test_daily_limit_stops_the_pull_and_keeps_what_was_read(connected: ConnectedXero) -> None:
    connected.sandbox.xero.limits.day = 3
    mirror = LocalCopy()
    with pytest.raises(RateLimited) as caught:
        mirror.pull(connected.ledger, NOW)
    assert caught.value.limit == "day"
    assert caught.value.retry_at is not None
    read = connected.reads()
    connected.sandbox.xero.limits.day = 0
    mirror.pull(connected.ledger, NOW)
    assert connected.reads() == read + 2
    assert mirror.rows == expected_copy(connected.sandbox)
