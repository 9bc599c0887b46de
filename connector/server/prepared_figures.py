"""The figures of Today, computed before anybody looks: a forecast of 20,000 open invoices takes seconds."""

from __future__ import annotations

import time

from sqlalchemy import select
from sqlmodel import col

from connector.app_context import AppContext
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.reports.scope import Scope
from connector.services.receivables_totals import load_currency_totals

_SECONDS_MAX = 5.0  # of one turn: a thousand companies are prepared one turn after the other


def prepare_figures(app: AppContext) -> None:
    """Compute the figures of each company, and of all together, whose data or date changed since the last turn.

    While a company is read its data change all the time: it comes once that is done.
    """
    started = time.monotonic()
    now = app.now()
    with reading(app.engine) as session:
        rows = list(session.scalars(select(Connection).order_by(col(Connection.name), col(Connection.id))))
        idle = [row for row in rows if row.lease_until_at is None or row.lease_until_at <= now]
        scopes = [Scope([row], now) for row in idle]
        if len(rows) > 1 and len(idle) == len(rows):
            scopes.append(Scope(rows, now))
        for scope in scopes:
            if app.is_stopping() or time.monotonic() - started > _SECONDS_MAX:
                return
            load_currency_totals(session, scope)
