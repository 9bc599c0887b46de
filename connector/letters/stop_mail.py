"""The link in a digest by which a customer's owner stops one mail before it leaves."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector import outbox
from connector.access.keyring import KeyringError
from connector.database import reading, writing
from connector.installation import Installation
from connector.letters import tongues
from connector.letters.languages import language_of
from connector.letters.mail_layout import phrase, words
from connector.letters.plain_text import one_line
from connector.people import approvals
from connector.tables import Connection, CustomerRow, OutboxEntry

_BOUND_TO = "link that stops one mail"
_TOKEN_MAX = 2000


class Stopped(NamedTuple):
    """Which mail a link is about; why it cannot be stopped (any more), "" while it can; its readers' language."""

    company: str
    customer: str
    why: str
    too_late: str
    language: str


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
    connection = session.get_one(Connection, entry.connection_id)
    language, name = tongues.of_people(session, connection), one_line(customer.name if customer else "")
    too_late = _too_late(entry, words(language_of(language).code)["stop"])
    return Stopped(one_line(connection.name), name, one_line(entry.why, 400), too_late, language)


def _too_late(entry: OutboxEntry, texts: Mapping[str, str]) -> str:
    if entry.state in outbox.UNSENT:
        return ""
    return phrase(texts["mail_refused"], {"why": entry.answer}) if entry.state == "refused" else texts["mail_left"]
