"""The doctor's checks of mail: by whom it leaves, from whom, what comes back, and whether its links lead anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from sqlalchemy import func, select
from sqlmodel import col

from connector.app_context import AppContext, mailer_name
from connector.db.engine import reading
from connector.db.tables import EmailEvent, OutboxEntry
from connector.services.doctor_checks import ERROR, OK, WARNING, Finding, get
from connector.settings import is_publicly_reachable
from connector.vocabulary import OutboxKind, OutboxState
from policies.formatting import format_date

_FREE_EMAIL_DOMAINS = {
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "outlook.com",
    "hotmail.com",
    "icloud.com",
    "aol.com",
    "gmx.de",
}
_EVENTS_OVERDUE_AFTER = timedelta(days=2)
_DISTANT_PAST = datetime.min.replace(tzinfo=UTC)


def sender(app: AppContext) -> Iterator[Finding]:
    """Say by whom mail leaves, and from which address: one of a free mail service is taken for forged."""
    settings, name = app.settings, mailer_name(app.settings)
    if not name:
        mend = "Set SENDGRID_API_KEY (or SMTP_URL, or EML_FOLDER to only write files)."
        yield Finding("email.provider", WARNING, "No way to send mail is set up: reminders stay planned.", mend)
    else:
        yield Finding("email.provider", OK, f"Mail leaves by {name}.")
    domain = settings.mail_from.rpartition("@")[2].lower()
    if not settings.mail_from:
        yield Finding(
            "email.sender", ERROR if name else WARNING, "MAIL_FROM is not set.", "Set it to a sender you verified."
        )
    elif domain in _FREE_EMAIL_DOMAINS:
        mend = "Use an address of the company's own domain, with SPF, DKIM and DMARC set up for it."
        yield Finding("email.sender", WARNING, f"Mail from {domain} sent by others is taken for forged.", mend)
    else:
        yield Finding("email.sender", OK, f"Mail comes from {settings.mail_from}.")
    if settings.mail_from and not settings.mail_reply_to:
        yield Finding("email.reply_to", OK, f"Replies go to {settings.mail_from} (MAIL_REPLY_TO is not set).")


def links(app: AppContext) -> Iterator[Finding]:
    """Say whether customers can open the links that mails would carry."""
    base = app.settings.duewell_base_url
    if is_publicly_reachable(base):
        yield Finding("email.links", OK, f"Mails carry links to the customer's own page and to stop, at {base}.")
    else:
        text = f"Customers cannot open {base}: mails carry no link to the customer's own page, and none to stop."
        mend = (
            "Put duewell behind https under a public name and set DUEWELL_BASE_URL to it; see docs/customer-portal.md."
        )
        yield Finding("email.links", WARNING, text, mend)


def events(app: AppContext) -> Iterator[Finding]:
    """Events are signed, and come: mail that leaves without one for days points at a webhook that is not set up."""
    settings = app.settings
    if not settings.sendgrid_api_key:
        return
    if not settings.sendgrid_webhook_public_key:
        mend = (
            f"Let SendGrid's signed Event Webhook tell {settings.duewell_base_url}/webhooks/sendgrid, and set its key."
        )
        yield Finding("email.events", WARNING, "What became of mails is not told (SENDGRID_WEBHOOK_PUBLIC_KEY).", mend)
        return
    with reading(app.engine) as session:
        event_at = session.scalar(select(func.max(EmailEvent.received_at)))
        untold = select(func.min(OutboxEntry.ended_at)).where(
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
            col(OutboxEntry.state) == OutboxState.DONE,
            col(OutboxEntry.delivery_status) == "",
            col(OutboxEntry.ended_at) > (event_at or _DISTANT_PAST),
        )
        untold_at = session.scalar(untold)
    if untold_at is not None and app.now() - untold_at > _EVENTS_OVERDUE_AFTER:
        mend = "Look at SendGrid, Settings, Mail Settings, Event Webhook: is it on, signed, and does it lead here?"
        yield Finding("email.events", WARNING, f"Nothing was told of mail that left on {format_date(untold_at)}.", mend)
    else:
        yield Finding("email.events", OK, "Signed events of SendGrid are taken.")


def scopes(app: AppContext) -> Iterator[Finding]:
    """Ask SendGrid what the key may do: without the right to send nothing leaves."""
    settings = app.settings
    if not settings.sendgrid_api_key:
        return
    try:
        reply = get(f"{settings.sendgrid_api_url}/v3/scopes", f"Bearer {settings.sendgrid_api_key}")
    except requests.RequestException as problem:
        yield Finding("scopes.sendgrid", WARNING, f"The key's scopes cannot be asked for ({type(problem).__name__}).")
        return
    yield _check_scopes(reply)


def _check_scopes(reply: requests.Response) -> Finding:
    make_one = "Make a key with Mail Send in SendGrid, Settings, API Keys, and set SENDGRID_API_KEY."
    if reply.status_code in {401, 403}:
        return Finding("scopes.sendgrid", ERROR, f"SendGrid refuses the key ({reply.status_code}).", make_one)
    try:
        scopes: Any = reply.json()["scopes"] if reply.status_code == requests.codes.ok else None
    except (ValueError, KeyError, TypeError):
        scopes = None
    if not isinstance(scopes, list):
        return Finding("scopes.sendgrid", WARNING, f"SendGrid does not tell the key's scopes ({reply.status_code}).")
    if "mail.send" not in scopes:
        return Finding("scopes.sendgrid", ERROR, "The SendGrid key may not send mail.", make_one)
    return Finding("scopes.sendgrid", OK, "The SendGrid key may send mail.")


SENDER_CHECKS = (sender, events, scopes)
