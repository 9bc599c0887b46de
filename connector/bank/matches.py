"""The stored matches: made equal to what matching finds, ended when the ledger shows the payment, decided by people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.bank.facts import LedgerPayment, Match, Share
from connector.bank.load_facts import build_receipt, is_standing, load_facts
from connector.bank.matching import match_receipts
from connector.db.invoice_names import titles_of
from connector.db.money import from_e4, to_e4
from connector.db.tables import BankFile, BankMatch, BankReceipt, Connection, CreditRow, PaymentRow
from connector.vocabulary import LineStatus, LogKind, MatchCertainty, MatchState, ReceiptState
from policies.formatting import format_amount, format_date

ACTIVE = (MatchState.OPEN, MatchState.CONFIRMED)
_UNDECIDED = (ReceiptState.UNMATCHED, ReceiptState.MATCHED)


class FileCounts(NamedTuple):
    """How much of the money in a file is surely, probably and not for an invoice."""

    sure: int
    probable: int
    unmatched: int


def refresh(session: Session, connection: Connection, *, at: datetime, run_id: int | None = None) -> int:
    """Match all money again that nothing has settled yet, and return how many matches changed.

    What was decided by a person stays. Money whose payment the ledger shows is done; where that payment is gone again,
    it is matched again.
    """
    connection_id = connection.id or 0
    _reopen_lost(session, connection_id)
    query = select(BankReceipt).where(
        col(BankReceipt.connection_id) == connection_id,
        col(BankReceipt.state).in_(_UNDECIDED),
        col(BankReceipt.status) != LineStatus.REVERSAL,
    )
    rows = list(session.scalars(query.order_by(col(BankReceipt.id))))
    if not rows:
        return 0
    writer = _Writer(session, connection_id, at, run_id)
    facts = load_facts(session, connection_id, rows)
    by_receipt = writer.load_matches()
    decided = {row.id for row in rows if any(each.state == MatchState.CONFIRMED for each in by_receipt[row.id or 0])}
    result = match_receipts([build_receipt(row) for row in rows], facts)
    found = {each.receipt_id: each for each in result.matches if each.receipt_id not in decided}
    payments = {each.id: each for each in facts.payments}
    open_ids = {each.id for each in facts.invoices}
    for row in rows:
        known = by_receipt[row.id or 0]
        if (ids := result.in_ledger.get(row.id or 0)) is not None:
            payment = payments.get(ids.split(",")[0]) if row.id in result.recognised else None
            writer.mark_in_ledger(row, known, ids, payment)
        elif row.id in decided and not any(each.invoice_id in open_ids for each in known if each.state in ACTIVE):
            writer.mark_in_ledger(row, known, "", None)  # paid by whatever the ledger calls it
        elif row.id not in decided:
            writer.store(row, known, found.get(row.id or 0))
    if writer.changes:
        connection.mirror_version += 1  # forecasts and decisions depend on it
    return writer.changes


def has_receipts(session: Session, connection_id: int) -> bool:
    """Return whether any statement of a company was ever imported."""
    query = select(col(BankReceipt.id)).where(col(BankReceipt.connection_id) == connection_id).limit(1)
    return session.scalar(query) is not None


def reverse(session: Session, receipt: BankReceipt, *, on: date, at: datetime) -> None:
    """Record that the bank took money back: nothing is held for it any more."""
    receipt.state = ReceiptState.REVERSED
    writer = _Writer(session, receipt.connection_id, at, None)
    session.get_one(Connection, receipt.connection_id).mirror_version += 1
    for row in list_of_receipt(session, receipt):
        if row.state in ACTIVE:
            row.state, row.changed_at = MatchState.ENDED, at
            text = f"{describe(receipt)} was taken back by the bank on {format_date(on)}: nothing is held for it."
            writer.log(row, text)


def list_of_receipt(session: Session, receipt: BankReceipt) -> list[BankMatch]:
    """Return all matches of money, whatever became of them."""
    query = select(BankMatch).where(
        col(BankMatch.connection_id) == receipt.connection_id, col(BankMatch.receipt_id) == receipt.id
    )
    return list(session.scalars(query.order_by(col(BankMatch.id))))


def describe(receipt: BankReceipt) -> str:
    """Return how people call money that came in: 900.00 GBP from Ashdown of 9 Jun 2026."""
    payer = f" from {receipt.payer}" if receipt.payer else ""
    amount = format_amount(from_e4(receipt.amount_e4), receipt.currency)
    return f"{amount}{payer} of {format_date(receipt.booked_on)}"


def count_of_file(session: Session, row: BankFile) -> FileCounts:
    """Return how the money in a file is matched, that of earlier files included that it repeats."""
    of_file = select(col(BankReceipt.id)).where(
        col(BankReceipt.connection_id) == row.connection_id, col(BankReceipt.file_id) == row.id
    )
    query = (
        select(col(BankMatch.certainty), func.count(func.distinct(col(BankMatch.receipt_id))))
        .where(
            col(BankMatch.connection_id) == row.connection_id,
            col(BankMatch.receipt_id).in_(of_file),
            col(BankMatch.state).in_(ACTIVE),
        )
        .group_by(col(BankMatch.certainty))
    )
    counts = {str(certainty): count for certainty, count in session.execute(query)}
    unmatched = session.scalar(
        select(func.count())
        .select_from(BankReceipt)
        .where(
            col(BankReceipt.connection_id) == row.connection_id,
            col(BankReceipt.file_id) == row.id,
            col(BankReceipt.state) == ReceiptState.UNMATCHED,
        )
    )
    return FileCounts(counts.get(MatchCertainty.SURE, 0), counts.get(MatchCertainty.PROBABLE, 0), unmatched or 0)


def _reopen_lost(session: Session, connection_id: int) -> None:
    """Match money again whose payment in the ledger was deleted."""
    rows = session.scalars(
        select(BankReceipt).where(
            col(BankReceipt.connection_id) == connection_id,
            col(BankReceipt.state) == ReceiptState.IN_LEDGER,
            col(BankReceipt.ledger_payment) != "",
        )
    ).all()
    if not rows:
        return
    payments = select(col(PaymentRow.external_id)).where(col(PaymentRow.connection_id) == connection_id, is_standing())
    known = set(session.scalars(payments))
    known |= {
        f"{kind}:{external_id}"
        for kind, external_id in session.execute(
            select(col(CreditRow.kind), col(CreditRow.external_id)).where(col(CreditRow.connection_id) == connection_id)
        )
    }
    for row in rows:
        if not known.issuperset(row.ledger_payment.split(",")):
            row.state, row.ledger_payment = ReceiptState.UNMATCHED, ""


class _Writer:
    """Writes matches and what the sync log says about them."""

    def __init__(self, session: Session, connection_id: int, at: datetime, run_id: int | None) -> None:
        self._session = session
        self._connection_id = connection_id
        self._at = at
        self._run_id = run_id
        self._titles: dict[str, str] = {}
        self.changes = 0

    def load_matches(self) -> defaultdict[int, list[BankMatch]]:
        found: defaultdict[int, list[BankMatch]] = defaultdict(list)
        query = select(BankMatch).where(col(BankMatch.connection_id) == self._connection_id)
        for each in self._session.scalars(query.order_by(col(BankMatch.id))):
            found[each.receipt_id].append(each)
        return found

    def store(self, receipt: BankReceipt, known: Sequence[BankMatch], match: Match | None) -> None:
        """Make the stored matches of one receipt equal to what was found."""
        shares = match.shares if match is not None else ()
        wanted = {each.invoice_id for each in shares}
        for row in known:
            if row.state == MatchState.OPEN and row.invoice_id not in wanted:
                row.state, row.changed_at = MatchState.ENDED, self._at
                self.changes += 1
                if row.certainty == MatchCertainty.SURE:
                    self.log(row, f"{describe(receipt)} no longer fits {self._title(row.invoice_id)}.")
        by_invoice = {each.invoice_id: each for each in known}
        for share in shares:
            if match is not None:
                self._store_share(receipt, match, share, by_invoice.get(share.invoice_id))
        receipt.customer_id = next((each.customer_id for each in shares), "")
        receipt.state = ReceiptState.MATCHED if shares else ReceiptState.UNMATCHED

    def _store_share(self, receipt: BankReceipt, match: Match, share: Share, known: BankMatch | None) -> None:
        values: dict[str, Any] = {
            "customer_id": share.customer_id,
            "amount_e4": to_e4(share.amount),
            "settles": share.settles,
            "certainty": match.certainty,
            "score": match.score,
            "parts": [list(each) for each in match.parts],
            "received_on": receipt.booked_on,
            "payer": receipt.payer,
            "state": MatchState.OPEN,
        }
        was_sure = known is not None and known.state == MatchState.OPEN and known.certainty == MatchCertainty.SURE
        row = known or BankMatch(
            connection_id=self._connection_id,
            receipt_id=receipt.id or 0,
            invoice_id=share.invoice_id,
            currency=receipt.currency,
            created_at=self._at,
            changed_at=self._at,
            **values,
        )
        if known is None:
            self._session.add(row)
        elif not any(_differs(getattr(row, name), value) for name, value in values.items()):
            return
        for name, value in values.items():
            setattr(row, name, value)
        row.changed_at = self._at
        self.changes += 1
        if match.certainty is MatchCertainty.SURE and not was_sure:
            text = f"{describe(receipt)} is in the bank and not booked: it pays {self._title(share.invoice_id)}."
            self.log(row, text)

    def mark_in_ledger(
        self, receipt: BankReceipt, known: Iterable[BankMatch], ids: str, payment: LedgerPayment | None
    ) -> None:
        """Record that the ledger shows the payment: whatever was held for it is free."""
        receipt.state, receipt.ledger_payment = ReceiptState.IN_LEDGER, ids
        receipt.customer_id = payment.family if payment is not None else receipt.customer_id
        self.changes += 1
        for row in known:
            if row.state in ACTIVE:
                row.state, row.changed_at = MatchState.IN_LEDGER, self._at
                self.log(row, f"{describe(receipt)} is in the accounting system now.")

    def log(self, row: BankMatch, text: str) -> None:
        sync_log.write(
            self._session,
            at=self._at,
            kind=LogKind.BANK_MATCH,
            text=text,
            connection_id=self._connection_id,
            run_id=self._run_id,
            customer_id=row.customer_id,
            invoice_id=row.invoice_id,
            facts={"receipt": row.receipt_id, "score": row.score},
        )

    def _title(self, invoice_id: str) -> str:
        if invoice_id not in self._titles:
            self._titles |= titles_of(self._session, self._connection_id, [invoice_id])
        return self._titles.get(invoice_id, "an invoice")


def _differs(stored: object, value: object) -> bool:
    if isinstance(stored, list):
        return [list(each) for each in stored] != value
    return stored != value
