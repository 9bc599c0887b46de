"""The mail that tells a company's people once that its books can no longer be read, and where to connect them again."""

from __future__ import annotations

from sqlmodel import Session, col, select

from connector.app_context import AppContext
from connector.connections.tokens import find_dead_grant
from connector.db.tables import Connection, OutboxEntry
from connector.emails import recipient_language
from connector.emails.outbound import digests
from connector.emails.outbound.digest_email import build_owner_email
from connector.emails.outbound.digest_text import DigestText
from connector.geo import today_in
from connector.outbox.payloads import OwnerEmailPayload, dump_payload
from connector.plain_text import one_line, safe_link
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionMode, OutboxState
from providers.mailer import Email

STEP = "reconnect"


def plan(ctx: RunContext) -> None:
    """Plan the mail, once for each time that a grant dies. It leaves as any internal mail does."""
    with ctx.writing() as session:
        connection = ctx.connection(session)
        grant = find_dead_grant(session, connection)
        if grant is None or connection.mode == ConnectionMode.OBSERVE:
            return
        key = f"{ctx.ledger_key}:owner_email:{STEP}:{grant.id}:{grant.refreshed_at or grant.created_at:%Y%m%dT%H%M%S}"
        if session.scalar(select(col(OutboxEntry.id)).where(col(OutboxEntry.key) == key)) is None:
            reader = digests.load_recipients(session, connection, ctx.app.settings).for_customer("")[0]
            session.add(
                OutboxEntry(
                    connection_id=ctx.connection_id,
                    key=key,
                    kind=digests.KIND,
                    state=OutboxState.PLANNED,
                    customer_id="",
                    step=STEP,
                    payload=dump_payload(OwnerEmailPayload(to=(reader,))),
                    reason=f"{reader} is told that {connection.name} has to be connected again.",
                    run_id=ctx.run_id,
                    planned_at=ctx.now(),
                )
            )


def compose(app: AppContext, session: Session, connection: Connection, entry: OutboxEntry) -> Email | None:
    """Write it; None where the company is connected again by now."""
    if find_dead_grant(session, connection) is None:
        return None
    today = today_in(connection.time_zone, app.now())
    lines = DigestText(session, connection, recipient_language.company_language(session, connection), today)
    provider = app.providers[connection.provider].title
    company, button = one_line(connection.name), lines.render("reconnect_button")
    link = safe_link(f"{app.settings.duewell_base_url}/companies/{connection.id}")
    row = {
        "number": company,
        "due": "",
        "of_total": "",
        "details": [],
        "sentence": company,
        "link": link,
        "pay_label": button,
    }
    opening = lines.render("reconnect_opening", accounting_system=provider)
    filled = {
        "language": lines.language.code,
        "labels": {"invoice": "", "amount_due": ""},
        "greeting": lines.render("greeting"),
        "subject": f"{company}: {lines.render('reconnect_subject')}",
        "heading": lines.render("reconnect_heading"),
        "preview": opening,
        "opening": [opening],
        "rows": [row],
        "button": {"link": link, "text": button},
        "notes": [],
        "closing": [lines.render("reconnect_closing", accounting_system=provider)],
        "footer": [lines.render("reconnect_footer")],
    }
    return build_owner_email(app, connection, entry, entry.payload["to"][0], filled)
