"""The doctor's checks of email: which service sends it, its sender, what comes back, and whether its links work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from sqlalchemy import func, select
from sqlmodel import col

from connector.app_context import AppContext, UncountedCalls
from connector.connections import mailboxes
from connector.connections.mailboxes import mailer_name
from connector.connections.tokens import WARN_BEFORE_END
from connector.db.engine import reading
from connector.db.tables import ConnectedMailbox, EmailEvent, Grant, OutboxEntry
from connector.guides import guide
from connector.services.doctor_checks import ERROR, OK, WARNING, Finding, get
from connector.setting_types import is_publicly_reachable
from connector.vocabulary import OutboxKind, OutboxState
from connector.vocabulary.labels import vocabularies
from policies.formatting import format_date
from providers.errors import ProviderError

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
_OWN_DOMAINS = {"gmail": {"gmail.com", "googlemail.com"}, "microsoft365": {"outlook.com", "hotmail.com"}}
# What to do about an access that ends on its own, where the service lets apps be tried out for a while only
_ENDING_HINTS = {
    "gmail": "In the Google Cloud console, set the app's publishing status from Testing to In production (Google Auth"
    " Platform, Audience), then connect the mailbox again: in Testing, each access ends after seven days."
}
_EVENTS_OVERDUE_AFTER = timedelta(days=2)
_DISTANT_PAST = datetime.min.replace(tzinfo=UTC)


def sender(app: AppContext) -> Iterator[Finding]:
    """Check which service sends email, and the sender: an address of a free email provider looks forged."""
    settings, name = app.settings, mailer_name(app)
    if not name and settings.mail_service:
        fix = f"Set them, or another MAIL_SERVICE; see docs/connect-{settings.mail_service}.md or docs/operations.md."
        text = (
            f"Emails are to be sent by {settings.mail_service} (MAIL_SERVICE), whose settings are missing: they wait."
        )
        yield Finding("email.provider", ERROR, text, fix)
    elif not name:
        fix = "Set SENDGRID_API_KEY, SMTP_URL or the client id of a mailbox (or EML_FOLDER to only write files)."
        yield Finding("email.provider", WARNING, "No email service is set up: reminders stay planned.", fix)
    else:
        title = vocabularies()["provider"].get(name, name)
        yield Finding("email.provider", OK, f"Emails are sent by {title}.")
    domain = settings.mail_from.rpartition("@")[2].lower()
    if not settings.mail_from:
        yield Finding(
            "email.sender", ERROR if name else WARNING, "MAIL_FROM is not set.", "Set it to a sender you verified."
        )
    elif domain in _FREE_EMAIL_DOMAINS and domain not in _OWN_DOMAINS.get(name, ()):
        fix = "Use an address of the company's own domain, with SPF, DKIM and DMARC set up for it."
        yield Finding("email.sender", WARNING, f"Email from {domain} sent by another service looks forged.", fix)
    else:
        yield Finding("email.sender", OK, f"Emails are sent from {settings.mail_from}.")
    if settings.mail_from and not settings.mail_reply_to:
        with reading(app.engine) as session:
            reply_to = mailboxes.reply_address(app, session) or settings.mail_from
        yield Finding("email.reply_to", OK, f"Replies go to {reply_to} (MAIL_REPLY_TO is not set).")
    yield from _choice(app, name)


def _choice(app: AppContext, name: str) -> Iterator[Finding]:
    """Report which of several mailboxes sends the emails, where one is connected that does not."""
    others = [row for row in mailboxes.list_mailboxes(app) if row.provider != name and row.provider in app.mailboxes]
    if not others or app.settings.mail_service:
        return
    sending = app.mailboxes[name].title if name in app.mailboxes else name or "nobody"
    why = "which was connected first" if name in app.mailboxes else "whose settings come first"
    listed = " and ".join(f"{row.address} ({app.mailboxes[row.provider].title})" for row in others)
    text = f"Emails are sent by {sending}, {why}; from the mailbox {listed} nothing is sent, only replies are read."
    choices = " or ".join(dict.fromkeys(filter(None, [name, *(row.provider for row in others)])))
    yield Finding("email.choice", WARNING, text, f"Choose with MAIL_SERVICE: {choices}; or disconnect the other one.")


def mailbox(app: AppContext) -> Iterator[Finding]:
    """Check the mailbox that sends the emails: is it connected, for how long, and the one of the sender?"""
    name, settings = mailer_name(app), app.settings
    if name not in app.mailboxes:
        return
    title, command = app.mailboxes[name].title, f"duewell connect {name}"
    row = mailboxes.find_mailbox(app, name)
    if row is None:
        fix = f"Connect one under Settings, Sender, or with: {command}"
        yield Finding("email.mailbox", ERROR, f"No {title} mailbox is connected: reminders stay planned.", fix)
        return
    with reading(app.engine) as session:
        grant = session.get_one(Grant, row.grant_id)
    if grant.invalid_reason:
        yield Finding("email.mailbox", ERROR, f"{row.address}: {grant.invalid_reason}", f"Reconnect it: {command}")
    elif grant.ends_at is not None and grant.ends_at - app.now() <= WARN_BEFORE_END:
        text = f"The access to {row.address} ({title}) ends on {format_date(grant.ends_at.date())}."
        yield Finding("email.mailbox", WARNING, text, _ENDING_HINTS.get(name, f"Reconnect it before: {command}"))
    elif settings.mail_from.lower() != row.address.lower():
        yield _check_other_sender(app, row)
    else:
        yield Finding("email.mailbox", OK, f"Emails are sent from the mailbox {row.address} ({title}), and read in it.")
    if settings.mail_reply_to and settings.mail_reply_to.lower() != row.address.lower():
        text = f"Replies go to {settings.mail_reply_to}, and are not read: the mailbox is {row.address}."
        yield Finding("email.replies", WARNING, text, "Leave MAIL_REPLY_TO empty to have replies pause reminders.")


def _check_other_sender(app: AppContext, row: ConnectedMailbox) -> Finding:
    """Ask the mailbox whether it may send as MAIL_FROM, which is another address than its own."""
    sender_address = app.settings.mail_from
    text = f"Emails are sent from the mailbox {row.address}, but as {sender_address or 'nobody'}."
    fix = f"Set MAIL_FROM to {row.address}, unless the mailbox may send as the other address."
    if not sender_address:
        return Finding("email.mailbox", ERROR, text, f"Set MAIL_FROM to {row.address}.")
    try:
        allowed = mailboxes.open_mailbox(app, row, UncountedCalls()).may_send_as(sender_address)
    except ProviderError as problem:
        return Finding("email.mailbox", WARNING, f"{text} Whether it may could not be asked: {problem}", fix)
    if allowed is None:  # the service says so only when an email is sent
        return Finding("email.mailbox", WARNING, text, fix)
    if allowed:
        return Finding("email.mailbox", OK, f"Emails are sent as {sender_address} from the mailbox {row.address}.")
    fix = f"Set MAIL_FROM to {row.address}, or confirm the other address there under Settings, Accounts, Send mail as."
    return Finding("email.mailbox", ERROR, f"The mailbox {row.address} may not send as {sender_address}.", fix)


def links(app: AppContext) -> Iterator[Finding]:
    """Check whether customers can open the links in emails."""
    base = app.settings.duewell_base_url
    if is_publicly_reachable(base):
        yield Finding("email.links", OK, f"Emails link to the customer portal and to unsubscribe, at {base}.")
    else:
        text = f"Customers cannot open {base}: emails have no link to the customer portal, and none to unsubscribe."
        fix = (
            "Put duewell behind https under a public name and set DUEWELL_BASE_URL to it;"
            f" see {guide('customer-portal.md')}."
        )
        yield Finding("email.links", WARNING, text, fix)


def events(app: AppContext) -> Iterator[Finding]:
    """Check that signed events arrive: emails sent days ago without one point to a webhook that is not set up."""
    settings = app.settings
    if not settings.sendgrid_api_key:
        return
    if not settings.sendgrid_webhook_public_key:
        fix = (
            f"Point SendGrid's signed Event Webhook to {settings.duewell_base_url}/webhooks/sendgrid, and set its key."
        )
        yield Finding("email.events", WARNING, "Delivery events are not received (SENDGRID_WEBHOOK_PUBLIC_KEY).", fix)
        return
    with reading(app.engine) as session:
        event_at = session.scalar(select(func.max(EmailEvent.received_at)))
        without_event = select(func.min(OutboxEntry.ended_at)).where(
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
            col(OutboxEntry.state) == OutboxState.DONE,
            col(OutboxEntry.delivery_status) == "",
            col(OutboxEntry.ended_at) > (event_at or _DISTANT_PAST),
        )
        without_event_at = session.scalar(without_event)
    if without_event_at is not None and app.now() - without_event_at > _EVENTS_OVERDUE_AFTER:
        fix = "Check SendGrid, Settings, Mail Settings, Event Webhook: is it on, signed, and does it point here?"
        yield Finding(
            "email.events", WARNING, f"No event came for an email sent on {format_date(without_event_at)}.", fix
        )
    else:
        yield Finding("email.events", OK, "SendGrid's signed events are received.")


def scopes(app: AppContext) -> Iterator[Finding]:
    """Check the scopes of the SendGrid key: without mail.send nothing can be sent."""
    settings = app.settings
    if not settings.sendgrid_api_key:
        return
    try:
        reply = get(f"{settings.sendgrid_api_url}/v3/scopes", f"Bearer {settings.sendgrid_api_key}")
    except requests.RequestException as problem:
        yield Finding("scopes.sendgrid", WARNING, f"The key's scopes could not be read ({type(problem).__name__}).")
        return
    yield _check_scopes(reply)


def _check_scopes(reply: requests.Response) -> Finding:
    create_key = "Create a key with Mail Send in SendGrid, Settings, API Keys, and set SENDGRID_API_KEY."
    if reply.status_code in {401, 403}:
        return Finding("scopes.sendgrid", ERROR, f"SendGrid rejects the key ({reply.status_code}).", create_key)
    try:
        scopes: Any = reply.json()["scopes"] if reply.status_code == requests.codes.ok else None
    except (ValueError, KeyError, TypeError):
        scopes = None
    if not isinstance(scopes, list):
        return Finding("scopes.sendgrid", WARNING, f"SendGrid does not list the key's scopes ({reply.status_code}).")
    if "mail.send" not in scopes:
        return Finding("scopes.sendgrid", ERROR, "The SendGrid key may not send email.", create_key)
    return Finding("scopes.sendgrid", OK, "The SendGrid key may send email.")


SENDER_CHECKS = (sender, mailbox, events, scopes)
