"""Payments that brought no money: they were deposited to an account of bad debts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from providers.calls import CallKind
from providers.errors import PermanentError
from providers.quickbooks import queries
from providers.quickbooks.client import Client
from providers.quickbooks.schemas import ItemOrAccount, Payment, QueryReply

_EXPENSE = "Expense"
_BAD_DEBTS = re.compile(r"bad.?debt|writ(?:e|ten).?off|doubtful|uncollect|irrecoverable", re.IGNORECASE)
# What a bank or a payment service kept of a payment was paid by the customer all the same.
_FEES = re.compile(r"\b(?:fees?|charges?|commissions?|merchant|stripe|paypal|square)\b", re.IGNORECASE)


def find_write_offs(client: Client, payments: Iterable[Payment], known: dict[str, bool]) -> list[str]:
    """Return the ids of the payments that are write-offs.

    ``known`` holds whether an account is one of bad debts, by its id; those that are new are looked up and added.
    """
    deposited_to = {
        one.id: one.deposit_to_account_ref.value for one in payments if one.total_amt and one.deposit_to_account_ref
    }
    new = sorted(set(deposited_to.values()) - known.keys())
    if new:
        known.update(dict.fromkeys(new, False))
        known.update({each.id: _is_write_off(each) for each in read_accounts(client, new)})
    return [payment for payment, account in deposited_to.items() if known[account]]


def read_accounts(client: Client, account_ids: Iterable[str]) -> list[ItemOrAccount]:
    """Return these accounts; none where QuickBooks rejects the question."""
    found: list[ItemOrAccount] = []
    for ids in queries.chunks(account_ids):
        try:
            body = client.query(queries.select("Account", queries.is_in("Id", ids)))
        except PermanentError:
            continue
        found += queries.decode_reply(body, QueryReply, CallKind.READ).query_response.account
    return found


def _is_write_off(account: ItemOrAccount) -> bool:
    name = account.name or ""
    is_expense = account.classification == _EXPENSE and not _FEES.search(name)
    return is_expense or bool(_BAD_DEBTS.search(name))
