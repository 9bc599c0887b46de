"""Compose a digest over a person's companies: what is sent today (each with a link to stop it), and other news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.tables import Connection, OutboxEntry
from connector.emails import recipient_language
from connector.emails.inbound.email_stops import EmailStopLink, email_stop_link
from connector.emails.layout import (
    LayoutValues,
    LineSection,
    LinkedLine,
    Row,
    RowDetail,
    RowGroup,
    render_html,
    render_text,
)
from connector.emails.message_ids import message_id
from connector.emails.outbound.digest_parts import CompanyPart, collect_parts
from connector.emails.outbound.digest_text import DigestText
from connector.languages import replace_nbsp
from connector.outbox.payloads import OwnerEmailPayload, payload_as
from connector.plain_text import one_line, safe_link
from connector.vocabulary import OutboxState
from providers.mailer import Email

SECTION_LINES_MAX = 25  # lines of one section; the rest is a number
LOG_HEAD_LENGTH = 32  # characters of the log's newest hash: more than anybody can forge
COMPANIES_MAX = 20  # named in the line about those without news
SENDER_NAME = "duewell"
_COUNTED = ("to_send", "sent", "to_review", "overdue")


class Digest(NamedTuple):
    """A digest, and the links in it that stop one email, whose tokens are stored before it is sent.

    There is no email where there is nothing left to report.
    """

    email: Email | None
    stop_links: Sequence[EmailStopLink]


def compose(
    app: AppContext, session: Session, connection: Connection, entry: OutboxEntry, *, all_companies: bool
) -> Digest:
    """Compose the digest for its recipient as things stand now."""
    payload = payload_as(OwnerEmailPayload, entry)
    [recipient] = payload.to
    language = recipient_language.company_language(session, connection)
    parts = collect_parts(app, session, entry, language, all_companies=all_companies)
    shown = [part for part in parts if part.has_news]
    if not shown:
        return Digest(None, ())
    text, is_one = shown[0].text, len(shown) == 1
    counts = {name: sum(len(getattr(part, name)) for part in shown) for name in _COUNTED}
    summary = ", ".join(text.render(f"summary_{name}", count=str(count)) for name, count in counts.items() if count)
    company = one_line(shown[0].connection.name) if is_one else text.render("several", count=str(len(shown)))
    home = f"{app.settings.duewell_base_url}/"
    newest_hash = sync_log.newest_hash(session)[:LOG_HEAD_LENGTH]
    to_send = [(part, each) for part in shown for each in part.to_send]
    listed = to_send[:SECTION_LINES_MAX]
    stop_links = [email_stop_link(app, each, recipient) for _part, each in listed]
    rows = [
        _email_row(each, stop.link, part, is_one=is_one) for (part, each), stop in zip(listed, stop_links, strict=True)
    ]
    values = LayoutValues(
        language=text.language.code,
        subject=f"{company}: {summary}",
        heading=text.render("heading", company=company),
        preview=summary,
        greeting=text.render("greeting"),
        opening=[text.render("to_send")] if to_send else [],
        row_heading=text.render("customer"),
        amount_heading=text.render("amount"),
        groups=[RowGroup(rows=rows)] if rows else [],
        notes=_more_line(text, len(to_send), home),
        sections=[
            _section(name, [(part, line) for part in shown for line in getattr(part, name)], home, is_one=is_one)
            for name in ("to_review", "overdue", "sent")
            if counts[name]
        ],
        closing=[*_quiet_companies(text, parts), text.render("closing")],
        sign_off=SENDER_NAME,
        sender=company,
        company=company,
        colon=text.colon,
        footer=[
            text.render("footer" if is_one else "footer_several"),
            text.render("preferences", link=f"{home}account#digest"),
            text.render("log_head", head=newest_hash),
        ],
    )
    return Digest(build_owner_email(app, entry, recipient, values), stop_links)


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


def _email_row(entry: OutboxEntry, stop_link: str, part: CompanyPart, *, is_one: bool) -> Row:
    text = part.text
    name, amount, detail = text.customer_name(entry.customer_id), text.total(entry), text.step_and_invoices(entry)
    if entry.state == OutboxState.AWAITING_APPROVAL:
        detail = f"{detail}, {text.render('awaiting_approval')}"
    company = [] if is_one else [RowDetail(one_line(part.connection.name))]
    prefix = "" if is_one else f"{one_line(part.connection.name)}{text.colon}"
    return Row(
        number=name,
        sentence=f"{prefix}{name}, {amount}{text.colon}{detail}",
        due=amount,
        details=[*company, RowDetail(detail)],
        link=safe_link(stop_link),
        pay_label=text.render("stop_email", customer=name),
    )


def _section(name: str, lines: Sequence[tuple[CompanyPart, LinkedLine]], home: str, *, is_one: bool) -> LineSection:
    """Return the first lines of a section, each with its company where there are several."""
    text = lines[0][0].text
    shown = [
        line if is_one else replace(line, text=f"{one_line(part.connection.name)}{text.colon}{line.text}")
        for part, line in lines[:SECTION_LINES_MAX]
    ]
    return LineSection(text.render(name), shown, "".join(_more_line(text, len(lines), home)))


def _more_line(text: DigestText, count: int, home: str) -> list[str]:
    more = count - SECTION_LINES_MAX
    return [text.render("more", count=str(more), link=home)] if more > 0 else []


def _quiet_companies(text: DigestText, parts: Sequence[CompanyPart]) -> list[str]:
    """Return one line about the reader's own companies without news."""
    names = [one_line(part.connection.name) for part in parts if part.is_own and not part.has_news]
    if not names:
        return []
    more = f" +{len(names) - COMPANIES_MAX}" if len(names) > COMPANIES_MAX else ""
    return [text.render("nothing", companies=", ".join(names[:COMPANIES_MAX]) + more)]
