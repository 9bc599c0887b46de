"""How long an email service accepts no emails, as it said: for all companies, which send through the same one."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from connector.db.engine import writing
from connector.db.tables import KeyValue
from connector.delivery.circuit_breaker import MAX_DEFERRAL
from connector.runtime.run_context import RunContext
from policies.formatting import format_datetime
from providers.errors import LimitWindow, RateLimited

_NAME = "email_pause"
_APP_WIDE = 0  # connection_id of values that belong to no connection


def remember(ctx: RunContext, mailer: str, error: RateLimited) -> None:
    """Store when the limit of a mailer ends, if its service has said so."""
    if error.retry_at is None:
        return
    value = {"mailer": mailer, "until": min(error.retry_at, ctx.now() + MAX_DEFERRAL).isoformat()}
    with writing(ctx.app.engine) as session:  # not the run's own: those of several companies may be under way
        session.merge(KeyValue(connection_id=_APP_WIDE, name=_NAME, value=value, stored_at=ctx.now()))


def find(session: Session, mailer: str, now: datetime) -> RateLimited | None:
    """Return the limit that a mailer's service named before and that has not ended, else None."""
    row = session.get(KeyValue, (_APP_WIDE, _NAME))
    if row is None or row.value["mailer"] != mailer:
        return None
    until = datetime.fromisoformat(row.value["until"])
    if not now < until <= now + MAX_DEFERRAL:
        return None
    message = f"{mailer} takes no more emails until {format_datetime(until)}"
    return RateLimited(message, limit=LimitWindow.DAY, retry_at=until)
