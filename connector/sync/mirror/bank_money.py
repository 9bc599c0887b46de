"""Money on bank statements that some customers' invoices were matched with, and that the ledger does not show yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from connector.db.money import from_e4
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch
from connector.vocabulary import MatchCertainty, MatchState
from policies.receivables import Credit, CreditKind, PossiblePayment


@dataclass(frozen=True, slots=True)
class BankMoney:
    """What surely pays invoices, and what may, by customer."""

    sure: Mapping[str, list[Credit]] = field(default_factory=dict)
    possible: Mapping[str, list[PossiblePayment]] = field(default_factory=dict)

    def credits_of(self, customer_ids: Iterable[str]) -> list[Credit]:
        """Return what surely pays invoices of these customers."""
        return [each for customer_id in customer_ids for each in self.sure.get(customer_id, ())]

    def possible_of(self, customer_ids: Iterable[str]) -> list[PossiblePayment]:
        """Return what may pay invoices of these customers."""
        return [each for customer_id in customer_ids for each in self.possible.get(customer_id, ())]


def load_bank_money(batch: CustomerBatch) -> BankMoney:
    """Load the matches that stand; what a person confirmed is as sure as anything."""
    match = TABLES["bank_match"]
    query = select(match).where(batch.of_customers(match), match.c.state.in_([MatchState.OPEN, MatchState.CONFIRMED]))
    sure: defaultdict[str, list[Credit]] = defaultdict(list)
    possible: defaultdict[str, list[PossiblePayment]] = defaultdict(list)
    for row in batch.session.execute(query.order_by(match.c.received_on, match.c.id)):
        amount, key = from_e4(row.amount_e4), f"bank {row.receipt_id}"
        if row.state == MatchState.CONFIRMED or row.certainty == MatchCertainty.SURE:
            sure[row.customer_id].append(
                Credit(
                    id=key,
                    kind=CreditKind.BANK_RECEIPT,
                    customer_id=row.customer_id,
                    currency=row.currency,
                    remaining=amount,
                    dated_on=row.received_on,
                    invoice_id=row.invoice_id,
                    payer=row.payer,
                    settles=row.settles,
                )
            )
        else:
            possible[row.customer_id].append(
                PossiblePayment(key, row.invoice_id, amount, row.currency, row.received_on, row.payer)
            )
    return BankMoney(sure, possible)
