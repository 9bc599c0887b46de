"""What users set for a customer: segment, hold, opt-outs, agreed fees, contact; and the list of customers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypedDict

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import suppressions
from connector.arrangements.agreements import YEAR_MAX
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.ids import matches_keys
from connector.db.money import format_e4
from connector.db.tables import Connection, CustomerRow, CustomerSetting, InvoiceRow
from connector.geo import is_reached
from connector.languages import LANGUAGES
from connector.results import Amount, Result, optional
from connector.vocabulary import LogKind
from connector.vocabulary.labels import in_sentence, label
from policies.document import parse_decimal
from policies.formatting import format_date
from policies.receivables import Segment
from providers.phones import tel_uri

WITHHOLDING_PERCENT_MAX = 50
PHONE_LENGTH_MAX = 60
_MATCHES_SHOWN = 5


class UnknownCustomerError(Exception):
    """No customer, or more than one, has this name; the message says how to name them."""


class InvalidSettingError(Exception):
    """A value that cannot be set for a customer; ``field`` is the setting, the message says why, and what can be."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class SettingChanges(TypedDict, total=False):
    """The settings to change, by column; None or "" resets one."""

    segment: Segment | None
    hold_until_on: date | None
    no_reminders: bool
    no_fees: bool
    fees_agreed_on: date | None
    emails: str  # comma-separated
    stopped_emails: str  # comma-separated
    contact_name: str
    phone: str
    language: str
    owner: str  # "Ann Lee <ann@example.com>"
    sales_rep: str
    second_contact: str
    tags: str  # comma-separated
    withholding_percent: str  # "10" or "7.5"


class CustomerSettings(Result):
    """What users set for a customer; what is not set is left out of JSON."""

    segment: Segment | None = optional()
    hold_until_on: date | None = optional()
    no_reminders: bool = optional(default=False)
    no_fees: bool = optional(default=False)
    fees_agreed_on: date | None = optional()
    emails: str = optional("")
    stopped_emails: str = optional("")
    contact_name: str = optional("")
    phone: str = optional("")
    language: str = optional("")
    owner: str = optional("")
    sales_rep: str = optional("")
    second_contact: str = optional("")
    tags: str = optional("")
    withholding_percent: str = optional("")
    suppression_reason: str = optional("")


class CustomerItem(Result):
    """A customer in a list; ``open_balance`` is the balance due, by currency."""

    id: str
    connection: str
    name: str
    emails: str
    country: str
    active: bool
    open_balance: dict[str, Amount]
    settings: CustomerSettings


class UpdatedSettings(Result):
    """A customer's settings after a change."""

    id: str
    connection_id: int
    name: str
    settings: CustomerSettings


def find_customers(
    session: Session,
    connection_id: int | None = None,
    search: str = "",
    *,
    keys: Sequence[tuple[int, str]] | None = None,
) -> list[CustomerItem]:
    """List customers by name, or those with these keys, with their open balances and what users set for them."""
    query = _customers_query(connection_id).order_by(col(CustomerRow.connection_id), func.lower(col(CustomerRow.name)))
    if search:
        query = query.where(col(CustomerRow.name).icontains(search, autoescape=True))
    if keys is not None:
        query = query.where(matches_keys(col(CustomerRow.connection_id), col(CustomerRow.external_id), keys))
    rows = session.execute(query).all()
    balances, settings = _open_balances(session, connection_id, keys), _settings(session, keys)
    return [
        CustomerItem(
            id=row.external_id,
            connection=short_name,
            name=row.name,
            emails=row.emails,
            country=row.country,
            active=row.active,
            open_balance=balances.get((row.connection_id, row.external_id), {}),
            settings=_as_result(settings.get((row.connection_id, row.external_id))),
        )
        for row, short_name in rows
    ]


def find_customer(session: Session, name_or_id: str, connection_id: int | None = None) -> CustomerRow:
    """Return the customer with this id in the ledger, or with this name, in upper or lower case.

    Raises:
        UnknownCustomerError: there is none, or the name is not unique.

    """
    named = or_(
        col(CustomerRow.external_id) == name_or_id, func.lower(col(CustomerRow.name)) == name_or_id.strip().lower()
    )
    found: Sequence[tuple[CustomerRow, str]] = session.execute(_customers_query(connection_id).where(named)).all()
    if len(found) == 1:
        return found[0][0]
    if found:
        matches = ", ".join(f"{row.external_id} in {short_name}" for row, short_name in found[:_MATCHES_SHOWN])
        raise UnknownCustomerError(
            f"{len(found)} customers are called {name_or_id!r}: {matches}. Use --connection, or the id."
        )
    similar = (
        _customers_query(connection_id)
        .where(col(CustomerRow.name).icontains(name_or_id, autoescape=True))
        .limit(_MATCHES_SHOWN)
    )
    names = dict.fromkeys(row.name for row, _ in session.execute(similar))  # two companies may have one of them
    hint = f" Similar: {', '.join(names)}." if names else " List them all: duewell customers"
    raise UnknownCustomerError(f"There is no customer {name_or_id!r}.{hint}")


def update_settings(
    app: AppContext, connection_id: int, customer_id: str, changes: SettingChanges, *, by: str
) -> UpdatedSettings:
    """Change the settings of a customer; they survive every sync and apply from the next run on.

    Raises:
        InvalidSettingError: a value that cannot be set; nothing is changed.

    """
    now = app.now()
    with writing(app.engine) as session:
        validate_changes(session.get_one(Connection, connection_id), changes, now)
        row = apply_settings(session, connection_id, customer_id, changes, by=by, at=now)
        name = session.get_one(CustomerRow, (connection_id, customer_id)).name
        return UpdatedSettings(id=customer_id, connection_id=connection_id, name=name, settings=_as_result(row))


def apply_settings(
    session: Session,
    connection_id: int,
    customer_id: str,
    changes: SettingChanges,
    *,
    by: str,
    at: datetime,
    working_emails: Sequence[str] | None = None,
) -> CustomerSetting:
    """Change the settings of a customer in the caller's transaction, without checking them.

    ``working_emails`` are those that are to be used even if they are suppressed: None for all that are set.
    """
    customer = session.get_one(CustomerRow, (connection_id, customer_id))
    row = session.get(CustomerSetting, (connection_id, customer_id))
    if row is None:
        row = CustomerSetting(connection_id=connection_id, customer_id=customer_id, set_at=at)
        session.add(row)
    for name, value in changes.items():
        setattr(row, name, value)
    if emails := changes.get("emails"):
        row.suppression_reason = ""  # it was about the former address
        working = emails.split(",") if working_emails is None else working_emails
        suppressions.unsuppress(session, working)  # even the same address: a user says that it works
    row.set_at = at
    session.get_one(Connection, connection_id).decision_fingerprint = ""
    sync_log.write(
        session,
        at=at,
        kind=LogKind.CUSTOMER_UPDATED,
        text=f"{by} changed the settings of {customer.name}: {_format_changes(changes)}.",
        connection_id=connection_id,
        customer_id=customer_id,
    )
    return row


def validate_language(code: str) -> str:
    """Return the code of a language that emails are written in, or "" for that of the customer's country.

    Raises:
        InvalidSettingError: there are no texts in it.

    """
    if code and code not in LANGUAGES:
        message = f"There are no emails in {code!r}. Available: {', '.join(LANGUAGES)}."
        raise InvalidSettingError("language", message)
    return code


def validate_withholding(text: str) -> str:
    """Return how much tax a customer may withhold, in percent, as plain text; "" for none.

    Raises:
        InvalidSettingError: it is not a number from 0 to ``WITHHOLDING_PERCENT_MAX``.

    """
    plain = text.strip().removesuffix("%").strip().replace(",", ".")
    percent = parse_decimal(plain) if plain else Decimal(0)
    if percent is None or not 0 <= percent <= WITHHOLDING_PERCENT_MAX:
        message = f"{text!r} is not a percentage from 0 to {WITHHOLDING_PERCENT_MAX}."
        raise InvalidSettingError("withholding_percent", message)
    return format(percent.normalize(), "f") if percent else ""


def validate_phone(text: str) -> str:
    """Return a telephone number as it is stored; raises ``InvalidSettingError`` where nobody could dial it."""
    number = " ".join(text.split())
    if number and (len(number) > PHONE_LENGTH_MAX or not tel_uri(number)):
        raise InvalidSettingError("phone", f"{number[:PHONE_LENGTH_MAX]!r} is not a telephone number.")
    return number


def customer_settings(session: Session, connection_id: int, customer_id: str) -> CustomerSettings:
    """Return what users set for a customer."""
    return _as_result(session.get(CustomerSetting, (connection_id, customer_id)))


def format_settings(settings: CustomerSettings) -> list[str]:
    """Return what is set, in words: ``On hold until: 3 Dec 2026``."""
    return [
        f"{label(name, 'customer_setting')}: {_format_value(value)}" for name, value in settings.model_dump().items()
    ]


def validate_changes(connection: Connection, changes: SettingChanges, now: datetime) -> None:
    """Check changes for a customer of a company, and put values into the form they are stored in.

    Raises:
        InvalidSettingError: a value that cannot be set.

    """
    validate_language(changes.get("language") or "")
    if "withholding_percent" in changes:
        changes["withholding_percent"] = validate_withholding(changes["withholding_percent"] or "")
    if "phone" in changes:
        changes["phone"] = validate_phone(changes["phone"] or "")
    until = changes.get("hold_until_on")
    if until is not None and until.year > YEAR_MAX:
        message = f"{format_date(until)} is too far away: the last possible year is {YEAR_MAX}."
        raise InvalidSettingError("hold_until_on", message)
    if until is not None and is_reached(until, connection.time_zone, now):
        message = (
            f"A hold until {format_date(until)} would already be over. Choose a later date;"
            " to end a hold, leave the date empty (none on the command line)."
        )
        raise InvalidSettingError("hold_until_on", message)


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
    session: Session, connection_id: int | None, keys: Sequence[tuple[int, str]] | None
) -> dict[tuple[int, str], dict[str, str]]:
    key = (col(InvoiceRow.connection_id), col(InvoiceRow.customer_id), col(InvoiceRow.currency))
    query = select(*key, func.sum(col(InvoiceRow.due_e4))).where(col(InvoiceRow.is_open)).group_by(*key)
    if connection_id is not None:
        query = query.where(col(InvoiceRow.connection_id) == connection_id)
    if keys is not None:
        query = query.where(matches_keys(*key[:2], keys))
    balances: dict[tuple[int, str], dict[str, str]] = {}
    for connection, customer, currency, due_e4 in session.execute(query):
        balances.setdefault((connection, customer), {})[currency] = format_e4(int(due_e4), currency)
    return balances


def _as_result(row: CustomerSetting | None) -> CustomerSettings:
    return CustomerSettings() if row is None else CustomerSettings.model_validate(row.model_dump(exclude=_KEY_COLUMNS))


_KEY_COLUMNS = {"connection_id", "customer_id", "set_at"}


def _format_changes(changes: SettingChanges) -> str:
    return "; ".join(
        f"{in_sentence(label(name, 'customer_setting'))}: {_format_value(value)}" for name, value in changes.items()
    )


def _format_value(value: object) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_date(value) if isinstance(value, date) else str(value)
