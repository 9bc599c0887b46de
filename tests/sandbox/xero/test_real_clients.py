"""The unmodified xero-python SDK and Authlib with the simulated Xero."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from xero_python.accounting import AccountingApi, Contact, HistoryRecord, HistoryRecords, Invoice, Invoices, LineItem
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration
from xero_python.exceptions import AccountingBadRequestException, HTTPStatusException
from xero_python.identity import IdentityApi

from sandbox import Sandbox
from sandbox.xero import CLIENT_ID, CLIENT_SECRET, PKCE_CLIENT_ID
from tests.sandbox.xero.conftest import Client

REDIRECT = "http://localhost:8710/callback/xero"
SCOPES = (
    "openid offline_access accounting.settings.read accounting.contacts.read"
    " accounting.payments.read accounting.invoices"
)


class _Bearer:
    """Return the token that Authlib got, for the SDK."""

    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def get_auth_settings(self) -> dict[str, Any]:
        return {"type": "oauth2", "in": "header", "key": "Authorization", "value": self._value}


def signed_in(url: str, unauthenticated_client: Client, *, secret: bool = True) -> OAuth2Session:
    session = OAuth2Session(
        CLIENT_ID if secret else PKCE_CLIENT_ID,
        CLIENT_SECRET if secret else None,
        scope=SCOPES,
        redirect_uri=REDIRECT,
        token_endpoint=f"{url}/connect/token",
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
        code_challenge_method="S256",
    )
    verifier = generate_token(64)
    where, state = session.create_authorization_url(f"{url}/identity/connect/authorize", code_verifier=verifier)
    back = unauthenticated_client.session.get(where + "&sandbox_allow=1", allow_redirects=False, timeout=10).headers[
        "Location"
    ]
    session.fetch_token(authorization_response=back, code_verifier=verifier, state=state)
    return session


def sdk(token: str) -> ApiClient:
    configuration = Configuration()
    configuration.oauth2_token = _Bearer(token)
    client = ApiClient(configuration)
    client.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return client


@pytest.fixture
def tenant(url: str, unauthenticated_client: Client) -> tuple[AccountingApi, str]:
    client = sdk(signed_in(url, unauthenticated_client).token["access_token"])
    connection = IdentityApi(client, base_url=url).get_connections()[0]
    return AccountingApi(client, base_url=f"{url}/api.xro/2.0"), connection.tenant_id


@pytest.mark.parametrize("secret", [True, False])
def test_authlib_signs_in_and_refreshes_with_and_without_a_secret(
    url: str, unauthenticated_client: Client, *, secret: bool
) -> None:
    session = signed_in(url, unauthenticated_client, secret=secret)
    first = dict(session.token)
    session.scope = None
    session.refresh_token(f"{url}/connect/token")
    assert session.token["refresh_token"] != first["refresh_token"]
    assert session.get(f"{url}/connections").status_code == 200


def test_authlib_gets_an_error_for_a_revoked_grant(sandbox: Sandbox, url: str, unauthenticated_client: Client) -> None:
    session = signed_in(url, unauthenticated_client)
    sandbox.xero.sign_in.revoke_all()
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.refresh_token(f"{url}/connect/token")


def test_authlib_revokes_tokens(url: str, unauthenticated_client: Client) -> None:
    session = signed_in(url, unauthenticated_client)
    token = session.token["refresh_token"]
    assert session.revoke_token(f"{url}/connect/revocation", token, token_type_hint="refresh_token").status_code == 200
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.refresh_token(f"{url}/connect/token")


def test_sdk_reads_every_kind_of_document(sandbox: Sandbox, tenant: tuple[AccountingApi, str]) -> None:
    api, tenant_id = tenant
    page = api.get_invoices(tenant_id, page=1, page_size=1000, order="InvoiceID", where='Type=="ACCREC"')
    assert page.pagination.item_count == len(page.invoices) == len(sandbox.xero.invoices())
    mine = sandbox.xero.find(page.invoices[7].invoice_number)
    assert (page.invoices[7].amount_due, page.invoices[7].date) == (mine.amount_due, mine.on)
    assert page.invoices[7].line_items[0].line_amount == mine.lines[0].line_amount
    assert api.get_contacts(tenant_id, page=1, include_archived=True).contacts
    assert api.get_payments(tenant_id, page=1).payments
    assert api.get_credit_notes(tenant_id, page=1).credit_notes
    assert api.get_overpayments(tenant_id, page=1).overpayments
    assert api.get_prepayments(tenant_id, page=1).prepayments
    assert api.get_organisations(tenant_id).organisations[0].base_currency.value == "GBP"
    assert api.get_invoice_reminders(tenant_id).invoice_reminders[0].enabled is False
    for settings in (api.get_accounts, api.get_tax_rates, api.get_branding_themes, api.get_currencies, api.get_items):
        assert settings(tenant_id), settings


def test_sdk_reads_changes(sandbox: Sandbox, tenant: tuple[AccountingApi, str]) -> None:
    api, tenant_id = tenant
    since = datetime(2026, 11, 18, 9, 30, tzinfo=UTC)
    assert not api.get_invoices(tenant_id, if_modified_since=since, page=1).invoices
    sandbox.clock.advance(timedelta(seconds=1))
    open_one = next(i for i in sandbox.xero.invoices() if i.status == "AUTHORISED")
    sandbox.xero.pay(open_one.id)
    changed = api.get_invoices(tenant_id, if_modified_since=since, page=1).invoices
    assert [(i.invoice_id, i.status, i.amount_due) for i in changed] == [(open_one.id, "PAID", Decimal(0))]


def test_sdk_writes_a_note_and_a_fee(sandbox: Sandbox, tenant: tuple[AccountingApi, str]) -> None:
    api, tenant_id = tenant
    late = next(i for i in sandbox.xero.invoices() if i.status == "AUTHORISED" and i.contact.status == "ACTIVE")
    records = HistoryRecords([HistoryRecord(details="Reminder sent")])
    api.create_invoice_history(tenant_id, late.id, records, idempotency_key="n1")
    api.create_invoice_history(tenant_id, late.id, records, idempotency_key="n1")
    assert sandbox.xero.notes(late.id)[-1:] == ["Reminder sent"]
    assert api.get_invoice_history(tenant_id, late.id).history_records[0].details == "Reminder sent"
    fee = Invoice(
        type="ACCREC",
        contact=Contact(contact_id=late.contact.id),
        invoice_number=f"LF-{late.number}",
        date=date(2026, 11, 18),
        due_date=date(2026, 12, 2),
        status="AUTHORISED",
        line_items=[LineItem(description="Late fee", quantity=1, unit_amount=Decimal("9.99"), account_code="270")],
    )
    made = api.create_invoices(tenant_id, Invoices(invoices=[fee]), idempotency_key="f1").invoices[0]
    assert sandbox.xero.find(f"LF-{late.number}").amount_due == made.amount_due == Decimal("9.99")
    with pytest.raises(AccountingBadRequestException, match="must be unique"):
        api.create_invoices(tenant_id, Invoices(invoices=[fee]), idempotency_key="f2")
    api.update_invoice(
        tenant_id, made.invoice_id, Invoices(invoices=[Invoice(invoice_id=made.invoice_id, status="VOIDED")])
    )
    assert sandbox.xero.find(made.invoice_id).status == "VOIDED"


def test_sdk_gets_an_error_for_a_disconnected_organisation(sandbox: Sandbox, tenant: tuple[AccountingApi, str]) -> None:
    sandbox.xero.disconnect()
    with pytest.raises(HTTPStatusException) as refusal:
        tenant[0].get_organisations(tenant[1])
    assert refusal.value.status == 403
