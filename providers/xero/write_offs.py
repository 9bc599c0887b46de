"""Payments that brought no money: they were booked to an account of expenses, such as bad debts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from providers.calls import CallKind
from providers.errors import AuthorizationExpired, PermanentError
from providers.xero.client import Client
from providers.xero.mapping import decode_envelope
from providers.xero.reply_schemas import Account, Accounts
from providers.xero.schemas import PaidPayment

_NO_MONEY_CLASSES = frozenset({"EXPENSE", "REVENUE"})
# What a bank or a payment service kept of a payment was paid by the customer all the same.
_FEES = re.compile(r"\b(?:fees?|charges?|commissions?|merchant|stripe|paypal|gocardless|square)\b", re.IGNORECASE)
_decode_payment = msgspec.json.Decoder(PaidPayment, strict=False).decode


def find_write_offs(client: Client, body: bytes, known: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the payments of a reply that are write-offs, and the ids of all accounts known to take money.

    The chart of accounts is read only where a payment was made to an account that is not ``known`` to take money.
    """
    paid_to = _accounts_by_payment(body)
    if set(paid_to.values()) <= set(known):
        return [], list(known)
    try:
        accounts: list[Account] = client.decode(Accounts, client.read("get_accounts"), CallKind.READ).accounts
    except (AuthorizationExpired, PermanentError):  # the payments were just read: only a scope can be missing
        return [], list(known)
    write_off_accounts = {one.id for one in accounts if _is_write_off(one)}
    money_accounts = sorted({each for each in paid_to.values() if each not in write_off_accounts} | set(known))
    return [one for one, account in paid_to.items() if account in write_off_accounts], money_accounts


def _accounts_by_payment(body: bytes) -> dict[str, str]:
    """Return the id of the account of each payment; one that cannot be read has been set aside with its page."""
    found: dict[str, str] = {}
    for raw in decode_envelope(body).payments or ():
        try:
            payment = _decode_payment(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if payment.account is not None and payment.account.id:
            found[payment.id] = payment.account.id
    return found


def _is_write_off(account: Account) -> bool:
    return account.group in _NO_MONEY_CLASSES and not _FEES.search(account.name or "")
