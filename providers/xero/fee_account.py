"""Chooses the account that late fees are booked on, from the organisation's own chart: always the same one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from providers.errors import Rejected
from providers.xero.replies import Account

_FEE_WORDS = ("late fee", "late payment", "interest income", "interest received")
_AUSTRALIAN_NO_TAX = "BASEXCLUDED"  # Australia has no "NONE": it would be refused there


class FeeAccount(NamedTuple):
    """An account and the tax type that adds no tax to a fee: a fee is money for being late, not for goods."""

    code: str
    tax_type: str


def choose_fee_account(accounts: Iterable[Account]) -> FeeAccount:
    """Take the one named for it, else other income, else revenue, else sales; by code among equals."""
    known = list(accounts)
    usable = [one for one in known if one.code and one.group == "REVENUE" and one.status in {None, "ACTIVE"}]
    if not usable:
        message = "Xero has no active revenue account that a late fee could be booked on; nothing was sent"
        raise Rejected(message, code="account")
    best = min(usable, key=_rank)
    australian = any(one.tax == _AUSTRALIAN_NO_TAX for one in known)
    return FeeAccount(best.code or "", _AUSTRALIAN_NO_TAX if australian else "NONE")


def _rank(account: Account) -> tuple[int, int, str]:
    name = (account.name or "").lower()
    named = next((at for at, words in enumerate(_FEE_WORDS) if words in name), len(_FEE_WORDS))
    kinds = ("OTHERINCOME", "REVENUE", "SALES")
    kind = kinds.index(account.type) if account.type in kinds else len(kinds)
    return named, kind, account.code or ""
