"""Writes what matching found: the stored matches of each receipt, and what the sync log says about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.bank.facts import LedgerPayment, Match, Share
from connector.db.batches import batched_ids
from connector.db.invoice_names import titles_of
from connector.db.money import from_e4, to_e4
from connector.db.tables import BankMatch, BankReceipt
from connector.vocabulary import LogKind, MatchCertainty, MatchState, ReceiptState
from policies.formatting import format_amount, format_date

ACTIVE = (MatchState.OPEN, MatchState.CONFIRMED)


def describe(receipt: BankReceipt) -> str:
    """Return how people call money that came in: 900.00 GBP from Ashdown of 9 Jun 2026."""
    payer = f" from {receipt.payer}" if receipt.payer else ""
    amount = format_amount(from_e4(receipt.amount_e4), receipt.currency)
    return f"{amount}{payer} of {format_date(receipt.booked_on)}"


class MatchWriter:
    """Writes matches and what the sync log says about them."""

    def __init__(self, session: Session, connection_id: int, at: datetime, run_id: int | None) -> None:
        """Build for one company; ``run_id`` is the sync whose log entries these are, if any."""
        self._session = session
        self._connection_id = connection_id
        self._at = at
        self._run_id = run_id
        self._titles: dict[str, str] = {}
        self.changes = 0

    def load_matches(self, receipts: Iterable[BankReceipt]) -> defaultdict[int, list[BankMatch]]:
        """Return all matches of these receipts, whatever became of them."""
        found: defaultdict[int, list[BankMatch]] = defaultdict(list)
        for ids in batched_ids(each.id or 0 for each in receipts):
            query = select(BankMatch).where(
                col(BankMatch.connection_id) == self._connection_id, col(BankMatch.receipt_id).in_(ids)
            )
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

    def end_confirmed(self, receipt: BankReceipt, known: Iterable[BankMatch]) -> None:
        """Record that confirmed invoices were closed by something else: their money is for others, or for none."""
        receipt.state, receipt.customer_id = ReceiptState.UNMATCHED, ""
        for row in known:
            row.state, row.changed_at = MatchState.ENDED, self._at
            self.changes += 1
            title = self._title(row.invoice_id)
            self.log(row, f"{title} was closed, and not by {describe(receipt)}: this money is matched again.")

    def log(self, row: BankMatch, text: str) -> None:
        """Write an entry of the sync log about a match."""
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
