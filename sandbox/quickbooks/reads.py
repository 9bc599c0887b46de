"""Queries and change data capture of a company, with Intuit's default order, pages and limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import invalid_number, invalid_query, spoiled_reply, too_old, unsupported
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import EntityStore, Entry
from sandbox.quickbooks.formats import format_number, parse_amount, parse_instant
from sandbox.quickbooks.properties import ENTITIES, KNOWN, NAMES, TRANSACTIONS, check_filterable
from sandbox.quickbooks.query_language import Condition, Query, parse_query

CDC_MAX = 1000
CDC_DAYS = 30
NO_CDC = frozenset({"TaxCode", "CompanyInfo", "Preferences"})
COUNTABLE = frozenset({"Invoice"})  # recorded: invoices have a totalCount; payments, credits and customers have none
_UPDATED = "MetaData.LastUpdatedTime"
_MONEY = frozenset({"TotalAmt", "Balance", "UnitPrice", "CurrentBalance"})
Value = str | int | Decimal | datetime | bool
Predicate = Callable[[Entry], bool]


def run_query(ledger: CompanyLedger, statement: str) -> JsonObject:
    """Return the ``QueryResponse`` for a statement."""
    query = parse_query(statement)
    entity = ENTITIES.get(query.entity.lower())
    if entity is None:
        raise invalid_query(f"Entity {query.entity} not found")
    for column in query.columns:
        if column.partition(".")[0] not in KNOWN.get(entity, {column}):
            raise invalid_query(f"Property {column} not found for Entity {entity}")
    matching = _matching(ledger.stores[entity], entity, query)
    if ledger.index_lag and entity == "Attachable":
        listed_until = ledger.current_time() - ledger.index_lag
        matching = (entry for entry in matching if parse_instant(entry.body["MetaData"]["CreateTime"]) <= listed_until)
    found = _ordered(matching, entity, query)
    if query.is_count:
        return {"totalCount": sum(1 for _ in found)}
    entries = list(islice(found, query.start - 1, query.start - 1 + query.limit))
    if status := poison_status(ledger, entries):
        raise spoiled_reply(status)
    return page_of(entity, entries, query.start)


def poison_status(ledger: CompanyLedger, entries: Iterable[Entry]) -> int:
    """Return the status of a reply that would hold these records and therefore fails; 0 if it does not."""
    if not ledger.poisoned:
        return 0
    return next((status for one in entries if (status := ledger.poisoned.get((one.entity, one.number), 0))), 0)


def page_of(entity: str, entries: list[Entry], start: int = 1) -> JsonObject:
    """Return a ``QueryResponse`` with these entries, an empty object if there are none."""
    if not entries:
        return {}
    page: JsonObject = {entity: [entry.body for entry in entries], "startPosition": start, "maxResults": len(entries)}
    if entity in COUNTABLE:
        page["totalCount"] = len(entries)
    return page


def changes(ledger: CompanyLedger, entities: str, changed_since: str) -> JsonObject:
    """Return the ``CDCResponse``: one ``QueryResponse`` per requested entity, {} where nothing changed."""
    try:
        since = parse_instant(changed_since)
    except ValueError as error:
        raise invalid_number("changedSince", changed_since) from error
    if since < ledger.current_time() - timedelta(days=CDC_DAYS):
        raise too_old(changed_since)
    left = CDC_MAX
    pages = []
    for name in entities.split(","):
        entity = ENTITIES.get(name.strip().lower())
        if entity is None or entity in NO_CDC:
            raise unsupported(f"cdc of {name.strip()}")
        entries = list(islice(ledger.stores[entity].changed_since(since), left))
        left -= len(entries)
        if status := poison_status(ledger, entries):
            if not ledger.faults_inside_cdc:
                raise spoiled_reply(status)
            pages.append({"Fault": spoiled_reply(status).fault()})
            continue
        pages.append(page_of(entity, entries))
    return {"QueryResponse": pages}


def _matching(shelf: EntityStore, entity: str, query: Query) -> Iterator[Entry]:
    candidates, conditions = _candidates(shelf, entity, query)
    tests = [_build_predicate(entity, condition) for condition in conditions]
    asked_inactive = any(condition.name == "Active" for condition in query.conditions)
    if entity in NAMES and not asked_inactive:
        tests.append(lambda entry: entry.body.get("Active") is not False)
    for entry in candidates:
        if all(test(entry) for test in tests):
            yield entry


def _candidates(shelf: EntityStore, entity: str, query: Query) -> tuple[Iterable[Entry], tuple[Condition, ...]]:
    """Return the candidates, if possible from an index: by id, or by the time of the last change."""
    for condition in query.conditions:
        check_filterable(entity, condition.name)
        if condition.name == "Id" and condition.operator in {"=", "IN"}:
            numbers = sorted({int(value) for value in condition.values if value.isdigit()})
            return (shelf.entries[n] for n in numbers if n in shelf.entries), query.conditions
        if condition.name == "Id" and condition.operator == ">" and condition.values[0].isdigit():
            return shelf.by_id(int(condition.values[0])), query.conditions
        if condition.name == _UPDATED and condition.operator in {">", ">="}:
            since = _time(condition.values[0])
            fresh = (entry for entry in shelf.changed_since(since) if entry.number in shelf.entries)
            return sorted(fresh, key=lambda entry: entry.number), query.conditions
    return shelf.by_id(), query.conditions


def _ordered(found: Iterator[Entry], entity: str, query: Query) -> Iterable[Entry]:
    """Sort the matches; by default, transactions come last changed first, list entities by id."""
    if not query.order:
        if entity not in TRANSACTIONS or query.is_count:
            return found
        return sorted(found, key=lambda entry: (entry.updated_at, entry.number), reverse=True)
    if query.order == (("Id", False),):
        return found  # candidates are sorted by id
    entries: Iterable[Entry] = found
    for name, descending in reversed(query.order):
        entries = sorted(entries, key=_sort_key(_property_reader(check_filterable(entity, name))), reverse=descending)
    return entries


def _sort_key(value: Callable[[Entry], Any]) -> Callable[[Entry], tuple[bool, Any]]:
    return lambda entry: ((found := value(entry)) is not None, found)


def _property_reader(name: str) -> Callable[[Entry], Any]:
    """Return a function that reads a property for comparisons."""
    if name == "Id":
        return lambda entry: entry.number
    if name == _UPDATED:
        return lambda entry: entry.updated_at
    if name == "MetaData.CreateTime":
        return lambda entry: parse_instant(entry.body["MetaData"]["CreateTime"])
    if name.endswith("Ref"):
        return lambda entry: (entry.body.get(name) or {}).get("value")
    return lambda entry: entry.body.get(name)


def _build_predicate(entity: str, condition: Condition) -> Predicate:
    name = check_filterable(entity, condition.name)
    if name.startswith("AttachableRef."):
        return _build_link_predicate(name, condition)
    value = _property_reader(name)
    requested = [_parse_value(name, text) for text in condition.values]
    first: Any = requested[0]
    match condition.operator:
        case "=":
            return lambda entry: bool(value(entry) == first)
        case "IN":
            choices = set(requested)
            return lambda entry: value(entry) in choices
        case "LIKE":
            return _like(value, str(first))
        case "<":
            return lambda entry: (v := value(entry)) is not None and bool(v < first)
        case ">":
            return lambda entry: (v := value(entry)) is not None and bool(v > first)
        case "<=":
            return lambda entry: (v := value(entry)) is not None and bool(v <= first)
        case _:
            return lambda entry: (v := value(entry)) is not None and bool(v >= first)


def _parse_value(name: str, text: str) -> Value:
    if name == "Id":
        return int(text) if text.isdigit() else -1
    if name in _MONEY:
        return format_number(parse_amount(name, text))
    if name.startswith("MetaData."):
        return _time(text)
    if name == "Active":
        return text.lower() == "true"
    return text


def _time(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise invalid_query(f"value {text} is not a dateTime") from error


def _like(value: Callable[[Entry], Any], pattern: str) -> Predicate:
    parts = (re.escape(part) for part in pattern.split("%"))
    expression = re.compile(".*".join(parts), re.IGNORECASE | re.DOTALL)
    return lambda entry: expression.fullmatch(str(value(entry) or "")) is not None


def _build_link_predicate(name: str, condition: Condition) -> Predicate:
    part = "type" if name.endswith("Type") else "value"
    requested = {value.lower() for value in condition.values}

    def linked(entry: Entry) -> bool:
        links = entry.body.get("AttachableRef") or []
        return any(str(link["EntityRef"].get(part, "")).lower() in requested for link in links)

    return linked
