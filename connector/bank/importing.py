"""Importing a bank statement: read the whole file first, then store it in one transaction, or nothing of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import delete, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import review_tasks
from connector.audit import sync_log
from connector.bank import matches
from connector.bank.formats.bank_line import BankLine, StatementError, StatementFile
from connector.bank.formats.csv_mapping import CsvMapping
from connector.bank.formats.readers import ReadStatement, find_table, read_statement
from connector.bank.formats.values import clean, is_plausible
from connector.bank.known_lines import KnownLine, KnownLines, Span
from connector.bank.lost_payments import describe_owner
from connector.bank.match_writer import describe
from connector.bank.stored_lines import known_line, load_known
from connector.db.engine import reading, writing
from connector.db.invoice_names import titles_of
from connector.db.money import MoneyError, to_e4
from connector.db.tables import BankCsvMapping, BankFile, BankMatch, BankReceipt, Connection, CustomerRow
from connector.geo import today_in
from connector.results import Result
from connector.vocabulary import LineStatus, LogKind, ReceiptState, StatementFormat, TaskCode
from policies.formatting import format_date


class ImportResult(Result):
    """What an import has brought: entries, of them money that came in, of that what is new, and how much is matched."""

    file: int
    name: str
    format: StatementFormat
    entries: int
    received: int
    new: int
    sure: int
    probable: int
    unmatched: int
    first_on: date | None
    last_on: date | None
    warnings: list[str]
    known: bool = False  # this very file was imported before


@dataclass(slots=True)
class _Counts:
    new: int = 0
    received: int = 0


def import_statement(
    app: AppContext, connection_id: int, content: bytes, *, name: str, by: str, mapping: CsvMapping | None = None
) -> ImportResult:
    """Import a file.

    Args:
        app: the installation.
        connection_id: the company whose bank account it is.
        content: the file.
        name: what it is called, for people.
        by: who imports it.
        mapping: how the columns of a CSV file are to be understood, as far as a person has said so.

    Raises:
        CsvQuestion: something about a CSV file has to be asked.
        StatementError: the file cannot be read; nothing of it was stored.

    """
    digest = hashlib.sha256(content).hexdigest()
    with reading(app.engine) as session:
        connection = session.get_one(Connection, connection_id)
        today, currency = today_in(connection.time_zone, app.now()), connection.base_currency
        table = find_table(content)
        kept = session.get(BankCsvMapping, (connection_id, table.signature)) if table is not None else None
    known_mapping = CsvMapping.from_json(kept.mapping) if kept is not None and mapping is None else mapping
    read = read_statement(content, currency=currency, mapping=known_mapping, today=today)
    _check(read.file, today)
    with writing(app.engine) as session:
        connection = session.get_one(Connection, connection_id)
        known = session.scalar(
            select(BankFile).where(col(BankFile.connection_id) == connection_id, col(BankFile.sha256) == digest)
        )
        if known is not None:
            return _result(session, known, is_known=True)
        row = _store_file(session, connection, read.file, digest, clean(name, 200), by=by, at=app.now())
        _store_lines(app, session, row, read.file)
        _keep_mapping(session, connection_id, read, by=by, at=app.now())
        matches.refresh(session, connection, at=app.now())
        result = _result(session, row)
        _log(session, row, result, by=by, at=app.now())
        return result


def _check(file: StatementFile, today: date) -> None:
    for line in file.lines:
        if not is_plausible(line.booked_on, today):
            raise StatementError(f"{line.booked_on} cannot be the date of a booking.", line.line)
        for amount in (line.amount, line.charges, line.batch_amount):
            try:
                to_e4(amount or Decimal(0))
            except MoneyError:
                raise StatementError(f"{amount} is not an amount of money.", line.line) from None


def _store_file(
    session: Session, connection: Connection, file: StatementFile, digest: str, name: str, *, by: str, at: datetime
) -> BankFile:
    days = [line.booked_on for line in file.lines]
    row = BankFile(
        connection_id=connection.id or 0,
        name=name,
        format=file.format,
        sha256=digest,
        line_count=len(file.lines),
        first_on=min(days, default=None),
        last_on=max(days, default=None),
        warnings="\n".join(file.warnings),
        imported_at=at,
        imported_by=by,
    )
    session.add(row)
    session.flush()
    return row


def _store_lines(app: AppContext, session: Session, row: BankFile, file: StatementFile) -> None:
    """Store the money that came in and that no earlier file has; then what took some of it back."""
    if row.first_on is None or row.last_on is None:
        return
    span = Span(row.first_on, row.last_on)
    known = KnownLines(load_known(session, row.connection_id, span, file))
    counts = _Counts()
    replaced: set[int] = set()
    came = [line for line in file.lines if line.amount > 0 and line.status is not LineStatus.REVERSAL]
    fresh: list[BankReceipt] = []
    for line in came:
        counts.received += 1
        same = known.recognise(line, file.format, span)
        if same is not None:
            _confirm_pending(session, same, line)
            continue
        if known.has_parts_of(line):
            continue
        if (whole := known.whole_of(line)) is not None:
            replaced.add(whole.id)
        fresh.append(_build_receipt(row, line, file.format, app.now()))
    session.add_all(fresh)
    session.flush()
    for receipt in fresh:
        known.add(known_line(receipt, span))
    counts.new = len(fresh)
    if replaced:
        of_replaced = col(BankMatch.connection_id) == row.connection_id, col(BankMatch.receipt_id).in_(replaced)
        session.execute(delete(BankMatch).where(*of_replaced))
        session.execute(delete(BankReceipt).where(col(BankReceipt.id).in_(replaced)))
        known.forget(replaced)
    for line in file.lines:
        if line.amount < 0 and line.status is LineStatus.REVERSAL:
            _store_reversal(app, session, row, line, file.format, known, span)
    row.received_count, row.new_count = counts.received, counts.new


def _store_reversal(
    app: AppContext,
    session: Session,
    row: BankFile,
    line: BankLine,
    file_format: StatementFormat,
    known: KnownLines,
    span: Span,
) -> None:
    if known.recognise(line, file_format, span) is not None:
        return
    reversed_line = known.find_reversed(line)
    receipt = _build_receipt(row, replace(line, payer="", text="", payer_account=""), file_format, app.now())
    receipt.state = ReceiptState.REVERSED
    session.add(receipt)
    if reversed_line is not None:
        reversed_receipt = session.get_one(BankReceipt, reversed_line.id)
        if reversed_receipt.state == ReceiptState.IN_LEDGER:
            _ask_to_reverse(app, session, reversed_receipt, line.booked_on)
        matches.reverse(session, reversed_receipt, on=line.booked_on, at=app.now())


def _ask_to_reverse(app: AppContext, session: Session, receipt: BankReceipt, on: date) -> None:
    """Create a task: the ledger shows a payment as received that the bank has taken back."""
    customer_id, invoice_ids = describe_owner(session, receipt)
    customer = session.get(CustomerRow, (receipt.connection_id, customer_id))
    if customer is not None:
        titles = titles_of(session, receipt.connection_id, invoice_ids)
        paid = f" of {', '.join(sorted(titles.values()))}" if titles else ""
        review_tasks.create_review_task(
            app,
            session,
            customer,
            code=TaskCode.PAYMENT_TAKEN_BACK,
            recurrence_key=f"bank {receipt.id}",
            reason=f"{describe(receipt)} was taken back by the bank on {format_date(on)}, and the accounting"
            f" system still shows the payment{paid}: remove it there. Until then its invoices count as paid.",
        )


def _confirm_pending(session: Session, known: KnownLine, line: BankLine) -> None:
    if known.status is not LineStatus.PENDING or line.status is not LineStatus.BOOKED:
        return
    receipt = session.get_one(BankReceipt, known.id)
    receipt.status, receipt.booked_on, receipt.value_on = LineStatus.BOOKED, line.booked_on, line.value_on
    receipt.bank_reference = line.bank_reference or receipt.bank_reference


def _build_receipt(row: BankFile, line: BankLine, file_format: StatementFormat, at: datetime) -> BankReceipt:
    return BankReceipt(
        connection_id=row.connection_id,
        file_id=row.id or 0,
        format=file_format,
        line=line.line,
        account=line.account,
        currency=line.currency,
        amount_e4=to_e4(line.amount),
        charges_e4=to_e4(line.charges),
        batch_e4=None if line.batch_amount is None else to_e4(line.batch_amount),
        is_batch=line.batch,
        booked_on=line.booked_on,
        value_on=line.value_on,
        status=line.status,
        state=ReceiptState.UNMATCHED,
        payer=line.payer,
        payer_account=line.payer_account,
        reference=line.reference,
        text=line.text,
        bank_reference=line.bank_reference,
        seen_at=at,
    )


def _keep_mapping(session: Session, connection_id: int, read: ReadStatement, *, by: str, at: datetime) -> None:
    if read.table is not None and read.mapping is not None:
        session.merge(
            BankCsvMapping(
                connection_id=connection_id,
                signature=read.table.signature,
                mapping=read.mapping.to_json(),
                set_by=by,
                set_at=at,
            )
        )


def _result(session: Session, row: BankFile, *, is_known: bool = False) -> ImportResult:
    counts = matches.count_of_file(session, row)
    return ImportResult(
        file=row.id or 0,
        name=row.name,
        format=StatementFormat(row.format),
        entries=row.line_count,
        received=row.received_count,
        new=row.new_count,
        sure=counts.sure,
        probable=counts.probable,
        unmatched=counts.unmatched,
        first_on=row.first_on,
        last_on=row.last_on,
        warnings=row.warnings.splitlines(),
        known=is_known,
    )


def _log(session: Session, row: BankFile, result: ImportResult, *, by: str, at: datetime) -> None:
    text = (
        f"{by} imported the bank statement {row.name}: {result.entries} entries, {result.received} of them money that"
        f" came in, {result.new} new; {result.sure} surely for an invoice, {result.probable} probably."
    )
    facts = {"file": row.id, "new": result.new, "sure": result.sure, "probable": result.probable}
    sync_log.write(
        session, at=at, kind=LogKind.STATEMENT_IMPORTED, text=text, connection_id=row.connection_id, facts=facts
    )
    for warning in result.warnings:
        text = f"Bank statement {row.name}: {warning}"
        sync_log.write(session, at=at, kind=LogKind.WARNING, text=text, connection_id=row.connection_id)
