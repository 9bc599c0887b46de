"""Links in digests that stop an email: two runs may store the same at once."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlmodel import Session

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import ContactToken, OutboxEntry
from connector.emails.inbound.email_stops import email_stop_link, store_links
from connector.vocabulary import OutboxKind, OutboxState
from tests.connector.installed import GiveConsent


def test_a_link_that_another_companys_run_stores_meanwhile_is_no_failure(
    either_app: AppContext, give_consent: GiveConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest is about all companies of its reader, and the runs of two of them may compose it at once."""
    company = give_consent(either_app, "quickbooks")[0].id or 0
    entry = OutboxEntry(
        connection_id=company, key="k", kind=OutboxKind.EMAIL, state=OutboxState.PLANNED, customer_id="c",
        payload={}, planned_at=either_app.now(),
    )  # fmt: skip
    monkeypatch.setattr(Session, "get", lambda *_arguments: None)  # it was not there yet when they looked
    for _run in range(2):
        with writing(either_app.engine) as session:
            store_links(session, [email_stop_link(either_app, entry, "ann@small.example")])
    with reading(either_app.engine) as session:
        assert session.scalar(select(func.count()).select_from(ContactToken)) == 1
