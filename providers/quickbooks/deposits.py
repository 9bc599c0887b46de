"""Deposits on no payment: money of which the ledger does not say what it pays.

A line that is linked was received as a payment or a sales receipt before. One on accounts receivable is in the
customer's balance. The others were booked to income, say, instead of being matched with an invoice: or nobody owed
them, as with a cash sale. Nothing tells these apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from providers.ledger import DepositRecord
from providers.quickbooks.client import Client
from providers.quickbooks.schemas import Deposit, DepositLine, EntityRef, ItemOrAccount
from providers.quickbooks.write_offs import read_accounts

_CUSTOMER = "CUSTOMER"


class DepositSource(StrEnum):
    """What the account that a deposit was booked from says about the money."""

    RECEIVABLE = "receivable"  # a customer's balance has it
    INCOME = "income"
    OTHER = "other"


def map_deposits(
    client: Client, deposits: Sequence[Deposit], known: dict[str, DepositSource], home_currency: str
) -> Iterator[DepositRecord]:
    """Yield the lines that may be a customer's payment.

    ``known`` holds what accounts say about their money, by id; those that are new are looked up and added.
    """
    lines = ((deposit, place, line) for deposit in deposits for place, line in enumerate(deposit.line))
    possible = [each for each in lines if _may_be_payment(each[2])]
    new = sorted({_account(line) for _deposit, _place, line in possible} - known.keys() - {""})
    if new:
        known.update(dict.fromkeys(new, DepositSource.OTHER))
        known.update({each.id: _source(each) for each in read_accounts(client, new)})
    for deposit, place, line in possible:
        customer = _customer(line)
        source = known.get(_account(line), DepositSource.OTHER)
        if source is DepositSource.RECEIVABLE or (customer is None and source is not DepositSource.INCOME):
            continue
        currency = deposit.currency_ref.value if deposit.currency_ref else home_currency
        texts = dict.fromkeys(filter(None, (line.description, deposit.private_note)))
        yield DepositRecord(
            external_id=deposit.id,
            line=place,
            customer_id=customer.value if customer else "",
            payer=(customer.name or "") if customer else "",
            text=" ".join(texts),
            currency=currency,
            amount=line.amount,
            received_on=deposit.txn_date,
        )


def _may_be_payment(line: DepositLine) -> bool:
    """Return whether the money came in now, and from nobody who is known to be no customer: a vendor, say."""
    detail = line.deposit_line_detail
    is_others = detail is not None and detail.entity is not None and _customer(line) is None
    return line.amount > 0 and not line.linked_txn and not is_others


def _customer(line: DepositLine) -> EntityRef | None:
    entity = line.deposit_line_detail.entity if line.deposit_line_detail else None
    return entity if entity is not None and (entity.type or _CUSTOMER).upper() == _CUSTOMER else None


def _account(line: DepositLine) -> str:
    detail = line.deposit_line_detail
    return detail.account_ref.value if detail is not None and detail.account_ref is not None else ""


def _source(account: ItemOrAccount) -> DepositSource:
    if account.account_type == "Accounts Receivable":
        return DepositSource.RECEIVABLE
    return DepositSource.INCOME if account.classification == "Revenue" else DepositSource.OTHER
