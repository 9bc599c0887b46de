"""Writes a digest: what leaves today (with a link that stops it), what left, what waits, whom to know about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.installation import Installation
from connector.letters import digests, mail_layout
from connector.letters.languages import ENGLISH, ordinary_spaces
from connector.letters.mails import message_id
from connector.letters.plain_text import one_line, web_link
from connector.letters.stop_mail import stop_mail_link
from connector.mirror.places import today_in
from connector.tables import Connection, CustomerRow, InvoiceRow, OutboxEntry
from policies.receivables import Step
from policies.wording import NAMES
from providers.mailer import Mail

_TOLD = "Its owner is told: "  # how the policy begins its reason
_LEAVING = "These reminders leave today, unless you stop one:"
SHOWN_MAX = 25  # lines of one part; the rest is a number
_CLOSING = (
    "Reminders go on by themselves. If you know of a reason, a dispute or a promise, please enter it, so that they "
    "stop or wait."
)


def compose(installation: Installation, session: Session, connection: Connection, entry: OutboxEntry) -> Mail | None:
    """Write the digest of its reader, as things stand now; None where nothing is left to say."""
    [reader] = entry.payload["to"]
    today = today_in(connection.time_zone, installation.now())
    readers = digests.readers_of(session, connection, installation.settings)
    leaving = [
        each for each in digests.unsent_mails(session, connection, today) if reader in readers.of(each.customer_id)
    ]
    left = [each for each in digests.left_since(session, connection, today) if reader in readers.of(each.customer_id)]
    waits = _waits(session, connection, readers, reader, today)
    told = [f"{item['name']}: {item['why'].removeprefix(_TOLD)}" for item in entry.payload["items"]]
    if not (leaving or left or waits or told):
        return None
    names = _names(session, connection, [*leaving, *left])
    counts = [(len(leaving), "leave today"), (len(left), "left"), (len(waits), "wait for you"), (len(told), "to know")]
    summary = ", ".join(f"{count} {words}" for count, words in counts if count)
    filled = {
        "subject": f"{one_line(connection.name)}: {summary}",
        "heading": f"Today at {one_line(connection.name)}",
        "preview": summary,
        "opening": _part("Late enough to know about", told) + ([_LEAVING] if leaving else []),
        "rows": [_row(installation, session, each, names, reader) for each in leaving[:SHOWN_MAX]],
        "notes": _more(leaving) + _part("Left on the last business day", [_said(each, names) for each in left]),
        "closing": [*_part("Waits for you", waits), _CLOSING],
        "footer": [f"This mail is for the people of {one_line(connection.name)} alone. There is at most one a day."],
    }
    return _mail(installation, connection, entry, reader, filled)


def _mail(
    installation: Installation, connection: Connection, entry: OutboxEntry, reader: str, filled: dict[str, Any]
) -> Mail:
    settings, company = installation.settings, one_line(connection.name)
    whole = {
        "language": "en",
        "labels": {"invoice": "Customer", "open": "Owed"},
        "hello": "Hello,",
        "sums": [],
        "button": "",
        "ways_to_pay": "",
        "bye": "duewell",
        "stop": "",
        "page": "",
        "page_link": "",
        "stop_link": "",
        "sender": company,
        "company": company,
        **filled,
    }
    return Mail(
        key=entry.key,
        attempt=entry.attempts + 1,
        to=(reader,),
        to_name="",
        sender=settings.mail_from,
        sender_name="duewell",
        reply_to=settings.mail_from,
        subject=one_line(filled["subject"], 150),
        text=ordinary_spaces(mail_layout.page("layout.txt", whole)),
        html=mail_layout.page("layout.html", whole),
        category="owner",
        headers=(
            ("Message-ID", message_id(entry.key, settings.mail_from.rpartition("@")[2])),
            ("Auto-Submitted", "auto-generated"),
        ),
    )


def _row(
    installation: Installation, session: Session, entry: OutboxEntry, names: dict[str, str], reader: str
) -> dict[str, Any]:
    owed = ENGLISH.money(
        sum((Decimal(due) for due in entry.payload.get("due", {}).values()), Decimal(0)), entry.currency
    )
    name, step = names.get(entry.customer_id, entry.customer_id), NAMES[Step(entry.step)]
    numbers = _numbers(session, entry)
    waits = ", waits for approval" if entry.state == "waiting" else ""
    return {
        "number": name,
        "due": owed,
        "part": "",
        "lines": [{"text": f"{step}: {numbers}{waits}", "look": "aside"}],
        "sentence": f"{name}, {ordinary_spaces(owed)}: {step}, {numbers}{waits}",
        "link": web_link(stop_mail_link(installation, entry.key, reader)),
        "pay": f"Stop this mail to {name}",
    }


def _waits(session: Session, connection: Connection, readers: digests.Readers, reader: str, today: date) -> list[str]:
    said = []
    for entry in digests.waiting_entries(session, connection):
        if readers.of(entry.customer_id)[:1] == (reader,):
            what = "to approve" if entry.state == "waiting" else "in doubt"
            said.append(f"{what} (duewell outbox, {entry.id}): {entry.why}")
    tasks = digests.waiting_tasks(session, connection, today)
    return said + [f"task {task.id}: {task.why}" for task in tasks if reader in readers.of_task(task)]


def _part(heading: str, said: Sequence[str]) -> list[str]:
    """Give the paragraphs of a part, its heading first; none where there is nothing."""
    shown = [f"– {one_line(each, 400)}" for each in said[:SHOWN_MAX]]
    more = [f"– and {len(said) - SHOWN_MAX} more"] if len(said) > SHOWN_MAX else []
    return [f"{heading}:", *shown, *more] if said else []


def _more(leaving: Sequence[OutboxEntry]) -> list[str]:
    rest = len(leaving) - SHOWN_MAX
    return [f"And {rest} more; all of them are listed by: duewell outbox"] if rest > 0 else []


def _said(entry: OutboxEntry, names: dict[str, str]) -> str:
    doubt = " It is not certain that it arrived." if entry.state == "doubt" else ""
    fate = f" ({entry.delivery})" if entry.delivery else ""
    return f"{names.get(entry.customer_id, entry.customer_id)}: {entry.why}{fate}{doubt}"


def _names(session: Session, connection: Connection, entries: Sequence[OutboxEntry]) -> dict[str, str]:
    found = (session.get(CustomerRow, (connection.id, entry.customer_id)) for entry in entries)
    return {row.external_id: one_line(row.name, 80) for row in found if row is not None}


def _numbers(session: Session, entry: OutboxEntry) -> str:
    ids = [invoice_id for invoice_id, _step in entry.payload["taken"]]
    query = select(col(InvoiceRow.number)).where(
        col(InvoiceRow.connection_id) == entry.connection_id, col(InvoiceRow.external_id).in_(ids)
    )
    return one_line(", ".join(sorted(session.scalars(query))), 120)
