"""Writes a digest: what leaves today (with a link that stops it), what left, what waits, whom to know about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlmodel import Session

from connector import sync_log
from connector.installation import Installation
from connector.letters import digests, mail_layout, tongues
from connector.letters.digest_lines import Lines
from connector.letters.languages import ordinary_spaces
from connector.letters.mails import message_id
from connector.letters.plain_text import one_line, web_link
from connector.letters.stop_mail import stop_mail_link
from connector.mirror.places import today_in
from connector.tables import Connection, OutboxEntry
from providers.mailer import Mail

SHOWN_MAX = 25  # lines of one part; the rest is a number
HEAD_SHOWN = 32  # characters of the log's newest hash: more than anybody can forge


def compose(installation: Installation, session: Session, connection: Connection, entry: OutboxEntry) -> Mail | None:
    """Write the digest of its reader, as things stand now; None where nothing is left to say."""
    [reader] = entry.payload["to"]
    today = today_in(connection.time_zone, installation.now())
    readers = digests.readers_of(session, connection, installation.settings)
    lines = Lines(session, connection, tongues.of_people(session, connection), today)
    leaving = [
        each for each in digests.unsent_mails(session, connection, today) if reader in readers.of(each.customer_id)
    ]
    left = [each for each in digests.left_since(session, connection, today) if reader in readers.of(each.customer_id)]
    waits = _waits(session, connection, readers, reader, today, lines)
    late = [lines.late(item) for item in entry.payload["items"]]
    if not (leaving or left or waits or late):
        return None
    counts = {"leave": len(leaving), "went": len(left), "wait": len(waits), "late": len(late)}
    summary = ", ".join(lines.say(f"summary_{name}", count=str(count)) for name, count in counts.items() if count)
    filled = {
        "language": lines.language.code,
        "labels": {"invoice": lines.say("customer"), "open": lines.say("owed")},
        "hello": lines.say("hello"),
        "subject": f"{one_line(connection.name)}: {summary}",
        "heading": lines.say("heading"),
        "preview": summary,
        "opening": _part(lines, "late", late) + ([lines.say("leave")] if leaving else []),
        "rows": [_row(installation, each, reader, lines) for each in leaving[:SHOWN_MAX]],
        "notes": _more(lines, len(leaving)) + _part(lines, "went", [lines.went(each) for each in left]),
        "closing": [*_part(lines, "wait", waits), lines.say("closing")],
        "footer": [lines.say("footer"), lines.say("seal", head=sync_log.head(session)[:HEAD_SHOWN])],
    }
    return owner_mail(installation, connection, entry, reader, filled)


def owner_mail(
    installation: Installation, connection: Connection, entry: OutboxEntry, reader: str, filled: dict[str, Any]
) -> Mail:
    """Put what an internal mail says into its layout; ``filled`` has the layout's fields."""
    settings, company = installation.settings, one_line(connection.name)
    whole = {
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


def _row(installation: Installation, entry: OutboxEntry, reader: str, lines: Lines) -> dict[str, Any]:
    name, owed, step = lines.customer(entry.customer_id), lines.sum(entry), lines.step(entry)
    waits = f", {lines.say('unapproved')}" if entry.state == "waiting" else ""
    return {
        "number": name,
        "due": owed,
        "part": "",
        "lines": [{"text": f"{step}{waits}", "look": "aside"}],
        "sentence": f"{name}, {owed}: {step}{waits}",
        "link": web_link(stop_mail_link(installation, entry.key, reader)),
        "pay": lines.say("stop", customer=name),
    }


def _waits(
    session: Session, connection: Connection, readers: digests.Readers, reader: str, today: date, lines: Lines
) -> list[str]:
    entries = digests.waiting_entries(session, connection)
    said = [lines.waiting(each) for each in entries if readers.of(each.customer_id)[:1] == (reader,)]
    tasks = digests.waiting_tasks(session, connection, today)
    return said + [lines.task(each) for each in tasks if reader in readers.of_task(each)]


def _part(lines: Lines, name: str, said: Sequence[str]) -> list[str]:
    """Give the paragraphs of a part, its heading first; none where there is nothing."""
    shown = [f"– {one_line(each, 400)}" for each in said[:SHOWN_MAX]]
    return [lines.say(name), *shown, *_more(lines, len(said))] if said else []


def _more(lines: Lines, count: int) -> list[str]:
    return [f"– {lines.say('more', count=str(count - SHOWN_MAX))}"] if count > SHOWN_MAX else []
