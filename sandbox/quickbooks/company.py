"""The company's own records, CompanyInfo and Preferences, which follow from its profile."""

from __future__ import annotations

from sandbox.core import JsonObject
from sandbox.quickbooks.company_ledger import CURRENCIES, CompanyLedger
from sandbox.quickbooks.history import ISO3


def update_company_info(ledger: CompanyLedger) -> None:
    """Rewrite CompanyInfo and Preferences; called after a change of the profile."""
    for entity, body in (("CompanyInfo", _info(ledger)), ("Preferences", _preferences(ledger))):
        entry = next(ledger.all(entity), None)
        if entry is None:
            ledger.add(entity, body)
        else:
            head = {name: entry.body[name] for name in ("domain", "sparse", "Id", "SyncToken", "MetaData")}
            ledger.change(entry, head | body)


def _info(ledger: CompanyLedger) -> JsonObject:
    profile = ledger.profile
    address = {"Id": "1", "Line1": "12 Cannery Row", "City": "Portland", "Country": ISO3.get(profile.country, "")}
    if profile.region:
        address["CountrySubDivisionCode"] = profile.region
    slug = "".join(letter for letter in profile.name.lower() if letter.isalnum())
    facts = {
        "NeoEnabled": "true", "IsQbdtMigrated": "false", "SubscriptionStatus": "PAID",
        "OfferingSku": "QuickBooks Online Plus",
        "IndustryType": "Field services", "CompanyType": "Limited liability", "PayrollFeature": "false",
    }  # fmt: skip
    return {
        "CompanyName": profile.name, "LegalName": profile.name, "CompanyAddr": address,
        "CustomerCommunicationAddr": address, "LegalAddr": address,
        "CustomerCommunicationEmailAddr": {"Address": f"billing@{slug}.example"},
        "PrimaryPhone": {"FreeFormNumber": "+1 503 555 0100"}, "CompanyStartDate": "2021-03-01",
        "FiscalYearStartMonth": "January", "Country": profile.country, "Email": {"Address": f"billing@{slug}.example"},
        "WebAddr": {"URI": f"https://{slug}.example"}, "SupportedLanguages": "en",
        "DefaultTimeZone": profile.time_zone,
        "NameValue": [{"Name": name, "Value": value} for name, value in facts.items()],
    }  # fmt: skip


def _preferences(ledger: CompanyLedger) -> JsonObject:
    profile = ledger.profile
    accounting: JsonObject = {
        "UseAccountNumbers": False, "TrackDepartments": False, "ClassTrackingPerTxn": False,
        "ClassTrackingPerTxnLine": False, "FirstMonthOfFiscalYear": "January", "TaxYearMonth": "January",
        "TaxForm": "6", "CustomerTerminology": "Customers",
    }  # fmt: skip
    if profile.books_closed_on:
        accounting["BookCloseDate"] = profile.books_closed_on.isoformat()
    home = {"value": profile.currency, "name": CURRENCIES.get(profile.currency, profile.currency)}
    return {
        "AccountingInfoPrefs": accounting,
        "SalesFormsPrefs": {
            "CustomTxnNumbers": profile.custom_numbers, "AllowDeposit": False, "AllowDiscount": False,
            "ETransactionEnabledStatus": "NotApplicable", "ETransactionAttachPDF": False, "AutoApplyCredit": False,
            "AutoApplyPayments": False, "AllowServiceDate": False, "AllowShipping": False,
            "DefaultTerms": {"value": "2"}, "IPNSupportEnabled": False,
        },
        "TaxPrefs": {"UsingSalesTax": profile.country != "US", "PartnerTaxEnabled": False},
        "CurrencyPrefs": {"MultiCurrencyEnabled": profile.multicurrency, "HomeCurrency": home},
        "ReportPrefs": {"ReportBasis": "Accrual", "CalcAgingReportFromTxnDate": False},
        "OtherPrefs": {"NameValue": [{"Name": "VendorAndPurchasesPrefs.UseCustomTxnNumbers", "Value": "false"}]},
    }  # fmt: skip
