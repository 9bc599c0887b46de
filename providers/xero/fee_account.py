"""Chooses the account that late fees are posted to, from the organisation's own chart, and lists the alternatives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from providers.errors import PermanentError
from providers.ledger import FeePostingOption
from providers.xero.reply_schemas import Account, BrandingTheme, TaxRate

_FEE_ACCOUNT_NAMES = ("late fee", "late payment", "interest income", "interest received")
_AUSTRALIAN_NO_TAX = "BASEXCLUDED"  # Australia has no "NONE": it would be refused there


class FeeAccount(NamedTuple):
    """An account and the tax type that adds no tax: a late fee is compensation, not a supply."""

    code: str
    tax_type: str


def choose_fee_account(accounts: Iterable[Account]) -> FeeAccount:
    """Return an account named for late fees, else other income, else revenue, else sales; the lowest code among equals.

    Raises ``PermanentError`` where the chart has no active revenue account.
    """
    all_accounts = list(accounts)
    usable = _usable_accounts(all_accounts)
    if not usable:
        message = "Xero has no active revenue account that a late fee could be posted to; nothing was sent"
        raise PermanentError(message, code="account")
    best = min(usable, key=_rank)
    australian = any(account.tax == _AUSTRALIAN_NO_TAX for account in all_accounts)
    return FeeAccount(best.code or "", _AUSTRALIAN_NO_TAX if australian else "NONE")


def list_fee_posting_options(
    accounts: Iterable[Account], rates: Iterable[TaxRate], themes: Iterable[BrandingTheme]
) -> list[FeePostingOption]:
    """List the accounts, tax rates and branding themes that a fee can have; each default has its reason."""
    all_accounts = list(accounts)
    default = choose_fee_account(all_accounts)
    account_reason = "the first found: an account named for late fees, other income, revenue"
    found = [
        FeePostingOption(
            "account", one.code or "", f"{one.code} {one.name}", account_reason if one.code == default.code else ""
        )
        for one in sorted(_usable_accounts(all_accounts), key=_rank)
    ]
    for rate in rates:
        if rate.status in {None, "ACTIVE"} and rate.on_revenue is not False:
            reason = "a late fee is compensation, not a supply" if rate.type == default.tax_type else ""
            found.append(FeePostingOption("tax", rate.type, rate.name, reason))
    found.append(FeePostingOption("theme", "", "the theme of the overdue invoice", "the customer recognises it"))
    return [*found, *(FeePostingOption("theme", theme.id, theme.name) for theme in themes)]


def _usable_accounts(accounts: Iterable[Account]) -> list[Account]:
    return [one for one in accounts if one.code and one.group == "REVENUE" and one.status in {None, "ACTIVE"}]


def _rank(account: Account) -> tuple[int, int, str]:
    name = (account.name or "").lower()
    matches = (index for index, fee_name in enumerate(_FEE_ACCOUNT_NAMES) if fee_name in name)
    name_rank = next(matches, len(_FEE_ACCOUNT_NAMES))
    kinds = ("OTHERINCOME", "REVENUE", "SALES")
    kind = kinds.index(account.type) if account.type in kinds else len(kinds)
    return name_rank, kind, account.code or ""
