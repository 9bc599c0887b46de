"""Xero's broad scopes end in September 2027: the doctor names the setting and the organisations that rest on them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from connector.app_context import AppContext, UncountedCalls
from connector.connections.tokens import fresh_token, store_token
from connector.db.engine import writing
from connector.db.tables import Grant
from connector.services.doctor_scopes import xero_scopes
from tests.connector.installed import GiveConsent


@pytest.mark.parametrize(
    ("scopes", "broad"),
    [
        ("offline_access accounting.invoices accounting.payments.read", ""),
        ("offline_access accounting.transactions accounting.contacts.read", "accounting.transactions"),
    ],
)
def test_a_broad_scope_is_named_in_the_settings_and_in_a_consent(
    app: AppContext, give_consent: GiveConsent, scopes: str, broad: str
) -> None:
    rows = give_consent(app, "xero")
    row = rows[0]
    token = {**fresh_token(app, row.grant_id or 0, UncountedCalls()), "scope": scopes}
    with writing(app.engine) as session:
        store_token(app, session.get_one(Grant, row.grant_id), json.loads(json.dumps(token)), app.now())
    app = replace(app, settings=app.settings.model_copy(update={"xero_scopes": scopes}))
    findings = list(xero_scopes(app))
    expected = {"scopes.xero", *(f"scopes.{each.short_name}" for each in rows)} if broad else set()
    assert {each.id for each in findings} == expected
    assert all(f"{broad}: Xero accepts it until September 2027 only." in each.message for each in findings)
