"""Chooses the account that late fees are booked on, from the organisation's own chart, and lists what else there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from providers.errors import PermanentError
from providers.ledger import FeePostingOption
from providers.xero.reply_schemas import Account, BrandingTheme, TaxRate

_FEE_ACCOUNT_NAMES = ("late fee", "late payment", "interest income", "interest received")
_AUSTRALIAN_NO_TAX = "BASEXCLUDED"  # Australia has no "NONE": it would be refused there


class FeeAccount(NamedTuple):
    """An account and the tax type that adds no tax to a fee: a fee is money for being late, not for goods."""

    code: str
    tax_type: str


def choose_fee_account(accounts: Iterable[Account]) -> FeeAccount:
    """Take the one named for it, else other income, else revenue, else sales; by code among equals."""
    known = list(accounts)
    usable = _usable_accounts(known)
    if not usable:
        message = "Xero has no active revenue account that a late fee could be booked on; nothing was sent"
        raise PermanentError(message, code="account")
    best = min(usable, key=_rank)
    australian = any(one.tax == _AUSTRALIAN_NO_TAX for one in known)
    return FeeAccount(best.code or "", _AUSTRALIAN_NO_TAX if australian else "NONE")


def list_fee_posting_options(
    accounts: Iterable[Account], rates: Iterable[TaxRate], themes: Iterable[BrandingTheme]
) -> list[FeePostingOption]:
    """List accounts, tax rates and branding themes that a fee can have, each part's default with its reason."""
    known = list(accounts)
    default = choose_fee_account(known)
    why_account = "named for it, else other income, else revenue: the first of these there is"
    found = [
        FeePostingOption(
            "account", one.code or "", f"{one.code} {one.name}", why_account if one.code == default.code else ""
        )
        for one in sorted(_usable_accounts(known), key=_rank)
    ]
    for rate in rates:
        if rate.status in {None, "ACTIVE"} and rate.on_revenue is not False:
            reason = "a fee is money for being late, not for goods" if rate.type == default.tax_type else ""
            found.append(FeePostingOption("tax", rate.type, rate.name, reason))
    found.append(FeePostingOption("theme", "", "that of the invoice which is late", "so that the customer knows it"))
    return [*found, *(FeePostingOption("theme", theme.id, theme.name) for theme in themes)]


def _usable_accounts(accounts: Iterable[Account]) -> list[Account]:
    return [one for one in accounts if one.code and one.group == "REVENUE" and one.status in {None, "ACTIVE"}]


def _rank(account: Account) -> tuple[int, int, str]:
    name = (account.name or "").lower()
    named = next((at for at, words in enumerate(_FEE_ACCOUNT_NAMES) if words in name), len(_FEE_ACCOUNT_NAMES))
    kinds = ("OTHERINCOME", "REVENUE", "SALES")
    kind = kinds.index(account.type) if account.type in kinds else len(kinds)
    return named, kind, account.code or ""
