"""Compose a digest over a person's companies: what needs them, who is overdue, what is sent today, what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
    render_html,
    render_text,
)
from connector.emails.message_ids import message_id
from connector.emails.outbound.digest_parts import CompanyPart, DigestEvent, collect_parts
from connector.emails.outbound.digest_text import DigestText
from connector.languages import replace_nbsp
from connector.outbox.payloads import OwnerEmailPayload, payload_as
from connector.plain_text import one_line, safe_link
from connector.vocabulary import OutboxState
from providers.mailer import Email

KINDS = ("to_review", "overdue", "to_send", "sent")  # in this order: what needs somebody comes first
SECTION_LINES_MAX = 10  # lines of a section where there is one company; the rest is a number
COMPANY_LINES_MAX = {"to_review": 3, "overdue": 2, "to_send": 2}  # of each company where there are several
COMPANIES_MAX = 40  # with lines; those with the least to do are a number
LOG_HEAD_LENGTH = 32  # characters of the log's newest hash: more than anybody can forge
QUIET_NAMES_MAX = 20  # companies named in the line about those without news
SENDER_NAME = "duewell"


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
    company = one_line(shown[0].connection.name) if is_one else text.render("several", count=str(len(shown)))
    home = f"{app.settings.duewell_base_url}/"
    summary = _summarise(text, shown)
    writer = _SectionWriter(app, recipient, home)
    sections = writer.sections_by_kind(shown[0]) if is_one else writer.sections_by_company(shown[:COMPANIES_MAX])
    values = LayoutValues(
        language=text.language.code,
        subject=f"{company}: {summary}",
        heading=text.render("heading", company=company),
        preview=summary,
        greeting=text.render("greeting"),
        opening=[],
        sections=sections,
        closing=[*_other_companies(text, parts, shown, home), text.render("closing")],
        sign_off=SENDER_NAME,
        sender=company,
        company=company,
        colon=text.colon,
        footer=[
            text.render("footer" if is_one else "footer_several"),
            text.render("preferences", link=f"{home}account#digest"),
            text.render("log_head", head=sync_log.newest_hash(session)[:LOG_HEAD_LENGTH]),
        ],
    )
    return Digest(build_owner_email(app, entry, recipient, values), writer.stop_links)


def _summarise(text: DigestText, parts: Sequence[CompanyPart]) -> str:
    """Return how much of each kind there is, in one line."""
    counts = {kind: sum(len(part.events(kind)) for part in parts) for kind in KINDS}
    return ", ".join(text.render(f"summary_{kind}", count=str(count)) for kind, count in counts.items() if count)


@dataclass
class _SectionWriter:
    """Writes the lines of a digest, and collects the links in them that stop an email."""

    app: AppContext
    recipient: str
    home: str
    stop_links: list[EmailStopLink] = field(default_factory=list)

    def sections_by_kind(self, part: CompanyPart) -> list[LineSection]:
        """Return the sections of the only company with news: one for each kind of news."""
        pages = {
            "to_review": "attention?",
            "overdue": "attention?",
            "to_send": f"outbox?state={OutboxState.PLANNED}&",
            "sent": f"outbox?state={OutboxState.DONE}&",
        }
        return [
            LineSection(
                part.text.render(kind),
                self._write(part, kind, SECTION_LINES_MAX),
                _more(
                    part.text,
                    len(part.events(kind)) - SECTION_LINES_MAX,
                    f"{self.home}{pages[kind]}company={part.connection.id}",
                ),
            )
            for kind in KINDS
            if part.events(kind)
        ]

    def sections_by_company(self, parts: Sequence[CompanyPart]) -> list[LineSection]:
        """Return a short section for each company, whose heading has the counts."""
        sections = []
        for part in parts:
            lines = [
                line for kind, lines_max in COMPANY_LINES_MAX.items() for line in self._write(part, kind, lines_max)
            ]
            more = sum(len(part.events(kind)) for kind in COMPANY_LINES_MAX) - len(lines)
            heading = f"{one_line(part.connection.name)}{part.text.colon}{_summarise(part.text, [part])}"
            sections.append(
                LineSection(heading, lines, _more(part.text, more, f"{self.home}?company={part.connection.id}"))
            )
        return sections

    def _write(self, part: CompanyPart, kind: str, lines_max: int) -> list[LinkedLine]:
        return [self._write_line(part, kind, event) for event in part.events(kind)[:lines_max]]

    def _write_line(self, part: CompanyPart, kind: str, event: DigestEvent) -> LinkedLine:
        line = event.write()
        if kind != "to_send" or event.entry is None:
            return line
        stop = email_stop_link(self.app, event.entry, self.recipient)
        self.stop_links.append(stop)
        action = part.text.render("stop_email", customer=part.text.customer_name(event.entry.customer_id))
        return replace(line, action=action, action_link=safe_link(stop.link))


def _more(text: DigestText, count: int, link: str) -> LinkedLine | None:
    return LinkedLine(text.render("more", count=str(count)), safe_link(link)) if count > 0 else None


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


def _other_companies(
    text: DigestText, parts: Sequence[CompanyPart], shown: Sequence[CompanyPart], home: str
) -> list[str]:
    """Return a line about those left out, and one about the reader's own companies without news."""
    left_out = len(shown) - COMPANIES_MAX
    lines = [f"{text.render('more', count=str(left_out))}{text.colon}{home}"] if left_out > 0 else []
    names = [one_line(part.connection.name) for part in parts if part.is_own and not part.has_news]
    if not names:
        return lines
    more = f" +{len(names) - QUIET_NAMES_MAX}" if len(names) > QUIET_NAMES_MAX else ""
    return [*lines, text.render("nothing", companies=", ".join(sorted(names)[:QUIET_NAMES_MAX]) + more)]
