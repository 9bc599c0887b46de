"""A company's bank details: entered and removed with an email to every owner, confirmed and cancelled.

Whoever can change them can send the money of every customer elsewhere: that is what invoice redirection fraud is. So a
new account waits for a day, in which every owner knows of it and can cancel it, unless another owner confirms it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.bank_details.accounts import BankDetails, format_account, format_bank_code, parse_bank_details
from connector.bank_details.store import as_details, list_rows, row_in_use, waiting_row
from connector.connections.registry import is_paused
from connector.db.engine import writing
from connector.db.tables import BankDetailsRow, Connection, InvoiceRow, User
from connector.emails.outbound import bank_details_alert
from connector.errors import NotFound, NotPossible
from connector.results import Result
from connector.vocabulary import AccountScheme, BankDetailsEvent, BankDetailsState, CodeKind, ConnectionMode, LogKind

WAIT = timedelta(hours=24)


class BankDetailsItem(Result):
    """A company's account for payments in one currency, in use or waiting."""

    id: int
    connection: str
    currency: str
    state: BankDetailsState
    payee: str
    scheme: AccountScheme
    account: str
    bank_code: str
    bic: str
    codes: list[CodeKind]
    applies_at: datetime
    set_by: str
    set_at: datetime


def list_items(session: Session, connection: Connection, now: datetime) -> list[BankDetailsItem]:
    """List a company's accounts by currency: the one in use, then the one that waits."""
    return [_item(connection, row, state) for row, state in _current_rows(session, connection.id or 0, now)]


def list_missing_currencies(session: Session, connection: Connection, now: datetime) -> list[str]:
    """List the currencies in which invoices are open and customers are given no account."""
    query = select(col(InvoiceRow.currency)).where(
        col(InvoiceRow.connection_id) == connection.id, col(InvoiceRow.is_open)
    )
    known = {row.currency for row, _state in _current_rows(session, connection.id or 0, now)}
    return sorted(set(session.scalars(query.distinct())) - known)


def _current_rows(
    session: Session, connection_id: int, now: datetime
) -> Iterator[tuple[BankDetailsRow, BankDetailsState]]:
    rows = sorted(list_rows(session, connection_id), key=lambda row: (row.currency, row.id or 0))
    for _currency, some in groupby(rows, key=lambda row: row.currency):
        own = list(some)
        for row, state in (
            (row_in_use(own, now), BankDetailsState.IN_USE),
            (waiting_row(own, now), BankDetailsState.WAITING),
        ):
            if row is not None:
                yield row, state


def _item(connection: Connection, row: BankDetailsRow, state: BankDetailsState) -> BankDetailsItem:
    details = as_details(row)
    kinds = [(CodeKind.EPC, details.takes_epc_code), (CodeKind.SWISS, details.takes_swiss_code)]
    return BankDetailsItem(
        id=row.id or 0,
        connection=connection.short_name,
        currency=row.currency,
        state=state,
        payee=row.payee,
        scheme=row.scheme,
        account=format_account(details),
        bank_code=format_bank_code(details),
        bic=row.bic,
        codes=[kind for kind, is_taken in kinds if is_taken],
        applies_at=row.applies_at,
        set_by=row.set_by,
        set_at=row.set_at,
    )


def set_bank_details(app: AppContext, connection_id: int, values: Mapping[str, str], *, by: str) -> BankDetailsItem:
    """Enter an account. It waits for a day, except the first one that a company ever has.

    Raises:
        BankDetailsError: fields are wrong.
        NotPossible: the account is in use already, another one is waiting, or no owner would be emailed of a change.

    """
    details = parse_bank_details(values)
    with writing(app.engine) as session:
        connection, now = session.get_one(Connection, connection_id), app.now()
        entered = list_rows(session, connection_id)
        own = [row for row in entered if row.currency == details.currency]
        before = row_in_use(own, now)
        if before is not None and as_details(before) == details:
            raise NotPossible("This account is in use already.")
        _refuse_waiting(own, now)
        if entered and (connection.mode == ConnectionMode.OBSERVE or is_paused(connection, now)):
            message = f"Nothing is sent for {connection.name} now, so no owner would be emailed of another account."
            raise NotPossible(f"{message} Resume it, or leave observe mode, first.")
        row = BankDetailsRow(
            connection_id=connection_id,
            set_by=by,
            set_at=now,
            applies_at=now + WAIT if entered else now,
            **asdict(details),
        )
        when = f"from {row.applies_at:%Y-%m-%d %H:%M} UTC on" if entered else "at once"
        text = f"{by or 'Someone'} entered the account {details.masked_account} for payments in {details.currency} to"
        _store(app, session, connection, row, f"{text} {connection.name}; it is used {when}.")
        return _item(connection, row, BankDetailsState.WAITING if entered else BankDetailsState.IN_USE)


def remove_bank_details(app: AppContext, connection_id: int, currency: str, *, by: str) -> None:
    """Stop giving customers the account for a currency, at once; one that waits is cancelled. Raises ``NotFound``."""
    with writing(app.engine) as session:
        connection, now = session.get_one(Connection, connection_id), app.now()
        own = list_rows(session, connection_id, currency)
        waiting, before = waiting_row(own, now), row_in_use(own, now)
        if waiting is None and before is None:
            raise NotFound(f"{connection.name} has no account for {currency}.")
        if waiting is not None:
            waiting.cancelled_at, waiting.decided_by = now, by
        row = BankDetailsRow(connection_id=connection_id, currency=currency, set_by=by, set_at=now, applies_at=now)
        named = as_details(before or waiting or row).masked_account
        text = f"{by or 'Someone'} removed the account {named} for payments in {currency} to {connection.name}."
        _store(app, session, connection, row, text)


def confirm_bank_details(app: AppContext, connection_id: int, row_id: int, *, by: str) -> None:
    """Use a waiting account at once: somebody else than who entered it has checked it.

    Raises:
        NotFound: it does not wait.
        NotPossible: the same person entered it, or nobody who signs in here did: a person can be behind several tokens.

    """
    with writing(app.engine) as session:
        connection, row = _get_waiting(app, session, connection_id, row_id)
        if row.set_by == by:
            raise NotPossible("Whoever entered an account cannot confirm it: another owner has to.")
        if session.scalars(select(col(User.id)).where(col(User.email) == row.set_by)).first() is None:
            raise NotPossible(
                f"This account was entered by {row.set_by or 'someone'}, not by a signed-in user: it waits."
            )
        row.applies_at, row.decided_by = app.now(), by
        text = f"{by} confirmed the account {as_details(row).masked_account} for payments in {row.currency} to"
        _log(app, session, connection, row, f"{text} {connection.name}; it is used from now on.")
        bank_details_alert.plan(app, session, connection, row, BankDetailsEvent.CONFIRMED)
        connection.next_run_at = app.now()


def cancel_bank_details(app: AppContext, connection_id: int, row_id: int, *, by: str) -> None:
    """Cancel a waiting account; the one in use stays. Raises ``NotFound`` where it does not wait."""
    with writing(app.engine) as session:
        connection, row = _get_waiting(app, session, connection_id, row_id)
        row.cancelled_at, row.decided_by = app.now(), by
        text = f"{by or 'Someone'} cancelled the account {as_details(row).masked_account} for payments in"
        _log(app, session, connection, row, f"{text} {row.currency} to {connection.name} before it was used.")
        bank_details_alert.plan(app, session, connection, row, BankDetailsEvent.CANCELLED)
        connection.next_run_at = app.now()


def find_details(session: Session, connection_id: int, row_id: int, now: datetime) -> BankDetails:
    """Return an account that is in use or waits. Raises ``NotFound``."""
    for row, _state in _current_rows(session, connection_id, now):
        if row.id == row_id:
            return as_details(row)
    raise NotFound


def newest_id(session: Session, connection_id: int) -> int:
    """Return the id of what was entered last, 0 for nothing: a form is about what its reader saw."""
    return max((row.id or 0 for row in list_rows(session, connection_id)), default=0)


def _refuse_waiting(own: list[BankDetailsRow], now: datetime) -> None:
    waiting = waiting_row(own, now)
    if waiting is not None:
        raise NotPossible(f"The account {as_details(waiting).masked_account} is waiting already. Cancel it first.")


def _get_waiting(
    app: AppContext, session: Session, connection_id: int, row_id: int
) -> tuple[Connection, BankDetailsRow]:
    row = session.get(BankDetailsRow, row_id)
    if row is None or row.connection_id != connection_id:
        raise NotFound("There is no such account. List them: duewell bank-details")
    if waiting_row(list_rows(session, connection_id, row.currency), app.now()) is not row:
        raise NotFound("This account does not wait any more.")
    return session.get_one(Connection, connection_id), row


def _store(app: AppContext, session: Session, connection: Connection, row: BankDetailsRow, text: str) -> None:
    """Store a row with its line in the log and the emails to all owners, which the next sync sends: now."""
    session.add(row)
    session.flush()
    _log(app, session, connection, row, text)
    bank_details_alert.plan(app, session, connection, row)
    connection.next_run_at = app.now()


def _log(app: AppContext, session: Session, connection: Connection, row: BankDetailsRow, text: str) -> None:
    facts = {"bank_details": row.id, "currency": row.currency, "account": as_details(row).masked_account}
    sync_log.write(
        session, at=app.now(), kind=LogKind.BANK_DETAILS, text=text, connection_id=connection.id, facts=facts
    )
