"""The link in a digest by which a customer's owner stops one mail before it leaves."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector import outbox
from connector.access.keyring import KeyringError
from connector.database import reading, writing
from connector.installation import Installation
from connector.letters.plain_text import one_line
from connector.people import approvals
from connector.tables import Connection, CustomerRow, OutboxEntry

_BOUND_TO = "link that stops one mail"
_TOKEN_MAX = 2000
_UNDER_WAY = "It has left already, or is leaving now."


class Stopped(NamedTuple):
    """Which mail a link is about, and why it cannot be stopped (any more); "" while it can."""

    company: str
    customer: str
    why: str
    too_late: str


def stop_mail_link(installation: Installation, key: str, reader: str) -> str:
    """Make the link for one outbox entry and one reader; it carries both, sealed, and needs no record."""
    sealed = installation.keyring.encrypt(json.dumps([key, reader]).encode(), _BOUND_TO)
    return f"{installation.settings.duewell_base_url}/stop-mail/{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"


def look(installation: Installation, token: str) -> Stopped | None:
    """Tell which mail it is, and change nothing; None for a link that is not ours."""
    with reading(installation.engine) as session:
        found = _find(installation, session, token)
        return found and _about(session, found[0])


def stop_mail(installation: Installation, token: str) -> Stopped | None:
    """Keep the mail from ever leaving; the next step of its timetable comes in its time."""
    with writing(installation.engine) as session:
        found = _find(installation, session, token)
        if found is None:
            return None
        entry, reader = found
        about = _about(session, entry)
        if not about.too_late:
            by = f"{reader} (by the link in the digest)"
            approvals.reject(session, [entry.id or 0], by=by, at=installation.now())
        return about


def _find(installation: Installation, session: Session, token: str) -> tuple[OutboxEntry, str] | None:
    try:
        sealed = base64.urlsafe_b64decode(token[:_TOKEN_MAX] + "=" * (-len(token) % 4))
        key, reader = json.loads(installation.keyring.decrypt(sealed, _BOUND_TO))
    except (KeyringError, binascii.Error, ValueError):
        return None
    entry = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == key)).first()
    return (entry, str(reader)) if entry is not None else None


def _about(session: Session, entry: OutboxEntry) -> Stopped:
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    company = session.get_one(Connection, entry.connection_id).name
    too_late = "" if entry.state in outbox.UNSENT else _UNDER_WAY
    if entry.state == "refused":
        too_late = f"It does not leave: {entry.answer}."
    return Stopped(one_line(company), one_line(customer.name if customer else ""), one_line(entry.why, 400), too_late)
