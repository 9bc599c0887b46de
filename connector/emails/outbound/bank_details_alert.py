"""The internal email to every owner about the account customers pay into: entered, confirmed, cancelled, removed."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.bank_details.store import as_details, list_rows, row_in_use
from connector.db.tables import BankDetailsRow, Connection, OutboxEntry, User
from connector.emails import recipient_language
from connector.emails.layout import Button, LayoutValues
from connector.emails.outbound import digests
from connector.emails.outbound.digest_email import SENDER_NAME, build_owner_email
from connector.emails.outbound.digest_text import DigestText
from connector.geo import today_in
from connector.outbox.payloads import OwnerEmailPayload, dump_payload, payload_as
from connector.plain_text import one_line, safe_link
from connector.vocabulary import BankDetailsEvent, OutboxKind, OutboxState, Role
from connector.vocabulary.outbox import BANK_DETAILS_STEP
from providers.mailer import Email

_TEXTS = {
    BankDetailsEvent.ENTERED: "bank_details_entered",
    BankDetailsEvent.CONFIRMED: "bank_details_confirmed",
    BankDetailsEvent.CANCELLED: "bank_details_cancelled",
}


def plan(
    app: AppContext,
    session: Session,
    connection: Connection,
    row: BankDetailsRow,
    event: BankDetailsEvent = BankDetailsEvent.ENTERED,
) -> None:
    """Plan the email to each owner, or to the sender's address where nobody signs in here."""
    owners = session.scalars(
        select(col(User.email)).where(col(User.role) == Role.OWNER, col(User.disabled_at).is_(None))
    )
    for recipient in sorted(set(owners)) or [digests.default_recipient(app.settings)]:
        suffix = f":{event}" if event is not BankDetailsEvent.ENTERED else ""
        ledger_key = f"{connection.provider}:{connection.external_id}"
        key = f"{ledger_key}:{OutboxKind.OWNER_EMAIL}:{BANK_DETAILS_STEP}:{row.id}{suffix}:{recipient}"
        session.add(
            OutboxEntry(
                connection_id=connection.id or 0,
                key=key,
                kind=OutboxKind.OWNER_EMAIL,
                state=OutboxState.PLANNED,
                customer_id="",
                step=BANK_DETAILS_STEP,
                payload=dump_payload(
                    OwnerEmailPayload(to=(recipient,), bank_details_id=row.id or 0, bank_details_event=event)
                ),
                reason=f"Tells {recipient} that the bank details of {connection.name} were changed.",
                planned_at=app.now(),
            )
        )


def compose(app: AppContext, session: Session, connection: Connection, entry: OutboxEntry) -> Email | None:
    """Compose the email; None where the company's bank details are gone altogether."""
    payload = payload_as(OwnerEmailPayload, entry)
    row = session.get(BankDetailsRow, payload.bank_details_id)
    if row is None:
        return None
    earlier = [each for each in list_rows(session, row.connection_id, row.currency) if (each.id or 0) < (row.id or 0)]
    before = row_in_use(earlier, row.set_at)
    text = DigestText(
        session,
        connection,
        recipient_language.company_language(session, connection),
        today_in(connection.time_zone, app.now()),
    )
    company, button = one_line(connection.name), text.render("bank_details_button")
    opening = text.render(
        _TEXTS[payload.bank_details_event] if row.account else "bank_details_removed",
        actor=one_line(row.set_by if payload.bank_details_event == BankDetailsEvent.ENTERED else row.decided_by)
        or SENDER_NAME,
        account=as_details(row).masked_account,
        before=as_details(before).masked_account if before is not None else "",
        payee=one_line(row.payee),
        currency=row.currency,
        applies_at=f"{row.applies_at:%Y-%m-%d %H:%M} UTC" if row.applies_at > row.set_at else "",
    )
    link = safe_link(f"{app.settings.duewell_base_url}/companies/{connection.id}/bank-details")
    values = LayoutValues(
        language=text.language.code,
        subject=f"{company}: {text.render('bank_details_subject', currency=row.currency)}",
        heading=text.render("bank_details_heading"),
        preview=opening,
        greeting=text.render("greeting"),
        opening=[opening],
        button=Button(button, link),
        closing=[text.render("bank_details_closing")],
        sign_off=SENDER_NAME,
        sender=company,
        company=company,
        colon=text.colon,
        footer=[text.render("bank_details_footer")],
    )
    return build_owner_email(app, entry, payload.to[0], values)
