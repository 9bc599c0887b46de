"""A sync on PostgreSQL, where several workers share one database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import cast

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlmodel import SQLModel

from connector.arrangements import agreements
from connector.arrangements.customer_settings import find_customer
from connector.audit import sync_log
from connector.db.engine import open_engine, reading, upgrade, writing
from connector.db.tables import OutboxEntry
from connector.delivery import address_checks
from connector.emails import portal_links
from connector.portal import responses
from connector.portal.customer_response import CustomerResponse
from connector.privacy import retention
from connector.privacy.erase import erase
from connector.privacy.export import build_document
from connector.runtime import lease
from connector.runtime.run_context import RunContext
from connector.services.invoices import find_invoice
from connector.vocabulary import ResponseKind, RunOutcome
from providers.mailer import Mailer
from tests.connector.scenario import Scenario, ScenarioFactory


@pytest.fixture
def shared_scenario(postgresql_url: URL, scenario_at: ScenarioFactory, noon: datetime) -> Iterator[Scenario]:
    """A scenario whose database is on PostgreSQL."""
    name = f"duewell_{uuid.uuid4().hex}"
    administration = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgresql_url.set(database=name).render_as_string(hide_password=False)
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    with scenario_at(noon, "xero", url) as scenario:
        yield scenario
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


def test_a_sync_runs_on_postgresql_as_it_does_on_sqlite(
    shared_scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_scenario.company.customer("Ashdown Ltd")
    number = shared_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=shared_scenario.days_ago(6))
    shared_scenario.company.customer("Birch & Co")
    disputed = shared_scenario.company.invoice("Birch & Co", "300.00", due_on=shared_scenario.days_ago(6))
    shared_scenario.go_live()

    is_reachable = address_checks.is_reachable

    def dispute(ctx: RunContext, mailer: Mailer, entry_id: int) -> bool:  # after the recheck, before it is composed
        with ctx.reading() as session:
            recipients = session.get_one(OutboxEntry, entry_id).payload["to"]
        if "accounts@birch.example" in recipients:
            with writing(shared_scenario.app.engine) as session:
                by_ann = agreements.Attribution("Ann", shared_scenario.app.now())
                agreements.record_dispute(session, find_invoice(session, disputed), by_ann, reason="wrong goods")
        return is_reachable(ctx, mailer, entry_id)

    monkeypatch.setattr(address_checks, "is_reachable", dispute)
    for _run in range(2):
        assert shared_scenario.run().outcome is RunOutcome.OK
        shared_scenario.sandbox.clock.advance(timedelta(hours=1))
    assert [to for to, _subject in shared_scenario.customer_emails()] == [("accounts@ashdown.example",)]
    assert len(shared_scenario.company.notes(number)) == 1
    with reading(shared_scenario.app.engine) as session:
        assert sync_log.verify(session).ok


def test_a_customer_responds_is_exported_and_erased_on_postgresql_too(shared_scenario: Scenario) -> None:
    shared_scenario.company.customer("Ashdown Ltd")
    number = shared_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=shared_scenario.days_ago(6))
    shared_scenario.go_live().run()
    with reading(shared_scenario.app.engine) as session:
        customer = find_customer(session, "Ashdown Ltd")
        invoice = find_invoice(session, number)
    here = (shared_scenario.connection, customer.external_id)
    said = CustomerResponse(ResponseKind.PAID, (invoice.external_id,), on=shared_scenario.today)
    assert (
        responses.record_response(shared_scenario.app, portal_links.PortalVisitor(*here, expired=False), said)
        == "done_paid"
    )
    document = build_document(shared_scenario.app, *here, by="ann")
    assert [each["total"] for each in cast("list[dict[str, str]]", document["invoice"])] == ["1200.00"]
    assert shared_scenario.run().outcome is RunOutcome.OK
    erase(shared_scenario.app, *here, by="ann")
    retention.set_retention(shared_scenario.app, dict.fromkeys(retention.KINDS, 1), by="ann")
    shared_scenario.pass_days(3)
    retention.prune_daily(shared_scenario.app)
    assert shared_scenario.run().outcome is RunOutcome.OK
    with reading(shared_scenario.app.engine) as session:
        assert sync_log.verify(session).ok
        held = [str(row) for table in SQLModel.metadata.sorted_tables for row in session.execute(table.select())]
    assert [row for row in held if "Ashdown" in row or "ashdown" in row] == []


def test_a_second_worker_does_not_run_at_the_same_time(shared_scenario: Scenario) -> None:
    shared_scenario.connect()
    with lease.acquire(shared_scenario.app, shared_scenario.connection):
        assert shared_scenario.run().outcome is RunOutcome.BUSY
    assert shared_scenario.run().outcome is RunOutcome.OK
