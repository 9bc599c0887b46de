"""Bank statements that come by email: what is attached is saved into the company's watched folder.

An email says of itself what it likes. So four things have to agree: SendGrid signed what it posts, the address has the
company's secret, the sender is one that the settings allow, and the sender's domain signed the email (DKIM). SPF alone
proves nothing about the sender that people see. From the folder on, a file is like one that was dropped there by hand.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.bank.watched_folder import UNFINISHED
from connector.connections import registry
from connector.db.engine import reading, writing
from connector.db.tables import Connection
from connector.emails.contact_tokens import sign_token
from connector.emails.inbound.posted_statement import FILES_MAX, StatementEmail
from connector.plain_text import one_line
from connector.secrets.private_files import sync_folder
from connector.vocabulary import ConnectionHealth, LogKind

_ADDRESS = re.compile(rb"bank\+([a-z2-7]{32})@([a-z0-9.-]{1,253})")
_TOKENS_MAX = 10
_WRITTEN_BEFORE = timedelta(minutes=1)  # the folder waits while somebody may still be writing: this file is whole
TOO_LARGE = "it is larger than 1 MB with all that is attached: import the file on the company's page"


def is_open(app: AppContext) -> bool:
    """Return whether statements may come by email: all settings that make it safe are there."""
    settings = app.settings
    return bool(
        settings.mail_reply_domain
        and settings.sendgrid_inbound_public_key
        and settings.duewell_bank_senders
        and settings.duewell_bank_folder
    )


def build_address(app: AppContext, connection: Connection) -> str:
    """Return where a bank emails a company's statements to; "" where statements may not come by email."""
    return f"bank+{_token(app, connection)}@{app.settings.mail_reply_domain}" if is_open(app) else ""


def find_company(app: AppContext, content: bytes) -> int | None:
    """Return the company whose address stands anywhere in what was posted; None without one."""
    wanted = app.settings.mail_reply_domain.encode()
    found = (match.groups() for match in _ADDRESS.finditer(content.lower())) if is_open(app) else ()
    named = dict.fromkeys(token.decode() for token, domain in found if domain.rstrip(b".-") == wanted)
    tokens = list(named)[:_TOKENS_MAX]
    if not tokens:
        return None
    with reading(app.engine) as session:
        for connection in _connections(session):
            own = _token(app, connection)
            if any(hmac.compare_digest(own, each) for each in tokens):
                return connection.id
    return None


def receive(app: AppContext, connection_id: int, email: StatementEmail) -> bool:
    """Save what is attached to an email; return whether it was taken. Nothing is lost that was."""
    if not email.is_from(app.settings.duewell_bank_senders):
        reason = "its sender is not in DUEWELL_BANK_SENDERS, or the sender's domain has not signed it (DKIM)"
        report_refusal(app, connection_id, reason, email.sender)
        return False
    if not email.files:
        report_refusal(app, connection_id, "no statement is attached", email.sender)
        return False
    if len(email.files) > FILES_MAX:
        reason = f"more than {FILES_MAX} files are attached: import them on the company's page"
        report_refusal(app, connection_id, reason, email.sender)
        return False
    with reading(app.engine) as session:
        short_name = session.get_one(Connection, connection_id).short_name
    root = app.settings.duewell_bank_folder
    assert root is not None  # noqa: S101 - as is_open has made sure
    folder = root / short_name
    folder.mkdir(mode=0o700, exist_ok=True)
    written_at = (app.now() - _WRITTEN_BEFORE).timestamp()
    for name, content in email.files:
        _save(folder, name, content, written_at)
    with suppress(registry.DisconnectedError):  # a moment ago: the file waits in the folder
        registry.run_soon(app, connection_id)
    return True


def report_refusal(app: AppContext, connection_id: int, reason: str, sender: str = "") -> None:
    """Log for the company that an email to its address was not taken."""
    whose = f" from {one_line(sender, 120)}" if sender else ""
    text = f"An email{whose} to the address for bank statements was not taken: {reason}."
    with writing(app.engine) as session:
        sync_log.write(session, at=app.now(), kind=LogKind.WARNING, text=text, connection_id=connection_id)


def _save(folder: Path, name: str, content: bytes, written_at: float) -> None:
    """Save a file under a name of its content, whole or not at all: SendGrid posts again what was not answered."""
    path = Path(name)
    suffix = "" if path.suffix.lower() in UNFINISHED else path.suffix  # else it would wait in the folder for ever
    target = folder / f"{path.stem}-{hashlib.sha256(content).hexdigest()[:8]}{suffix}"
    unfinished = folder / f".{target.name}.part"
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.utime(unfinished, (written_at, written_at))
    unfinished.replace(target)
    sync_folder(folder)


def _connections(session: Session) -> list[Connection]:
    is_connected = col(Connection.health) != ConnectionHealth.DISCONNECTED
    return list(session.scalars(select(Connection).where(is_connected)))


def _token(app: AppContext, connection: Connection) -> str:
    return sign_token(app, f"bank-statements:{connection.provider}:{connection.external_id}")
