"""The lists of a company: customers, items, accounts and terms, built from requests."""

from __future__ import annotations

import hashlib

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import business, duplicate_name, invalid_reference, missing, too_long
from sandbox.quickbooks.company_ledger import CURRENCIES, CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import ZERO, format_number, parse_amount
from sandbox.quickbooks.sales import require_active

DELETED_SUFFIX = " (deleted)"
NAME_OF = {"Customer": "DisplayName", "Item": "Name", "Account": "Name", "Term": "Name"}
_LENGTH_MAX = {"DisplayName": 500, "Name": 100}
_SERVER_FIELDS = frozenset({"Id", "SyncToken", "MetaData", "domain", "sparse", "status"})
_CLASSIFICATION = {
    "Bank": "Asset", "Accounts Receivable": "Asset", "Other Current Asset": "Asset", "Income": "Revenue",
    "Other Income": "Revenue", "Expense": "Expense", "Other Expense": "Expense", "Cost of Goods Sold": "Expense",
    "Accounts Payable": "Liability", "Credit Card": "Liability", "Other Current Liability": "Liability",
    "Equity": "Equity",
}  # fmt: skip


def build_list_entity(ledger: CompanyLedger, entity: str, data: JsonObject, old: Entry | None) -> JsonObject:
    """Return the validated body of a list entity; ``old`` is the one it replaces."""
    name = _check_name(ledger, entity, data, old)
    plain = {key: value for key, value in data.items() if key not in _SERVER_FIELDS and value not in (None, "")}
    plain["Active"] = bool(plain.get("Active", True))
    if not plain["Active"] and not name.endswith(DELETED_SUFFIX):
        name += DELETED_SUFFIX
    plain |= {NAME_OF[entity]: name, "FullyQualifiedName": name}
    if entity == "Customer":
        return _build_customer(ledger, plain, old)
    if entity == "Item":
        return _build_item(ledger, plain)
    if entity == "Account":
        return _build_account(ledger, plain)
    plain.pop("FullyQualifiedName")
    return {"Type": "STANDARD", **plain}


def name_key(entity: str, name: str) -> tuple[str, str]:
    """Return the key under which a name is unique, whatever its case."""
    return entity, name.casefold()


def _check_name(ledger: CompanyLedger, entity: str, data: JsonObject, old: Entry | None) -> str:
    field = NAME_OF[entity]
    name_parts = [data.get(part) for part in ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")]
    name = str(data.get(field) or " ".join(str(part) for part in name_parts if part)).strip()
    if not name:
        raise missing(field)
    if len(name) > _LENGTH_MAX[field]:
        raise too_long(field, _LENGTH_MAX[field], len(name))
    taken = ledger.names.get(name_key(entity, name))
    if taken is not None and (old is None or taken != old.number):
        raise duplicate_name()
    return name


def _build_customer(ledger: CompanyLedger, plain: JsonObject, old: Entry | None) -> JsonObject:
    code = (plain.pop("CurrencyRef", None) or {}).get("value") or ledger.profile.currency
    if old is not None and old.body["CurrencyRef"]["value"] != code:
        raise business("You can't change the currency of a customer.")
    if code != ledger.profile.currency and not ledger.profile.multicurrency:
        raise business("Multicurrency is not enabled for this company.")
    if "SalesTermRef" in plain:
        plain["SalesTermRef"] = ledger.reference(require_active(ledger, "Term", plain["SalesTermRef"], "SalesTermRef"))
    name = plain["DisplayName"]
    balances = {key: old.body[key] if old else ZERO for key in ("Balance", "BalanceWithJobs")}
    pseudonym = hashlib.blake2b(f"{ledger.realm}{name}".encode(), digest_size=16).hexdigest()
    return {
        "Taxable": False, "Job": False, "BillWithParent": False, "PrintOnCheckName": name,
        "PreferredDeliveryMethod": "Print", "IsProject": False, "ClientEntityId": "0",
        **plain, **balances,
        "CurrencyRef": {"value": code, "name": CURRENCIES.get(code, code)},
        "V4IDPseudonym": old.body["V4IDPseudonym"] if old else f"00{pseudonym}",
    }  # fmt: skip


def _build_item(ledger: CompanyLedger, plain: JsonObject) -> JsonObject:
    kind = plain.get("Type", "Service")
    if kind not in {"Service", "NonInventory"}:
        raise business(f"Items of type {kind} are not kept here.")
    account = require_active(ledger, "Account", plain.get("IncomeAccountRef"), "IncomeAccountRef")
    if account.body["Classification"] != "Revenue":
        raise invalid_reference("Account of the wrong type", account.number)
    plain["IncomeAccountRef"] = ledger.reference(account)
    price = format_number(parse_amount("UnitPrice", plain.get("UnitPrice", 0)))
    return {"Taxable": False, "PurchaseCost": 0, "TrackQtyOnHand": False, **plain, "UnitPrice": price, "Type": kind}


def _build_account(ledger: CompanyLedger, plain: JsonObject) -> JsonObject:
    kind = plain.get("AccountType")
    if kind is None and "AccountSubType" not in plain:
        raise missing("AccountType")
    kind = kind or "Other Income"
    if kind not in _CLASSIFICATION:
        raise business(f"Account type {kind} is unknown.")
    code = ledger.profile.currency
    return {
        "SubAccount": False, "AccountSubType": "OtherMiscellaneousIncome" if kind == "Other Income" else kind,
        "CurrentBalance": 0, "CurrentBalanceWithSubAccounts": 0,
        **plain,
        "Classification": _CLASSIFICATION[kind], "AccountType": kind,
        "CurrencyRef": {"value": code, "name": CURRENCIES.get(code, code)},
    }  # fmt: skip
