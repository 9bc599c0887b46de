"""The bank details of a company, as they were entered: which account is in use at an instant, and which one waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.bank_details.accounts import BankDetails
from connector.db.tables import BankDetailsRow


def find_in_use(session: Session, connection_id: int, currency: str, now: datetime) -> BankDetails | None:
    """Return the account for payments in a currency, None where the company has none."""
    row = row_in_use(list_rows(session, connection_id, currency), now)
    return as_details(row) if row is not None else None


def accounts_in_use(session: Session, connection_id: int, now: datetime) -> dict[str, str]:
    """Return by currency what tells the account in use from any other: a payee or BIC makes it another one, too."""
    rows = list_rows(session, connection_id)
    in_use = [row_in_use([row for row in rows if row.currency == each], now) for each in {row.currency for row in rows}]
    return {row.currency: "|".join(map(str, astuple(as_details(row)))) for row in in_use if row is not None}


def list_rows(session: Session, connection_id: int, currency: str = "") -> list[BankDetailsRow]:
    """List all that was entered for a company, for one currency or all, oldest first."""
    query = select(BankDetailsRow).where(col(BankDetailsRow.connection_id) == connection_id)
    if currency:
        query = query.where(col(BankDetailsRow.currency) == currency)
    return list(session.scalars(query.order_by(col(BankDetailsRow.id))))


def row_in_use(rows: Iterable[BankDetailsRow], now: datetime) -> BankDetailsRow | None:
    """Return the row of one currency that applies at an instant, None where there is no account."""
    rows = [row for row in rows if row.applies_at <= now and row.cancelled_at is None]
    return rows[-1] if rows and rows[-1].account else None


def waiting_row(rows: Iterable[BankDetailsRow], now: datetime) -> BankDetailsRow | None:
    """Return the row of one currency that is not in use yet, None where none waits."""
    rows = list(rows)
    is_waiting = bool(rows) and rows[-1].applies_at > now and rows[-1].cancelled_at is None
    return rows[-1] if is_waiting else None


def as_details(row: BankDetailsRow) -> BankDetails:
    """Return a row as the account that it holds."""
    return BankDetails(
        currency=row.currency,
        payee=row.payee,
        scheme=row.scheme,
        account=row.account,
        bank_code=row.bank_code,
        bic=row.bic,
        street=row.street,
        building_number=row.building_number,
        postcode=row.postcode,
        town=row.town,
        country=row.country,
        use_creditor_reference=row.use_creditor_reference,
    )
