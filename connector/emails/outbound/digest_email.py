"""Compose a digest: what is sent today (each with a link to stop it), what was sent, what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.tables import Connection, OutboxEntry
from connector.emails import recipient_language
from connector.emails.inbound.email_stops import email_stop_link
from connector.emails.layout import LayoutValues, Row, RowDetail, render_html, render_text
from connector.emails.message_ids import message_id
from connector.emails.outbound import digests
from connector.emails.outbound.digest_text import DigestText
from connector.geo import today_in
from connector.languages import replace_nbsp
from connector.outbox.payloads import OwnerEmailPayload, payload_as
from connector.plain_text import one_line, safe_link
from connector.vocabulary import OutboxState
from providers.mailer import Email

SECTION_LINES_MAX = 25  # lines of one section; the rest is a number
LOG_HEAD_LENGTH = 32  # characters of the log's newest hash: more than anybody can forge
SENDER_NAME = "duewell"


def compose(app: AppContext, session: Session, connection: Connection, entry: OutboxEntry) -> Email | None:
    """Compose the digest for its recipient as things stand now; None where there is nothing left to report."""
    payload = payload_as(OwnerEmailPayload, entry)
    [recipient] = payload.to
    today = today_in(connection.time_zone, app.now())
    recipients = digests.load_recipients(session, connection, app.settings)
    text = DigestText(session, connection, recipient_language.company_language(session, connection), today)

    def for_recipient(entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        return [each for each in entries if recipient in recipients.for_customer(each.customer_id)]

    to_send = for_recipient(digests.list_unsent_emails(session, connection, today))
    sent = for_recipient(digests.list_recently_sent(session, connection, today))
    to_review = _attention_lines(session, connection, recipients, recipient, today, text)
    overdue = [text.overdue_customer(item) for item in payload.items]
    if not (to_send or sent or to_review or overdue):
        return None
    counts = {"to_send": len(to_send), "sent": len(sent), "to_review": len(to_review), "overdue": len(overdue)}
    summary = ", ".join(text.render(f"summary_{name}", count=str(count)) for name, count in counts.items() if count)
    newest_hash = sync_log.newest_hash(session)[:LOG_HEAD_LENGTH]
    company = one_line(connection.name)
    values = LayoutValues(
        language=text.language.code,
        subject=f"{company}: {summary}",
        heading=text.render("heading"),
        preview=summary,
        greeting=text.render("greeting"),
        opening=_section(text, "overdue", overdue) + ([text.render("to_send")] if to_send else []),
        row_heading=text.render("customer"),
        amount_heading=text.render("amount"),
        rows=[_email_row(app, each, recipient, text) for each in to_send[:SECTION_LINES_MAX]],
        notes=_more_line(text, len(to_send)) + _section(text, "sent", [text.sent_email(each) for each in sent]),
        closing=[*_section(text, "to_review", to_review), text.render("closing")],
        sign_off=SENDER_NAME,
        sender=company,
        company=company,
        colon=text.colon,
        footer=[text.render("footer"), text.render("log_head", head=newest_hash)],
    )
    return build_owner_email(app, entry, recipient, values)


def build_owner_email(app: AppContext, entry: OutboxEntry, recipient: str, values: LayoutValues) -> Email:
    """Return an internal email with these values."""
    sender = app.settings.mail_from
    return Email(
        key=entry.key,
        attempt=entry.attempts + 1,
        to=(recipient,),
        to_name="",
        sender=sender,
        sender_name=SENDER_NAME,
        reply_to=sender,
        subject=one_line(values.subject, 150),
        text=replace_nbsp(render_text(values)),
        html=render_html(values),
        category="owner",
        headers=(
            ("Message-ID", message_id(entry.key, sender.rpartition("@")[2])),
            ("Auto-Submitted", "auto-generated"),
        ),
    )


def _email_row(app: AppContext, entry: OutboxEntry, recipient: str, text: DigestText) -> Row:
    name, amount, detail = text.customer_name(entry.customer_id), text.total(entry), text.step_and_invoices(entry)
    if entry.state == OutboxState.AWAITING_APPROVAL:
        detail = f"{detail}, {text.render('awaiting_approval')}"
    return Row(
        number=name,
        sentence=f"{name}, {amount}{text.colon}{detail}",
        due=amount,
        details=[RowDetail(detail)],
        link=safe_link(email_stop_link(app, entry.key, recipient)),
        pay_label=text.render("stop_email", customer=name),
    )


def _attention_lines(
    session: Session,
    connection: Connection,
    recipients: digests.Recipients,
    recipient: str,
    today: date,
    text: DigestText,
) -> list[str]:
    entries = digests.list_entries_to_review(session, connection)
    lines = [
        text.pending_entry(each) for each in entries if recipients.for_customer(each.customer_id)[:1] == (recipient,)
    ]
    tasks = digests.list_due_tasks(session, connection, today)
    return lines + [text.task_line(each) for each in tasks if recipient in recipients.for_task(each)]


def _section(text: DigestText, name: str, items: Sequence[str]) -> list[str]:
    """Return the paragraphs of a section, its heading first; none where it has no items."""
    lines = [f"– {one_line(each, 400)}" for each in items[:SECTION_LINES_MAX]]
    return [text.render(name), *lines, *_more_line(text, len(items))] if items else []


def _more_line(text: DigestText, count: int) -> list[str]:
    return [f"– {text.render('more', count=str(count - SECTION_LINES_MAX))}"] if count > SECTION_LINES_MAX else []
