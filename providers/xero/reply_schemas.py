"""Xero's replies other than pages of records, as typed structs of the fields we read."""

from __future__ import annotations

from msgspec import Struct

from providers.xero.schemas import Address


class Organisation(
    Struct,
    kw_only=True,
    rename={
        "name": "Name",
        "currency": "BaseCurrency",
        "country": "CountryCode",
        "zone": "Timezone",
        "period_lock": "PeriodLockDate",
        "year_lock": "EndOfYearLockDate",
        "demo": "IsDemoCompany",
        "subscription": "Class",
        "addresses": "Addresses",
    },
):
    """An organisation: the company itself."""

    name: str
    currency: str
    country: str | None = None
    zone: str | None = None
    period_lock: str | None = None
    year_lock: str | None = None
    demo: bool | None = None
    subscription: str | None = None
    addresses: list[Address] | None = None


class Account(
    Struct,
    rename={
        "id": "AccountID",
        "code": "Code",
        "name": "Name",
        "type": "Type",
        "status": "Status",
        "group": "Class",
        "tax": "TaxType",
    },
):
    """An account of the chart of accounts."""

    id: str | None = None
    code: str | None = None
    name: str | None = None
    type: str | None = None
    status: str | None = None
    group: str | None = None
    tax: str | None = None


class Message(Struct, rename={"text": "Message"}):
    """One of Xero's reasons for rejecting a write."""

    text: str = ""


class FullInvoice(
    Struct,
    kw_only=True,
    rename={
        "id": "InvoiceID",
        "number": "InvoiceNumber",
        "type": "Type",
        "status": "Status",
        "branding_theme": "BrandingThemeID",
        "has_errors": "HasErrors",
        "errors": "ValidationErrors",
    },
):
    """The fields of an invoice that matter before and after a write."""

    id: str
    number: str | None = None
    type: str = ""
    status: str = ""
    branding_theme: str | None = None
    has_errors: bool = False
    errors: list[Message] | None = None


class FullInvoices(Struct, rename={"invoices": "Invoices"}):
    """Reply of a read or write of single invoices."""

    invoices: list[FullInvoice]


class Organisations(Struct, rename={"organisations": "Organisations"}):
    """Reply of the organisation endpoint."""

    organisations: list[Organisation]


class ReminderSetting(Struct, rename={"enabled": "Enabled"}):
    """Whether Xero sends reminders of its own."""

    enabled: bool = False


class ReminderSettings(Struct, rename={"settings": "InvoiceReminders"}):
    """Reply of the reminders endpoint."""

    settings: list[ReminderSetting]


class HistoryRecord(Struct, rename={"details": "Details"}):
    """A note or a change in a document's history."""

    details: str | None = None


class History(Struct, rename={"records": "HistoryRecords"}):
    """Reply of the history endpoint."""

    records: list[HistoryRecord]


class OnlineInvoice(Struct, rename={"url": "OnlineInvoiceUrl"}):
    """The page on which the customer sees and pays an invoice."""

    url: str | None = None


class OnlineInvoices(Struct, rename={"invoices": "OnlineInvoices"}):
    """Reply of the online invoice endpoint."""

    invoices: list[OnlineInvoice]


class Accounts(Struct, rename={"accounts": "Accounts"}):
    """Reply of the accounts endpoint."""

    accounts: list[Account]


class TaxRate(
    Struct,
    rename={"name": "Name", "type": "TaxType", "status": "Status", "on_revenue": "CanApplyToRevenue"},
):
    """A tax rate of a line."""

    name: str = ""
    type: str = ""
    status: str | None = None
    on_revenue: bool | None = None


class TaxRates(Struct, rename={"rates": "TaxRates"}):
    """Reply of the tax rates endpoint."""

    rates: list[TaxRate]


class BrandingTheme(Struct, rename={"id": "BrandingThemeID", "name": "Name"}):
    """A template for the appearance of invoices."""

    id: str = ""
    name: str = ""


class BrandingThemes(Struct, rename={"themes": "BrandingThemes"}):
    """Reply of the branding themes endpoint."""

    themes: list[BrandingTheme]
