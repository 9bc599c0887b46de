"""The doctor's check of Xero's scopes: the broad ones of older apps end in September 2027."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import select
from sqlmodel import col

from connector.app_context import AppContext
from connector.connections.tokens import associated_data, list_grant_connections, reconnect_hint
from connector.db.engine import reading
from connector.db.tables import Grant
from connector.secrets.keyring import KeyringError
from connector.services.doctor_checks import WARNING, Finding

BROAD_SCOPES = frozenset({"accounting.transactions", "accounting.transactions.read", "accounting.reports.read"})
_ENDS = "Xero accepts it until September 2027 only"


def xero_scopes(app: AppContext) -> Iterator[Finding]:
    """Check that neither the settings nor a consent rests on broad scopes."""
    requested = sorted(BROAD_SCOPES.intersection(app.settings.xero_scopes.split()))
    if requested:
        text = f"XERO_SCOPES requests the broad scope {' and '.join(requested)}: {_ENDS}."
        fix = "Leave XERO_SCOPES empty for the granular scopes, then connect each organisation again."
        yield Finding("scopes.xero", WARNING, text, fix)
    with reading(app.engine) as session:
        query = select(Grant).where(col(Grant.provider) == "xero", col(Grant.invalid_reason) == "")
        grants = [(row, list_grant_connections(session, row.id or 0)) for row in session.scalars(query)]
    for grant, companies in grants:
        granted = sorted(BROAD_SCOPES.intersection(_granted_scopes(app, grant)))
        for company in companies if granted else ():
            text = f"{company.name} was connected with the broad scope {' and '.join(granted)}: {_ENDS}."
            yield Finding(f"scopes.{company.short_name}", WARNING, text, reconnect_hint("xero"))


def _granted_scopes(app: AppContext, grant: Grant) -> list[str]:
    try:
        token = json.loads(app.keyring.decrypt(grant.token, associated_data(grant)))
    except KeyringError:  # another check reports it
        return []
    return str(token.get("scope") or "").split()
