"""The webhook events of the simulated Intuit: changes in all companies, as CloudEvents or in the older form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sandbox.core import JsonObject
from sandbox.quickbooks.company_ledger import CompanyLedger

ENTITIES = ("Customer", "CreditMemo", "Payment", "Invoice")


class Change(NamedTuple):
    """A changed entity; of a merge the survivor, and ``merged`` is the number of the other one."""

    realm: str
    entity: str
    number: int
    operation: str
    at: datetime
    merged: int = 0


def changes(realm: str, ledger: CompanyLedger, since: datetime) -> list[Change]:
    """Return what changed in one company after ``since``."""
    found = []
    for entity in ENTITIES:
        shelf = ledger.stores[entity]
        for entry in shelf.changed_since(since):
            if entry.updated_at > since:
                operation = "updated" if entry.number in shelf.entries else "deleted"
                found.append(Change(realm, entity, entry.number, operation, entry.updated_at))
    merges = [(merged, into, at) for merged, (into, at) in ledger.merges.items() if at > since]
    return found + [Change(realm, "Customer", into, "merged", at, merged) for merged, into, at in merges]


def cloud_events(changed: Iterable[Change]) -> list[JsonObject]:
    """Return changes as Intuit sends them since 2026."""
    return [
        {
            "specversion": "1.0",
            "id": hashlib.sha256(repr(one).encode()).hexdigest()[:32],
            "source": "intuit.sandbox",
            "type": f"qbo.{one.entity.lower()}.{one.operation}.v1",
            "time": one.at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z"),
            "intuitentityid": str(one.number),
            "intuitaccountid": one.realm,
            "data": {"deletedid": str(one.merged)} if one.merged else {},
        }
        for one in changed
    ]


def legacy_events(changed: Iterable[Change]) -> JsonObject:
    """Return changes as Intuit sent them before 2026."""
    by_realm: dict[str, list[JsonObject]] = {}
    for one in changed:
        operation = {"updated": "Update", "deleted": "Delete", "merged": "Merge"}[one.operation]
        entity = {"name": one.entity, "id": str(one.number), "operation": operation}
        entity |= {"deletedId": str(one.merged)} if one.merged else {}
        by_realm.setdefault(one.realm, []).append({**entity, "lastUpdated": one.at.isoformat(timespec="seconds")})
    notifications = [
        {"realmId": realm, "dataChangeEvent": {"entities": entities}} for realm, entities in by_realm.items()
    ]
    return {"eventNotifications": notifications}
