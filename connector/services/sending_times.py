"""When an unsent outbox entry is really sent: the next sync, send window, holidays, mode and pauses."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, SQLModel, col

from connector import policy_store
from connector.connections.registry import is_paused
from connector.db.tables import Connection, CustomerRow, OutboxEntry
from connector.geo import HolidayCalendar
from connector.outbox.entries import UNSENT_STATES
from connector.results import Result
from connector.sync.mirror.facts import build_company, build_customer
from connector.vocabulary import ConnectionHealth, ConnectionMode, OutboxKind, OutboxState
from policies.calendar import SendSlot, find_send_slot, find_time_zone
from policies.formatting import format_datetime

_OVERDUE = timedelta(minutes=2)  # a sync that is due any moment


class SendingTime(Result):
    """When an entry is sent, as a sentence in the company's time zone; ``at`` is None where that is not known."""

    at: datetime | None
    text: str


def explain_sending(session: Session, entry: OutboxEntry, company: Connection, now: datetime) -> SendingTime | None:
    """Return when an unsent entry is sent if nothing changes meanwhile; None for what is not unsent."""
    if entry.state not in UNSENT_STATES:
        return None
    if company.health == ConnectionHealth.DISCONNECTED:
        return SendingTime(at=None, text=f"Nothing is sent while {company.name} is disconnected.")
    if is_paused(company, now):
        return SendingTime(at=None, text=f"Nothing is sent while {company.name} is paused.")
    if company.mode == ConnectionMode.OBSERVE:
        return SendingTime(at=None, text=f"Nothing is sent while {company.name} is in observe mode.")
    due_at = company.next_run_at
    is_soon = due_at is None or due_at <= now + _OVERDUE
    start = max(now if due_at is None or is_soon else due_at, entry.send_after or now)
    slot = _find_slot(session, entry, company, start)
    at = slot.at or start
    verb = "Once approved, it is sent" if entry.state == OutboxState.AWAITING_APPROVAL else "It is sent"
    if is_soon and at <= now + _OVERDUE:
        return SendingTime(at=at, text=f"{verb} with the next sync, within minutes.")
    local = at.astimezone(ZoneInfo(company.time_zone))
    when = f"{local:%A} {format_datetime(local)}"
    if slot.at is not None:
        return SendingTime(at=at, text=f"{verb} on {when}: {slot.cause}.")
    return SendingTime(at=at, text=f"{verb} with the sync on {when}.")


def _find_slot(session: Session, entry: OutboxEntry, company: Connection, start: datetime) -> SendSlot:
    """Return when the send window of an email's customer is open from an instant on; other entries have none."""
    if entry.kind != OutboxKind.EMAIL:
        return SendSlot(None, "")
    facts = build_company(company)
    row = session.execute(
        select(SQLModel.metadata.tables["customer"]).where(
            col(CustomerRow.connection_id) == entry.connection_id, col(CustomerRow.external_id) == entry.customer_id
        )
    ).first()
    customer = build_customer(entry.customer_id, row, None, None, (), facts)
    policy, _version = policy_store.get_active_policy(session, entry.connection_id).for_customer(entry.customer_id)
    zone = find_time_zone(customer.time_zone, facts.time_zone)
    region = customer.holiday_region or customer.country or facts.country
    return find_send_slot(start, zone, region, policy.send_window, HolidayCalendar())
