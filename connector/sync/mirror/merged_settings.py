"""What users set for two customers that were merged in the ledger: the survivor gets the stricter of both.

A stop, a hold or "no late fees" of either side stays; an agreement to pay late fees stays only where both sides gave
one. It is done once per merge, so that what users change afterwards is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from connector.audit import sync_log
from connector.db.tables import Connection, CustomerRow, CustomerSetting, ErasedCustomer
from connector.vocabulary import LogKind
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_date
from policies.receivables import Segment

_CAUTIOUS_FIRST = (Segment.STRATEGIC, Segment.ESTABLISHED, Segment.NEW)
_STOPS = ("hold_until_on", "no_reminders", "stopped_emails", "no_fees", "withholding_percent")
_MERGED = "{other} was merged into {name} in the accounting system. The stricter setting of both applies from now on:"
_RESTORED = (
    "{name} is a customer of its own again in the accounting system. What was stopped while it was merged into {other}"
    " stays stopped:"
)
_KEPT_UNLESS_SET = ("language", "phone", "owner", "sales_rep", "second_contact", "suppression_reason")


def combine(session: Session, connection_id: int, merged: str, survivor: str, at: datetime, *, is_known: bool) -> int:
    """Combine the settings into those of the survivor and log what changed; return how many rows did.

    ``is_known`` is False for a merge older than the mirror: nothing was ever charged to the merged customer, so that an
    agreement about late fees with the survivor covers its invoices.
    """
    one = _setting(session, connection_id, merged, at)
    two = _setting(session, connection_id, survivor, at)
    erased = session.get(ErasedCustomer, (connection_id, merged)) is not None
    after = _stricter(one, two)
    before = {name: getattr(two, name) for name in after}
    if erased:
        after["no_reminders"] = True  # whoever asked for erasure does not hear of it under another name
    if not is_known:
        after["fees_agreed_on"] = two.fees_agreed_on
    changed = {name: value for name, value in after.items() if value != before[name]}
    return _change(session, two, changed, at, _MERGED, merged)


def keep_stops(session: Session, connection_id: int, restored: str, survivor: str, at: datetime) -> int:
    """Keep for a customer that is its own again what was stopped while it was merged; return how many rows changed."""
    one = _setting(session, connection_id, survivor, at)
    two = _setting(session, connection_id, restored, at)
    after = _stricter(one, two)
    changed = {name: after[name] for name in _STOPS if after[name] != getattr(two, name)}
    return _change(session, two, changed, at, _RESTORED, survivor)


def _change(
    session: Session, setting: CustomerSetting, changed: Mapping[str, object], at: datetime, text: str, other: str
) -> int:
    if not changed:
        return 0
    setting.set_at = at
    for name, value in changed.items():
        setattr(setting, name, value)
    session.add(setting)
    session.get_one(Connection, setting.connection_id).decision_fingerprint = ""
    _log(session, setting, changed, text, other)
    session.flush()
    return 1


def _stricter(merged: CustomerSetting, survivor: CustomerSetting) -> dict[str, object]:
    """Return the columns of the survivor's settings, with what is stricter of the merged customer's."""
    sides = (survivor, merged)
    holds = [each.hold_until_on for each in sides if each.hold_until_on is not None]
    agreed = [each.fees_agreed_on for each in sides if each.fees_agreed_on is not None]
    segments = [each.segment for each in sides if each.segment is not None]
    tags = [tag.strip() for each in sides for tag in each.tags.split(",") if tag.strip()]
    stopped = [each.strip() for side in sides for each in side.stopped_emails.split(",") if each.strip()]
    contact = survivor if survivor.emails or survivor.contact_name else merged  # a name belongs to its address
    return {
        "segment": min(segments, key=_CAUTIOUS_FIRST.index, default=None),
        "hold_until_on": max(holds, default=None),
        "no_reminders": any(each.no_reminders for each in sides),
        "no_fees": any(each.no_fees for each in sides),
        "fees_agreed_on": max(agreed) if len(agreed) == len(sides) else None,
        "emails": contact.emails,
        "stopped_emails": ",".join(dict.fromkeys(stopped)),
        "contact_name": contact.contact_name,
        "tags": ",".join(dict.fromkeys(tags)),
        "withholding_percent": max((each.withholding_percent for each in sides), key=lambda text: Decimal(text or 0)),
        **{name: getattr(survivor, name) or getattr(merged, name) for name in _KEPT_UNLESS_SET},
    }


def _setting(session: Session, connection_id: int, customer_id: str, at: datetime) -> CustomerSetting:
    row = session.get(CustomerSetting, (connection_id, customer_id))
    return row or CustomerSetting(
        connection_id=connection_id, customer_id=customer_id, set_at=at, emails="", stopped_emails="", tags=""
    )


def _log(session: Session, setting: CustomerSetting, changed: Mapping[str, object], text: str, other: str) -> None:
    rows = session.scalars(
        select(CustomerRow).where(
            col(CustomerRow.connection_id) == setting.connection_id,
            col(CustomerRow.external_id).in_([setting.customer_id, other]),
        )
    )
    names = {row.external_id: row.name for row in rows}
    settings = "; ".join(
        f"{in_sentence(label(name, 'customer_setting'))}: {_format_value(value)}" for name, value in changed.items()
    )
    who = text.format(name=names.get(setting.customer_id, setting.customer_id), other=names.get(other, other))
    sync_log.write(
        session,
        at=setting.set_at,
        kind=LogKind.CUSTOMER_UPDATED,
        text=f"{who} {settings}.",
        connection_id=setting.connection_id,
        customer_id=setting.customer_id,
    )


def _format_value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_date(value) if isinstance(value, date) else str(value or "not set")
