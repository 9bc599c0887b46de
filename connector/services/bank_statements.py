"""Bank statements for people: importing one, what the money on it may be for, and deciding about it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, func, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.bank import deciding
from connector.bank.deciding import MatchDecisionError
from connector.bank.formats.csv_mapping import CsvMapping
from connector.bank.importing import ImportResult, import_statement
from connector.bank.match_writer import ACTIVE
from connector.db.engine import reading, writing
from connector.db.invoice_names import names_of
from connector.db.money import format_e4, from_e4
from connector.db.tables import BankFile, BankMatch, BankReceipt, Connection, CustomerRow, InvoiceRow
from connector.emails.inbound import statement_emails
from connector.errors import NotFound
from connector.results import Amount, Result
from connector.vocabulary import (
    ConnectionHealth,
    LineStatus,
    MatchCertainty,
    MatchState,
    ReceiptState,
    StatementFormat,
)
from policies.formatting import format_amount
from providers.capabilities import BankPageProvider

LIST_MAX = 500
T = TypeVar("T")


class ScorePart(Result):
    """One part of a score: what was found, and its points."""

    text: str
    points: int


class MatchItem(Result):
    """Money in the bank that is or may be for an invoice."""

    id: int
    connection: str
    connection_id: int
    receipt: int
    customer_id: str
    customer: str
    invoice_id: str
    invoice: str
    amount: Amount
    received: Amount  # all that came; ``amount`` is what of it is for this invoice
    currency: str
    received_on: date
    payer: str
    text: str
    certainty: MatchCertainty
    score: int
    parts: list[ScorePart]
    state: MatchState
    decided_by: str


class ReceiptItem(Result):
    """Money in the bank for which no invoice was found."""

    id: int
    connection: str
    connection_id: int
    amount: Amount
    currency: str
    received_on: date
    payer: str
    text: str
    status: LineStatus
    state: ReceiptState


class FileItem(Result):
    """A statement that was imported."""

    id: int
    connection: str
    name: str
    format: StatementFormat
    entries: int
    received: int
    new: int
    first_on: date | None
    last_on: date | None
    imported_at: datetime
    imported_by: str
    warnings: list[str]


class MatchSums(NamedTuple):
    """How many matches stand, sure and probable, and the sums of the sure ones, one for each currency."""

    sure: int
    probable: int
    sure_total: str


class DecidedMatch(Result):
    """A match after a decision."""

    id: int
    state: MatchState
    customer_id: str
    invoice_id: str


def import_file(
    app: AppContext, connection_id: int, content: bytes, *, name: str, by: str, mapping: CsvMapping | None = None
) -> ImportResult:
    """Import a statement, and have the next sync hold what its money pays. Raises ``StatementError``."""
    result = import_statement(app, connection_id, content, name=name, by=by, mapping=mapping)
    with writing(app.engine) as session:
        _sync_soon(session, connection_id, app.now())
    return result


def list_matches(
    session: Session,
    connection_ids: Collection[int],
    *,
    include_closed: bool = False,
    is_sure: bool | None = None,
    limit: int = LIST_MAX,
) -> list[MatchItem]:
    """List the matches that stand, the sure ones last: what is probable needs a person.

    ``is_sure`` chooses those that hold reminders, or those that do not.
    """
    states = tuple(MatchState) if include_closed else ACTIVE
    query = (
        select(BankMatch, BankReceipt, col(Connection.short_name))
        .join(BankReceipt, col(BankReceipt.id) == col(BankMatch.receipt_id))
        .join(Connection, col(Connection.id) == col(BankMatch.connection_id))
        .where(col(BankMatch.connection_id).in_(list(connection_ids)), col(BankMatch.state).in_(states))
        .where(*([] if is_sure is None else [_is_sure() if is_sure else ~_is_sure()]))
        .order_by(col(BankMatch.certainty), col(BankMatch.received_on).desc(), col(BankMatch.id))
        .limit(limit)
    )
    rows = [(each[0], each[1], each[2]) for each in session.execute(query)]
    names = _names(session, rows)
    return [
        MatchItem(
            id=match.id or 0,
            connection=short_name,
            connection_id=match.connection_id,
            receipt=match.receipt_id,
            customer_id=match.customer_id,
            customer=names.get((match.connection_id, match.customer_id), ""),
            invoice_id=match.invoice_id,
            invoice=names.get((match.connection_id, f"invoice {match.invoice_id}"), ""),
            amount=format_e4(match.amount_e4, match.currency),
            received=format_e4(receipt.amount_e4, match.currency),
            currency=match.currency,
            received_on=match.received_on,
            payer=match.payer,
            text=receipt.text,
            certainty=MatchCertainty(match.certainty),
            score=match.score,
            parts=[ScorePart(text=text, points=points) for text, points in match.parts],
            state=MatchState(match.state),
            decided_by=match.decided_by,
        )
        for match, receipt, short_name in rows
    ]


def summarise_matches(session: Session, connection_ids: Collection[int]) -> MatchSums:
    """Return how many matches stand, and the sums of those that hold reminders, however many a list shows."""
    is_sure_match = _is_sure().label("is_sure")  # named: to PostgreSQL, its values make each repetition another one
    query = (
        select(is_sure_match, col(BankMatch.currency), func.count(), func.sum(col(BankMatch.amount_e4)))
        .where(col(BankMatch.connection_id).in_(list(connection_ids)), col(BankMatch.state).in_(ACTIVE))
        .group_by(is_sure_match, col(BankMatch.currency))
        .order_by(col(BankMatch.currency))
    )
    sure, probable, sums = 0, 0, list[str]()
    for is_sure, currency, count, amount_e4 in session.execute(query):
        if is_sure:
            sure += count
            sums.append(format_amount(from_e4(int(amount_e4)), currency))
        else:
            probable += count
    return MatchSums(sure, probable, ", ".join(sums))


def _is_sure() -> ColumnElement[bool]:
    return or_(col(BankMatch.certainty) == MatchCertainty.SURE, col(BankMatch.decided_by) != "")


def list_unmatched(session: Session, connection_ids: Collection[int], *, limit: int = LIST_MAX) -> list[ReceiptItem]:
    """List the money for which no invoice was found, newest first."""
    query = (
        select(BankReceipt, col(Connection.short_name))
        .join(Connection, col(Connection.id) == col(BankReceipt.connection_id))
        .where(
            col(BankReceipt.connection_id).in_(list(connection_ids)),
            col(BankReceipt.state) == ReceiptState.UNMATCHED,
            col(BankReceipt.status) != LineStatus.REVERSAL,
            col(BankReceipt.format) != StatementFormat.LEDGER,  # most are cash sales: nobody has to say so of each
        )
        .order_by(col(BankReceipt.booked_on).desc(), col(BankReceipt.id).desc())
        .limit(limit)
    )
    return [
        ReceiptItem(
            id=row.id or 0,
            connection=short_name,
            connection_id=row.connection_id,
            amount=format_e4(row.amount_e4, row.currency),
            currency=row.currency,
            received_on=row.booked_on,
            payer=row.payer,
            text=row.text,
            status=LineStatus(row.status),
            state=ReceiptState(row.state),
        )
        for row, short_name in session.execute(query)
    ]


def list_files(session: Session, connection_ids: Collection[int], *, limit: int = 20) -> list[FileItem]:
    """List the statements that were imported, the last one first."""
    query = (
        select(BankFile, col(Connection.short_name))
        .join(Connection, col(Connection.id) == col(BankFile.connection_id))
        .where(col(BankFile.connection_id).in_(list(connection_ids)))
        .order_by(col(BankFile.id).desc())
        .limit(limit)
    )
    return [
        FileItem(
            id=row.id or 0,
            connection=short_name,
            name=row.name,
            format=StatementFormat(row.format),
            entries=row.line_count,
            received=row.received_count,
            new=row.new_count,
            first_on=row.first_on,
            last_on=row.last_on,
            imported_at=row.imported_at,
            imported_by=row.imported_by,
            warnings=row.warnings.splitlines(),
        )
        for row, short_name in session.execute(query)
    ]


def confirm_match(app: AppContext, match_id: int, *, by: str) -> DecidedMatch:
    """Confirm that money is for its invoice. Raises ``MatchDecisionError``."""
    return _decide(app, lambda session: deciding.confirm(session, match_id, by=by, at=app.now()))


def reject_match(app: AppContext, match_id: int, *, by: str) -> DecidedMatch:
    """Reject a match. Raises ``MatchDecisionError``."""
    return _decide(app, lambda session: deciding.reject(session, match_id, by=by, at=app.now()))


def assign_receipt(app: AppContext, receipt_id: int, number: str, *, by: str) -> DecidedMatch:
    """Record for which invoice money is, by its number. Raises ``MatchDecisionError``."""

    def decide(session: Session) -> BankMatch:
        receipt = _get_receipt(session, receipt_id)
        query = select(InvoiceRow).where(
            col(InvoiceRow.connection_id) == receipt.connection_id,
            col(InvoiceRow.is_open),
            col(InvoiceRow.number) == number.strip(),
        )
        found = list(session.scalars(query.limit(2)))
        if len(found) != 1:
            what = "There is no open invoice" if not found else "Several open invoices have the number"
            raise MatchDecisionError(f"{what} {number.strip()!r}.")
        return deciding.assign(session, receipt, found[0], by=by, at=app.now())

    return _decide(app, decide)


def set_aside(app: AppContext, receipt_id: int, *, by: str) -> None:
    """Mark money as not a customer's payment. Raises ``MatchDecisionError``."""
    with writing(app.engine) as session:
        receipt = _get_receipt(session, receipt_id)
        deciding.set_aside(session, receipt, by=by, at=app.now())
        _sync_soon(session, receipt.connection_id, app.now())


def connection_of_match(app: AppContext, match_id: int) -> int:
    """Return whose match it is. Raises ``NotFound``."""
    with reading(app.engine) as session:
        return _known(session.get(BankMatch, match_id)).connection_id


def connection_of_receipt(app: AppContext, receipt_id: int) -> int:
    """Return whose money it is. Raises ``NotFound``."""
    with reading(app.engine) as session:
        return _known(session.get(BankReceipt, receipt_id)).connection_id


def bank_page_url(app: AppContext, provider: str) -> str:
    """Return where money is applied to invoices in an accounting system; "" where that is not known."""
    found = app.providers.get(provider)
    return found.bank_page_url if isinstance(found, BankPageProvider) else ""


def statement_address(app: AppContext, connection_id: int) -> str:
    """Return where a bank emails a company's statements to; "" where settings for it are missing."""
    with reading(app.engine) as session:
        return statement_emails.build_address(app, session.get_one(Connection, connection_id))


def describe_import(result: ImportResult) -> list[str]:
    """Return what an import brought, as sentences."""
    if result.known:
        return [f"{result.name} was imported before: nothing was changed."]
    days = f", {result.first_on:%Y-%m-%d} to {result.last_on:%Y-%m-%d}" if result.first_on and result.last_on else ""
    known = result.received - result.new
    entries = "1 entry" if result.entries == 1 else f"{result.entries} entries"
    brought = f"{result.name}: {entries}{days}. {result.received} brought money in, {result.new} new"
    return [
        f"{brought}, {known} known from earlier files." if known else f"{brought}.",
        f"{result.sure} surely for open invoices, {result.probable} probably, {result.unmatched} for none of them.",
        *result.warnings,
    ]


def _decide(app: AppContext, decide: Callable[[Session], BankMatch]) -> DecidedMatch:
    with writing(app.engine) as session:
        row = decide(session)
        session.flush()
        result = DecidedMatch(
            id=row.id or 0, state=MatchState(row.state), customer_id=row.customer_id, invoice_id=row.invoice_id
        )
        _sync_soon(session, row.connection_id, app.now())
    return result


def _sync_soon(session: Session, connection_id: int, at: datetime) -> None:
    """Have the scheduler sync the company: what is planned changes with its decisions."""
    connection = session.get_one(Connection, connection_id)
    if connection.health != ConnectionHealth.DISCONNECTED and not connection.pause_reason:
        connection.next_run_at = at


def _get_receipt(session: Session, receipt_id: int) -> BankReceipt:
    row = session.get(BankReceipt, receipt_id)
    if row is None:
        raise MatchDecisionError(f"There is no money {receipt_id} in the bank. List it: duewell bank unmatched")
    return row


def _known(row: T | None) -> T:
    if row is None:
        raise NotFound
    return row


def _names(session: Session, rows: Sequence[tuple[BankMatch, BankReceipt, str]]) -> dict[tuple[int, str], str]:
    """Return the names of customers and, after ``invoice``, of invoices, by company."""
    found: dict[tuple[int, str], str] = {}
    for connection_id in {match.connection_id for match, _receipt, _name in rows}:
        mine = [match for match, _receipt, _name in rows if match.connection_id == connection_id]
        query = select(col(CustomerRow.external_id), col(CustomerRow.name)).where(
            col(CustomerRow.connection_id) == connection_id,
            col(CustomerRow.external_id).in_({each.customer_id for each in mine}),
        )
        found |= {(connection_id, customer_id): name for customer_id, name in session.execute(query)}
        names = names_of(session, connection_id, [each.invoice_id for each in mine])
        found |= {(connection_id, f"invoice {invoice_id}"): name for invoice_id, name in names.items()}
    return found
