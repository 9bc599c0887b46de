"""What a person sets for a customer: segment, holds, opt-outs, agreed fees, another contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import suppressions
from connector.arrangements.agreements import YEAR_MAX
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.money import from_e4
from connector.db.paging import Page, cut, matches_keys
from connector.db.tables import Connection, CustomerRow, CustomerSetting, InvoiceRow
from connector.geo import is_reached
from connector.languages import LANGUAGES
from policies.formatting import format_date

_SHOWN_MAX = 5
SETTINGS = (
    "segment",
    "hold_until_on",
    "no_reminders",
    "no_fees",
    "fees_agreed_on",
    "emails",
    "contact_name",
    "language",
    "owner",
    "sales_rep",
    "tags",
)


class UnknownCustomerError(Exception):
    """No customer, or more than one, is called so; ``str()`` says what would do."""


class InvalidSettingError(Exception):
    """Something that cannot be set for a customer; ``str()`` says why and what would do."""


def find_customers(
    session: Session, connection_id: int | None = None, search: str = "", *, page: Page | None = None
) -> list[dict[str, Any]]:
    """List customers with what they owe, per currency, and what a person set."""
    query = _customers_query(connection_id).order_by(col(CustomerRow.connection_id), func.lower(col(CustomerRow.name)))
    if search:
        query = query.where(col(CustomerRow.name).icontains(search, autoescape=True))
    query = cut(query, page, col(CustomerRow.connection_id), CustomerRow.connection_id, CustomerRow.external_id)
    rows = session.execute(query).all()
    some = None if page is None else [(row.connection_id, row.external_id) for row, _name in rows]
    owed, settings = _open_balances(session, connection_id, some), _settings(session, some)
    return [
        {
            "id": row.external_id,
            "connection": short_name,
            "name": row.name,
            "emails": row.emails,
            "country": row.country,
            "active": row.active,
            "open_balance": owed.get((row.connection_id, row.external_id), {}),
            "settings": _as_dict(settings.get((row.connection_id, row.external_id))),
        }
        for row, short_name in rows
    ]


def find_customer(session: Session, name_or_id: str, connection_id: int | None = None) -> CustomerRow:
    """Find a customer by the ledger's id or by name (upper and lower case alike)."""
    named = or_(
        col(CustomerRow.external_id) == name_or_id, func.lower(col(CustomerRow.name)) == name_or_id.strip().lower()
    )
    found: Sequence[tuple[CustomerRow, str]] = session.execute(_customers_query(connection_id).where(named)).all()
    if len(found) == 1:
        return found[0][0]
    if found:
        where = ", ".join(f"{row.external_id} in {short_name}" for row, short_name in found[:_SHOWN_MAX])
        raise UnknownCustomerError(
            f"{len(found)} customers are called {name_or_id!r}: {where}. Say which: --connection, or the id."
        )
    near = (
        _customers_query(connection_id)
        .where(col(CustomerRow.name).icontains(name_or_id, autoescape=True))
        .limit(_SHOWN_MAX)
    )
    names = [row.name for row, _ in session.execute(near)]
    hint = f" Near it: {', '.join(names)}." if names else " They are listed by: duewell customers"
    raise UnknownCustomerError(f"There is no customer {name_or_id!r}.{hint}")


def update_settings(
    app: AppContext, connection_id: int, customer_id: str, changes: Mapping[str, Any], *, by: str
) -> dict[str, Any]:
    """Set something for a customer; it survives every pull and counts from the next run on."""
    now = app.now()
    with writing(app.engine) as session:
        _validate_changes(session.get_one(Connection, connection_id), changes, now)
        row = apply_settings(session, connection_id, customer_id, changes, by=by, at=now)
        name = session.get_one(CustomerRow, (connection_id, customer_id)).name
        return {"id": customer_id, "connection_id": connection_id, "name": name, "settings": _as_dict(row)}


def apply_settings(
    session: Session, connection_id: int, customer_id: str, changes: Mapping[str, Any], *, by: str, at: datetime
) -> CustomerSetting:
    """Set something for a customer, in the caller's transaction."""
    customer = session.get_one(CustomerRow, (connection_id, customer_id))
    row = session.get(CustomerSetting, (connection_id, customer_id))
    if row is None:
        row = CustomerSetting(connection_id=connection_id, customer_id=customer_id, set_at=at)
        session.add(row)
    for name, value in changes.items():
        setattr(row, name, value)
    if changes.get("emails"):
        row.suppression_reason = ""  # that was about the old address
        suppressions.unsuppress(
            session, changes["emails"].split(",")
        )  # the same one again: a person says that it works
    row.set_at = at
    session.get_one(Connection, connection_id).decision_fingerprint = ""
    said = ", ".join(
        f"{name.removesuffix('_on').replace('_', ' ')} {_format_value(value)}" for name, value in changes.items()
    )
    sync_log.write(
        session,
        at=at,
        kind="customer_updated",
        text=f"{by} set for {customer.name}: {said}.",
        connection_id=connection_id,
        customer_id=customer_id,
    )
    return row


def validate_language(code: str) -> str:
    """Take a language that there are texts in, "" for that of the company's country; raises ``BadSettingError``."""
    if code and code not in LANGUAGES:
        message = f"There are no mails in {code!r}; there are: {', '.join(LANGUAGES)}."
        raise InvalidSettingError(message)
    return code


def customer_settings(session: Session, connection_id: int, customer_id: str) -> dict[str, Any]:
    """Show what a person set for a customer."""
    return _as_dict(session.get(CustomerSetting, (connection_id, customer_id)))


def _validate_changes(connection: Connection, changes: Mapping[str, Any], now: datetime) -> None:
    validate_language(changes.get("language") or "")
    until = changes.get("hold_until_on")
    if until is not None and until.year > YEAR_MAX:
        message = f"The year of {format_date(until)} cannot be right; the last one is {YEAR_MAX}."
        raise InvalidSettingError(message)
    if until is not None and is_reached(until, connection.time_zone, now):
        message = (
            f"A hold until {format_date(until)} would be over already, so nothing would be held back. Name a day to come;"
            " to lift a hold, leave the day out (none on the command line)."
        )
        raise InvalidSettingError(message)


def _customers_query(connection_id: int | None) -> Any:
    query = select(CustomerRow, col(Connection.short_name)).join(
        Connection, col(Connection.id) == col(CustomerRow.connection_id)
    )
    query = query.where(col(CustomerRow.deleted).is_(False))
    return query if connection_id is None else query.where(col(CustomerRow.connection_id) == connection_id)


def _settings(session: Session, keys: Sequence[tuple[int, str]] | None) -> dict[tuple[int, str], CustomerSetting]:
    query = select(CustomerSetting)
    if keys is not None:
        query = query.where(matches_keys(col(CustomerSetting.connection_id), col(CustomerSetting.customer_id), keys))
    return {(row.connection_id, row.customer_id): row for row in session.scalars(query)}


def _open_balances(
    session: Session, connection_id: int | None, customer_keys: Sequence[tuple[int, str]] | None
) -> dict[tuple[int, str], dict[str, str]]:
    key = (col(InvoiceRow.connection_id), col(InvoiceRow.customer_id), col(InvoiceRow.currency))
    query = select(*key, func.sum(col(InvoiceRow.due_e4))).where(col(InvoiceRow.is_open)).group_by(*key)
    if connection_id is not None:
        query = query.where(col(InvoiceRow.connection_id) == connection_id)
    if customer_keys is not None:
        query = query.where(matches_keys(*key[:2], customer_keys))
    owed: dict[tuple[int, str], dict[str, str]] = {}
    for connection, customer, currency, due_e4 in session.execute(query):
        owed.setdefault((connection, customer), {})[currency] = str(from_e4(int(due_e4)))
    return owed


def _as_dict(row: CustomerSetting | None) -> dict[str, Any]:
    if row is None:
        return {}
    return {name: getattr(row, name) for name in (*SETTINGS, "suppression_reason") if getattr(row, name)}


def _format_value(value: object) -> str:
    return {None: "as the policy says", "": "as in the books", True: "yes", False: "no"}.get(value, str(value))  # type: ignore[call-overload, no-any-return]
