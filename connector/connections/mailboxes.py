"""The connected mailbox that emails are sent from: one for each email system, connected once by OAuth.

Its token is a ``Grant`` like a company's. Of what is in it, the database holds only the position up to which it was
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlmodel import Session, col

import providers
from connector.app_context import AppContext, EmailCalls, MailboxSystem, UncountedCalls, list_mailers
from connector.audit import sync_log
from connector.connections.tokens import fresh_token, token_source
from connector.db.engine import reading, writing
from connector.db.tables import ConnectedMailbox, Grant
from connector.vocabulary import LogKind
from providers.calls import CallObserver
from providers.errors import AuthorizationExpired, ProviderError
from providers.mailbox import Mailbox, MailboxConsent
from providers.mailer import Mailer
from providers.sign_in import AccessToken


class MailboxNotConnected(Exception):
    """There is no such mailbox; the message says how to connect one."""


def open_mailer(app: AppContext, calls: CallObserver | None = None) -> Mailer | None:
    """Build the mailer that sends the emails; None without one.

    A mailbox that is not connected is one that cannot be used: its calls raise ``AuthorizationExpired``.
    """
    name = mailer_name(app)
    counted = app.stop_aware(EmailCalls(calls or UncountedCalls()))
    if name in app.mailboxes:
        return _open(app, app.mailboxes[name], find_mailbox(app, name), counted)
    return providers.build_mailer(name, app.settings, counted) if name else None


def mailer_name(app: AppContext, session: Session | None = None) -> str:
    """Return the name of the mailer that sends the emails, "" where none is set up.

    It is that of MAIL_SERVICE; else SendGrid comes first, then a mailbox, then SMTP, then a folder of .eml files. Of
    several mailboxes it is the one that is connected, and of those the one that was first: connecting another must not
    change the sender unasked.
    """
    names = list_mailers(app.settings)
    first = next(iter(names), "")
    if first not in app.mailboxes or len([each for each in names if each in app.mailboxes]) == 1:
        return first
    return next((row.provider for row in list_mailboxes(app, session) if row.provider in names), first)


def list_mailboxes(app: AppContext, session: Session | None = None) -> list[ConnectedMailbox]:
    """Return the connected mailboxes, the one that was first connected first."""
    with nullcontext(session) if session is not None else reading(app.engine) as opened:
        return list(opened.scalars(select(ConnectedMailbox).order_by(col(ConnectedMailbox.id))))


def open_mailbox(app: AppContext, row: ConnectedMailbox, calls: CallObserver | None = None) -> Mailbox:
    """Open a connected mailbox, to read it."""
    counted = app.stop_aware(EmailCalls(calls or UncountedCalls()))
    return _open(app, app.mailboxes[row.provider], row, counted)


def _open(app: AppContext, system: MailboxSystem, row: ConnectedMailbox | None, calls: CallObserver) -> Mailbox:
    if row is None:
        return system.open_mailbox(app.settings, app.settings.mail_from, _missing_token(system), calls)
    return system.open_mailbox(app.settings, row.address, token_source(app, row.grant_id, calls), calls)


def _missing_token(system: MailboxSystem) -> AccessToken:
    def access_token(*, rejected_token: str | None = None) -> str:
        del rejected_token
        hint = f"connect it under Settings, Sender, or with: {_command(system.name)}"
        message = f"no mailbox is connected at {system.title} yet; {hint}"
        raise AuthorizationExpired(message)

    return access_token


def find_mailbox(app: AppContext, name: str = "") -> ConnectedMailbox | None:
    """Return the connected mailbox of an email system, or of the one that sends the emails; None without one."""
    wanted = name or mailer_name(app)
    with reading(app.engine) as session:
        return session.scalars(select(ConnectedMailbox).where(col(ConnectedMailbox.provider) == wanted)).first()


def reply_address(app: AppContext, session: Session) -> str:
    """Return the address of the mailbox that sends the emails, where answers are read; "" without one.

    An account owner's own address would take them elsewhere. Whoever sets ``MAIL_REPLY_TO`` wants that.
    """
    if app.settings.mail_reply_to:
        return ""
    name = mailer_name(app, session)
    row = session.scalars(select(ConnectedMailbox).where(col(ConnectedMailbox.provider) == name)).first()
    return row.address if row is not None else ""


def mailbox_problem(app: AppContext, row: ConnectedMailbox) -> str:
    """Return why a mailbox cannot be used any more, "" while it can."""
    with reading(app.engine) as session:
        return session.get_one(Grant, row.grant_id).invalid_reason


def save_mailbox(
    app: AppContext,
    session: Session,
    system: MailboxSystem,
    consent: MailboxConsent,
    grant: Grant,
    notes: Sequence[str] = (),
) -> ConnectedMailbox:
    """Store a mailbox in the caller's transaction; another account of the same email system is replaced.

    ``notes`` are sentences for the log.
    """
    now = app.now()
    query = select(ConnectedMailbox).where(col(ConnectedMailbox.provider) == system.name)
    row = session.scalars(query).first()
    if row is None:
        row = ConnectedMailbox(provider=system.name, address="", grant_id=grant.id or 0, connected_at=now)
        session.add(row)
    if row.grant_id != grant.id:  # another account: the position is one in the other mailbox
        row.cursor, row.read_at, row.connected_at = "", None, now
    row.address, row.grant_id = consent.address, grant.id or 0
    session.flush()
    session.execute(delete(Grant).where(col(Grant.provider) == system.name, col(Grant.id) != grant.id))
    text = f"The mailbox {row.address} ({system.title}) was connected: emails are sent from it, and replies read in it."
    sync_log.write(session, at=now, kind=LogKind.MAILBOX_CONNECTED, text=" ".join([text, *notes]))
    return row


def disconnect_mailbox(app: AppContext, name: str, *, by: str = "", reason: str = "") -> list[str]:
    """Disconnect a mailbox: end the access as far as its service lets us, and delete the token here.

    The ``reason`` is logged.

    Returns:
        What was done, and what is left to do: a sentence each.

    """
    system, row = app.mailboxes.get(name), find_mailbox(app, name)
    if system is None or row is None:
        message = f"No mailbox is connected at {system.title if system else name}."
        raise MailboxNotConnected(message)
    left = _revoke(app, system, row.grant_id)
    with writing(app.engine) as session:
        session.delete(session.get_one(ConnectedMailbox, row.id))
        session.flush()
        session.delete(session.get_one(Grant, row.grant_id))
        ended = f"The mailbox {row.address} ({system.title}) was disconnected{f' by {by}' if by else ''}."
        ended += f" Reason: {reason.rstrip('.')}." if reason else ""
        sync_log.write(session, at=app.now(), kind=LogKind.MAILBOX_DISCONNECTED, text=ended)
    return [*filter(None, [ended, left]), f"To connect it again: {_command(name)}"]


def end_replaced_access(app: AppContext, system: MailboxSystem, consent: MailboxConsent) -> list[str]:
    """End the access to the mailbox that a consent replaces, and return what was done, a sentence each.

    It happens before the new token is stored: the old one, without which nothing can be ended, is then still there.
    """
    row = find_mailbox(app, system.name)
    if row is None or _has_subject(app, row, consent.subject):
        return []
    left = _revoke(app, system, row.grant_id, consent)
    return [*filter(None, [f"It replaces {row.address}, whose token was deleted here.", left])]


def _has_subject(app: AppContext, row: ConnectedMailbox, subject: str) -> bool:
    with reading(app.engine) as session:
        return session.get_one(Grant, row.grant_id).subject == subject


def _revoke(app: AppContext, system: MailboxSystem, grant_id: int, successor: MailboxConsent | None = None) -> str:
    calls = app.stop_aware(UncountedCalls())
    try:
        token = fresh_token(app, grant_id, calls)
        if successor is not None and system.is_same_account(app.settings, token, successor, calls):
            return ""  # under another address now: its access goes on
        return system.revoke(app.settings, token, calls)
    except AuthorizationExpired:
        return ""  # it was revoked already
    except ProviderError as problem:
        return f"Ending the access at {system.title} failed ({str(problem).rstrip('.')}): remove duewell there by hand."


def claim_reading(app: AppContext, row: ConnectedMailbox, *, due_before: datetime, until: datetime) -> bool:
    """Return whether the caller is the one to read a mailbox now; nobody else is until ``until``, or the reading ends.

    The syncs of all companies share the mailbox, and one reading is enough for all of them.
    """
    table = ConnectedMailbox
    with writing(app.engine) as session:
        claimed = session.execute(
            update(table)
            .where(
                col(table.id) == row.id,
                or_(col(table.read_at).is_(None), col(table.read_at) <= due_before),
                or_(col(table.reading_until_at).is_(None), col(table.reading_until_at) <= app.now()),
            )
            .values(reading_until_at=until)
        )
        return bool(claimed.rowcount)  # type: ignore[attr-defined]


def end_reading(app: AppContext, row: ConnectedMailbox, *, read_at: datetime | None) -> None:
    """Release the claim; ``read_at`` is when a reading that came to its end began."""
    changed = {"reading_until_at": None} | ({"read_at": read_at} if read_at is not None else {})
    with writing(app.engine) as session:
        session.execute(update(ConnectedMailbox).where(col(ConnectedMailbox.id) == row.id).values(**changed))


def store_position(app: AppContext, row: ConnectedMailbox, cursor: str) -> None:
    """Store up to where a mailbox was read, unless it was connected anew meanwhile."""
    table = ConnectedMailbox
    with writing(app.engine) as session:
        session.execute(
            update(table).where(col(table.id) == row.id, col(table.address) == row.address).values(cursor=cursor)
        )


def _command(name: str) -> str:
    return f"duewell connect {name}"
