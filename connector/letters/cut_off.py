"""The mail that tells a company's people once that its books can no longer be read, and where to connect them again."""

from __future__ import annotations

from sqlmodel import Session, col, select

from connector.access.tokens import dead_grant
from connector.hour import Hour
from connector.installation import Installation
from connector.letters import digests, tongues
from connector.letters.digest_lines import Lines
from connector.letters.digest_mail import owner_mail
from connector.letters.plain_text import one_line, web_link
from connector.mirror.places import today_in
from connector.tables import Connection, OutboxEntry
from providers.mailer import Mail

STEP = "cut_off"


def plan(hour: Hour) -> None:
    """Plan the mail, once for each time that a grant dies. It leaves as any internal mail does."""
    with hour.writing() as session:
        connection = hour.connection(session)
        grant = dead_grant(session, connection)
        if grant is None or connection.mode == "observe":
            return
        key = f"{hour.books}:owner_mail:{STEP}:{grant.id}:{grant.refreshed_at or grant.created_at:%Y%m%dT%H%M%S}"
        if session.scalar(select(col(OutboxEntry.id)).where(col(OutboxEntry.key) == key)) is None:
            reader = digests.readers_of(session, connection, hour.installation.settings).of("")[0]
            session.add(
                OutboxEntry(
                    connection_id=hour.connection_id,
                    key=key,
                    kind=digests.KIND,
                    state="planned",
                    customer_id="",
                    step=STEP,
                    payload={"to": [reader], "items": [], "taken": []},
                    why=f"{reader} is told that {connection.name} has to be connected again.",
                    run_id=hour.run_id,
                    planned_at=hour.now(),
                )
            )


def compose(installation: Installation, session: Session, connection: Connection, entry: OutboxEntry) -> Mail | None:
    """Write it; None where the company is connected again by now."""
    if dead_grant(session, connection) is None:
        return None
    today = today_in(connection.time_zone, installation.now())
    lines = Lines(session, connection, tongues.of_people(session, connection), today)
    vendor = installation.providers[connection.provider].title
    company, button = one_line(connection.name), lines.say("cut_off_button")
    link = web_link(f"{installation.settings.duewell_base_url}/companies/{connection.id}")
    row = {"number": company, "due": "", "part": "", "lines": [], "sentence": company, "link": link, "pay": button}
    opening = lines.say("cut_off_opening", vendor=vendor)
    filled = {
        "language": lines.language.code,
        "labels": {"invoice": "", "open": ""},
        "hello": lines.say("hello"),
        "subject": f"{company}: {lines.say('cut_off_subject')}",
        "heading": lines.say("cut_off_heading"),
        "preview": opening,
        "opening": [opening],
        "rows": [row],
        "button": {"link": link, "text": button},
        "notes": [],
        "closing": [lines.say("cut_off_closing", vendor=vendor)],
        "footer": [lines.say("cut_off_footer")],
    }
    return owner_mail(installation, connection, entry, entry.payload["to"][0], filled)
