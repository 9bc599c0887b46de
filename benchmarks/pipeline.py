"""The product's whole path, as a sync takes it: the service's client, the mapping, the mirror and the cursor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from connector.app_context import AppContext, open_app
from connector.connections.pacing import Pacer
from connector.db.engine import writing
from connector.db.tables import Connection, SyncRun
from connector.runtime import lease
from connector.runtime.budget import CallBudget
from connector.runtime.run_context import RunContext
from connector.settings import load_settings
from connector.sync import pull
from connector.vocabulary import ConnectionMode
from providers.ledger import CompanyRef, Ledger


def prepare(vendor: str, port: int, folder: Path) -> tuple[AppContext, Ledger]:
    """Set up a new installation with one connection and its client, as before the first sync."""
    here = f"http://127.0.0.1:{port}"
    settings = load_settings(
        duewell_home=folder,
        duewell_database_url=f"sqlite:///{folder}/duewell.db",
        xero_client_id="bench",
        xero_api_url=here,
        quickbooks_client_id="bench",
        quickbooks_api_url=here,
    )
    app = open_app(settings)
    now = datetime.now(UTC)
    with writing(app.engine) as session:
        session.add(
            Connection(
                short_name="bench",
                provider=vendor,
                external_id="1",
                name="Bench",
                created_at=now,
                mode=ConnectionMode.OBSERVE,
            )
        )
        calls = CallBudget(session, 1, app.now)
    ledger = app.providers[vendor].open_ledger(settings, CompanyRef("1", "Bench"), _token, calls)
    return app, ledger


def load(target: tuple[AppContext, Ledger], on_progress: Callable[[int], None]) -> None:
    """Read the ledger once."""
    app, ledger = target
    with lease.acquire(app, 1) as held:
        with writing(app.engine) as session:
            calls = CallBudget(session, 1, app.now)
            session.add(SyncRun(id=1, connection_id=1, started_at=app.now()))
        ctx = RunContext(app, held, 1, 1, "bench:1", ledger, None, calls, app.now(), Pacer(app, 1, "xero"))
        ctx.on_records_read = lambda _records, _expected: on_progress(ctx.tally["invoices"])
        pull.pull_changes(ctx)


def _token(*, rejected_token: str | None = None) -> str:  # noqa: ARG001 - the port's names
    return "bench"
