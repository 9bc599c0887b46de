"""The internal email, sent once, that a company's accounting system can no longer be read and has to be reconnected."""

from __future__ import annotations

from sqlmodel import Session, col, select

from connector.app_context import AppContext
from connector.connections.tokens import find_dead_grant
from connector.db.tables import Connection, OutboxEntry
from connector.emails import recipient_language
from connector.emails.layout import Button, LayoutValues
from connector.emails.outbound import digests
from connector.emails.outbound.digest_email import SENDER_NAME, build_owner_email
from connector.emails.outbound.digest_text import DigestText
from connector.geo import today_in
from connector.outbox.payloads import OwnerEmailPayload, dump_payload, payload_as
from connector.plain_text import one_line, safe_link
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from providers.mailer import Email

STEP = "reconnect"


def plan(ctx: RunContext) -> None:
    """Plan the email, once each time an authorization expires. It is sent like any internal email."""
    with ctx.writing() as session:
        connection = ctx.connection(session)
        grant = find_dead_grant(session, connection)
        if grant is None or connection.mode == ConnectionMode.OBSERVE:
            return
        authorized_at = grant.refreshed_at or grant.created_at
        key = f"{ctx.ledger_key}:{OutboxKind.OWNER_EMAIL}:{STEP}:{grant.id}:{authorized_at:%Y%m%dT%H%M%S}"
        if session.scalar(select(col(OutboxEntry.id)).where(col(OutboxEntry.key) == key)) is None:
            recipient = digests.load_recipients(session, connection, ctx.app.settings).for_customer("")[0]
            session.add(
                OutboxEntry(
                    connection_id=ctx.connection_id,
                    key=key,
                    kind=OutboxKind.OWNER_EMAIL,
                    state=OutboxState.PLANNED,
                    customer_id="",
                    step=STEP,
                    payload=dump_payload(OwnerEmailPayload(to=(recipient,))),
                    reason=f"Tells {recipient} that {connection.name} has to be reconnected.",
                    run_id=ctx.run_id,
                    planned_at=ctx.now(),
                )
            )


def compose(app: AppContext, session: Session, connection: Connection, entry: OutboxEntry) -> Email | None:
    """Compose the email; None where the company has been reconnected."""
    if find_dead_grant(session, connection) is None:
        return None
    today = today_in(connection.time_zone, app.now())
    text = DigestText(session, connection, recipient_language.company_language(session, connection), today)
    system = app.providers[connection.provider].title
    company, button = one_line(connection.name), text.render("reconnect_button")
    link = safe_link(f"{app.settings.duewell_base_url}/companies/{connection.id}")
    opening = text.render("reconnect_opening", accounting_system=system)
    values = LayoutValues(
        language=text.language.code,
        subject=f"{company}: {text.render('reconnect_subject')}",
        heading=text.render("reconnect_heading"),
        preview=opening,
        greeting=text.render("greeting"),
        opening=[opening],
        button=Button(button, link),
        closing=[text.render("reconnect_closing", accounting_system=system)],
        sign_off=SENDER_NAME,
        sender=company,
        company=company,
        colon=text.colon,
        footer=[text.render("reconnect_footer")],
    )
    return build_owner_email(app, entry, payload_as(OwnerEmailPayload, entry).to[0], values)
