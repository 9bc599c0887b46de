"""Writes a digest: what leaves today (with a link that stops it), what left, what waits, whom to know about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.tables import Connection, OutboxEntry
from connector.emails import layout, recipient_language
from connector.emails.inbound.email_stops import email_stop_link
from connector.emails.outbound import digests
from connector.emails.outbound.digest_text import DigestText
from connector.emails.outbound.render import message_id
from connector.geo import today_in
from connector.languages import replace_nbsp
from connector.outbox.payloads import OwnerEmailPayload, payload_as
from connector.plain_text import one_line, safe_link
from connector.vocabulary import OutboxState
from providers.mailer import Email

SECTION_LINES_MAX = 25  # lines of one part; the rest is a number
LOG_HEAD_LENGTH = 32  # characters of the log's newest hash: more than anybody can forge


def compose(app: AppContext, session: Session, connection: Connection, entry: OutboxEntry) -> Email | None:
    """Write the digest of its reader, as things stand now; None where nothing is left to say."""
    payload = payload_as(OwnerEmailPayload, entry)
    [reader] = payload.to
    today = today_in(connection.time_zone, app.now())
    readers = digests.load_recipients(session, connection, app.settings)
    lines = DigestText(session, connection, recipient_language.company_language(session, connection), today)
    leaving = [
        each
        for each in digests.list_unsent_emails(session, connection, today)
        if reader in readers.for_customer(each.customer_id)
    ]
    left = [
        each
        for each in digests.list_recently_sent(session, connection, today)
        if reader in readers.for_customer(each.customer_id)
    ]
    waits = _attention_lines(session, connection, readers, reader, today, lines)
    late = [lines.overdue_customer(item) for item in payload.items]
    if not (leaving or left or waits or late):
        return None
    counts = {"to_send": len(leaving), "sent": len(left), "to_review": len(waits), "overdue": len(late)}
    summary = ", ".join(lines.render(f"summary_{name}", count=str(count)) for name, count in counts.items() if count)
    filled = {
        "language": lines.language.code,
        "labels": {"invoice": lines.render("customer"), "amount_due": lines.render("amount")},
        "greeting": lines.render("greeting"),
        "subject": f"{one_line(connection.name)}: {summary}",
        "heading": lines.render("heading"),
        "preview": summary,
        "opening": _section(lines, "overdue", late) + ([lines.render("to_send")] if leaving else []),
        "rows": [_email_row(app, each, reader, lines) for each in leaving[:SECTION_LINES_MAX]],
        "notes": _more_line(lines, len(leaving)) + _section(lines, "sent", [lines.sent_email(each) for each in left]),
        "closing": [*_section(lines, "to_review", waits), lines.render("closing")],
        "footer": [
            lines.render("footer"),
            lines.render("log_head", head=sync_log.newest_hash(session)[:LOG_HEAD_LENGTH]),
        ],
    }
    return build_owner_email(app, connection, entry, reader, filled)


def build_owner_email(
    app: AppContext, connection: Connection, entry: OutboxEntry, recipient: str, values: dict[str, Any]
) -> Email:
    """Put what an internal mail says into its layout; ``filled`` has the layout's fields."""
    settings, company = app.settings, one_line(connection.name)
    whole = {
        "totals": [],
        "button": "",
        "ways_to_pay": "",
        "sign_off": "duewell",
        "stop_label": "",
        "portal_label": "",
        "portal_link": "",
        "stop_link": "",
        "sender": company,
        "company": company,
        **values,
    }
    return Email(
        key=entry.key,
        attempt=entry.attempts + 1,
        to=(recipient,),
        to_name="",
        sender=settings.mail_from,
        sender_name="duewell",
        reply_to=settings.mail_from,
        subject=one_line(values["subject"], 150),
        text=replace_nbsp(layout.render_layout("layout.txt", whole)),
        html=layout.render_layout("layout.html", whole),
        category="owner",
        headers=(
            ("Message-ID", message_id(entry.key, settings.mail_from.rpartition("@")[2])),
            ("Auto-Submitted", "auto-generated"),
        ),
    )


def _email_row(app: AppContext, entry: OutboxEntry, recipient: str, text: DigestText) -> dict[str, Any]:
    name, owed, step = text.customer_name(entry.customer_id), text.total(entry), text.step_and_invoices(entry)
    waits = f", {text.render('awaiting_approval')}" if entry.state == OutboxState.AWAITING_APPROVAL else ""
    return {
        "number": name,
        "due": owed,
        "of_total": "",
        "details": [{"text": f"{step}{waits}", "style": "muted"}],
        "sentence": f"{name}, {owed}: {step}{waits}",
        "link": safe_link(email_stop_link(app, entry.key, recipient)),
        "pay_label": text.render("stop_email", customer=name),
    }


def _attention_lines(
    session: Session,
    connection: Connection,
    recipients: digests.Recipients,
    recipient: str,
    today: date,
    text: DigestText,
) -> list[str]:
    entries = digests.list_entries_to_review(session, connection)
    said = [
        text.pending_entry(each) for each in entries if recipients.for_customer(each.customer_id)[:1] == (recipient,)
    ]
    tasks = digests.list_due_tasks(session, connection, today)
    return said + [text.task_line(each) for each in tasks if recipient in recipients.for_task(each)]


def _section(text: DigestText, name: str, items: Sequence[str]) -> list[str]:
    """Give the paragraphs of a part, its heading first; none where there is nothing."""
    shown = [f"– {one_line(each, 400)}" for each in items[:SECTION_LINES_MAX]]
    return [text.render(name), *shown, *_more_line(text, len(items))] if items else []


def _more_line(text: DigestText, count: int) -> list[str]:
    return [f"– {text.render('more', count=str(count - SECTION_LINES_MAX))}"] if count > SECTION_LINES_MAX else []
