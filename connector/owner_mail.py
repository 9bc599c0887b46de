"""Writes the one internal mail of a day: which customers are so late that their owner should know."""

from __future__ import annotations

from connector import mail_layout
from connector.mails import message_id
from connector.plain_text import one_line
from connector.settings import Settings
from connector.tables import Connection, OutboxEntry
from providers.mailer import Mail

_CLOSING = (
    "Reminders go on by themselves. If you know of a reason, a dispute or a promise, please enter it, so that they "
    "stop or wait."
)


def compose(settings: Settings, connection: Connection, entry: OutboxEntry) -> Mail:
    """Write the mail from the entry's list of customers; every line says who, how much and why now."""
    items = entry.payload["items"]
    count = f"{len(items)} customer{'s' if len(items) > 1 else ''}"
    company = one_line(connection.name)
    subject = f"{company}: {count} to know about"
    filled = {
        "language": "en",
        "labels": {},
        "subject": subject,
        "heading": f"{count} late enough to know about",
        "preview": one_line(entry.why, 120),
        "hello": "Hello,",
        "opening": [one_line(f"{item['name']}: {item['why']}", 400) for item in items],
        "rows": [],
        "sums": [],
        "button": "",
        "notes": [],
        "ways_to_pay": "",
        "closing": [_CLOSING],
        "bye": "duewell",
        "footer": [f"This mail is for the people of {company} alone. Each invoice is told once."],
        "stop": "",
        "stop_link": "",
        "sender": company,
        "company": company,
    }
    domain = settings.mail_from.rpartition("@")[2]
    return Mail(
        key=entry.key,
        attempt=entry.attempts + 1,
        to=tuple(entry.payload["to"]),
        to_name=company,
        sender=settings.mail_from,
        sender_name="duewell",
        reply_to=settings.mail_from,
        subject=subject,
        text=mail_layout.page("layout.txt", filled),
        html=mail_layout.page("layout.html", filled),
        category="owner",
        headers=(("Message-ID", message_id(entry.key, domain)), ("Auto-Submitted", "auto-generated")),
    )
