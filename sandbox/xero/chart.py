"""A small British chart of accounts, tax rates and other settings, the same for all simulated organisations."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from starlette.responses import Response

from sandbox.core import JsonObject, stable_uuid
from sandbox.simulation import ITEMS
from sandbox.xero.api import Call, json_reply
from sandbox.xero.organisation import Organisation
from sandbox.xero.serialisation import encode, envelope, format_date

CURRENCIES = {
    "GBP": "British Pound",
    "EUR": "Euro",
    "USD": "United States Dollar",
    "CAD": "Canadian Dollar",
    "AUD": "Australian Dollar",
}
TAX_PERCENT = {
    "OUTPUT2": Decimal(20),
    "ZERORATEDOUTPUT": Decimal(0),
    "EXEMPTOUTPUT": Decimal(0),
    "NONE": Decimal(0),
    "INPUT2": Decimal(20),
}
# code, name, type, class, tax type, status, system account
_ACCOUNTS = (
    ("090", "Business Bank Account", "BANK", "ASSET", "NONE", "ACTIVE", ""),
    ("200", "Sales", "REVENUE", "REVENUE", "OUTPUT2", "ACTIVE", ""),
    ("260", "Other Revenue", "REVENUE", "REVENUE", "OUTPUT2", "ACTIVE", ""),
    ("270", "Interest Income", "OTHERINCOME", "REVENUE", "NONE", "ACTIVE", ""),
    ("299", "Old Sales", "REVENUE", "REVENUE", "OUTPUT2", "ARCHIVED", ""),
    ("429", "General Expenses", "EXPENSE", "EXPENSE", "INPUT2", "ACTIVE", ""),
    ("404", "Bank Fees", "EXPENSE", "EXPENSE", "NONE", "ACTIVE", ""),
    ("431", "Bad Debts", "EXPENSE", "EXPENSE", "INPUT2", "ACTIVE", ""),
    ("610", "Accounts Receivable", "CURRENT", "ASSET", "NONE", "ACTIVE", "DEBTORS"),
    ("800", "Accounts Payable", "CURRLIAB", "LIABILITY", "NONE", "ACTIVE", "CREDITORS"),
)
_PAID_TO = frozenset({"090", "404", "431"})
_TAX_RATES = (
    ("20% (VAT on Income)", "OUTPUT2", "OUTPUT"),
    ("Zero Rated Income", "ZERORATEDOUTPUT", "OUTPUT"),
    ("Exempt Income", "EXEMPTOUTPUT", "EXEMPTOUTPUT"),
    ("No VAT", "NONE", "NONE"),
    ("20% (VAT on Expenses)", "INPUT2", "INPUT"),
)


def account_problem(code: str, *, required: bool) -> str:
    """Return Xero's message if a sales line cannot use this account, else ""."""
    if not code:
        return "Account code or ID must be specified" if required else ""
    account = next((account for account in _ACCOUNTS if account[0] == code), None)
    if account is None or account[6] or account[2] == "BANK":
        return f"Account code '{code}' is not a valid code for this document."
    if account[5] != "ACTIVE":
        return f"Account code '{code}' has been archived, or deleted. Accounts must be active to be used on documents."
    return ""


def settings_handler(name: str, rows: Callable[[Organisation], list[JsonObject]]) -> Callable[[Call], Response]:
    """Return the handler of a list of settings."""
    return lambda call: json_reply(envelope(name, [encode(row) for row in rows(call.organisation)]))


def accounts(_organisation: Organisation) -> list[JsonObject]:
    """Return the chart of accounts."""
    return [_account(*account) for account in _ACCOUNTS]


def _account(code: str, name: str, kind: str, group: str, tax_type: str, status: str, system: str) -> JsonObject:
    shape = {
        "AccountID": stable_uuid("account", code),
        "Code": code,
        "Name": name,
        "Status": status,
        "Type": kind,
        "TaxType": tax_type,
        "Class": group,
        "EnablePaymentsToAccount": code in _PAID_TO,
        "ShowInExpenseClaims": False,
        "HasAttachments": False,
        "UpdatedDateUTC": "/Date(1577836800000+0000)/",
        "AddToWatchlist": False,
    }
    return shape | ({"SystemAccount": system} if system else {})


def tax_rates(_organisation: Organisation) -> list[JsonObject]:
    """Return the tax rates."""
    return [
        {
            "Name": name,
            "TaxType": tax_type,
            "ReportTaxType": report,
            "Status": "ACTIVE",
            "CanApplyToAssets": True,
            "CanApplyToEquity": True,
            "CanApplyToExpenses": tax_type in {"INPUT2", "NONE"},
            "CanApplyToLiabilities": True,
            "CanApplyToRevenue": tax_type != "INPUT2",
            "DisplayTaxRate": TAX_PERCENT[tax_type],
            "EffectiveRate": TAX_PERCENT[tax_type],
            "TaxComponents": [{"Name": "VAT", "Rate": TAX_PERCENT[tax_type], "IsCompound": False}],
        }
        for name, tax_type, report in _TAX_RATES
    ]


def currencies(_organisation: Organisation) -> list[JsonObject]:
    """Return the currencies that the organisation uses."""
    return [{"Code": code, "Description": name} for code, name in CURRENCIES.items()]


def branding_themes(_organisation: Organisation) -> list[JsonObject]:
    """Return the only branding theme."""
    theme = {"BrandingThemeID": stable_uuid("branding-theme"), "Name": "Standard", "Type": "INVOICE", "SortOrder": 0}
    return [{**theme, "CreatedDateUTC": "/Date(1577836800000+0000)/"}]


def items(_organisation: Organisation) -> list[JsonObject]:
    """Return what the company sells."""
    return [
        {
            "ItemID": stable_uuid("item", code),
            "Code": code,
            "Name": code.title(),
            "Description": description,
            "IsSold": True,
            "IsPurchased": False,
            "IsTrackedAsInventory": False,
            "UpdatedDateUTC": "/Date(1577836800000+0000)/",
            "SalesDetails": {"UnitPrice": Decimal(price), "AccountCode": "200", "TaxType": "OUTPUT2"},
        }
        for code, description, price in ITEMS
    ]


def reminder_settings(organisation: Organisation) -> list[JsonObject]:
    """Return whether Xero sends reminders itself."""
    return [{"Enabled": organisation.sends_reminders}]


def organisation_details(organisation: Organisation) -> list[JsonObject]:
    """Return the organisation."""
    shape = {
        "OrganisationID": organisation.tenant_id,
        "Name": organisation.name,
        "LegalName": organisation.name,
        "PaysTax": True,
        "Version": "UK" if organisation.country == "GB" else "GLOBAL",
        "OrganisationType": "COMPANY",
        "BaseCurrency": organisation.currency,
        "CountryCode": organisation.country,
        "IsDemoCompany": False,
        "OrganisationStatus": "ACTIVE",
        "FinancialYearEndDay": 31,
        "FinancialYearEndMonth": 3,
        "SalesTaxBasis": "ACCRUALS",
        "SalesTaxPeriod": "QUARTERLY1",
        "DefaultSalesTax": "Tax Exclusive",
        "DefaultPurchasesTax": "Tax Exclusive",
        "CreatedDateUTC": "/Date(1577836800000+0000)/",
        "OrganisationEntityType": "COMPANY",
        "Timezone": "GMTSTANDARDTIME",
        "ShortCode": f"!{organisation.tenant_id[:5]}",
        "Class": "PREMIUM",
        "Edition": "BUSINESS",
        "Addresses": [{"AddressType": "STREET", "Region": organisation.region}] if organisation.region else [],
        "Phones": [],
        "ExternalLinks": [],
        "PaymentTerms": {"Sales": {"Day": 30, "Type": "DAYSAFTERBILLDATE"}},
    }
    if organisation.period_lock_on is not None:
        shape["PeriodLockDate"] = format_date(organisation.period_lock_on)
    if organisation.year_lock_on is not None:
        shape["EndOfYearLockDate"] = format_date(organisation.year_lock_on)
    return [shape]
