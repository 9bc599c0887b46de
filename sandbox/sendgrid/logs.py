"""SendGrid's email logs: a small query language for messages, and single messages with their events."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from sandbox.core import JsonObject
from sandbox.sendgrid.message_store import Email, Message, MessageStore

LIMIT_DEFAULT = 10
LIMIT_MAX = 1000
_FIELDS = {
    "sg_message_id": {"="}, "subject": {"="}, "to_email": {"="}, "reason": {"="}, "status": {"IN"},
    "categories": {"IN"},    "sg_message_id_created_at": {">", "<", ">=", "<="},
}  # fmt: skip
_CONDITION = re.compile(
    r"""\s*(?P<name>\w+)\s*(?P<sign>>=|<=|=|>|<|\bIN\b)\s*
    (?:TIMESTAMP\s*)?(?P<values>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\([^)]*\))\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_TEXT = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
Predicate = Callable[[Message, Email], bool]


def search(store: MessageStore, query: str, limit: int, is_visible: Callable[[Message], bool]) -> list[JsonObject]:
    """Return summaries of matching messages, the newest first. Raises ``ValueError`` for an unreadable query."""
    tests = _parse_query(query)
    found: list[JsonObject] = []
    for message in store.newest_first():
        email = store.email_of(message.sg_message_id)
        if is_visible(message) and all(test(message, email) for test in tests):
            found.append(_summary(message, email))
            if len(found) == limit:
                break
    return found


def build_detail(message: Message, email: Email) -> JsonObject:
    """Return one message with its events and custom args."""
    return {
        "from_email": email.sender, "sg_message_id": message.sg_message_id, "subject": email.subject,
        "to_email": message.email, "status": message.status, "template_id": "", "teammate": "", "api_key_id": "sandbox",
        "events": message.events, "client_ip": "127.0.0.1", "category": list(email.categories),
        "custom_args": email.custom_args, "outbound_ip": "192.0.2.25", "outbound_ip_type": "shared",
    }  # fmt: skip


def _summary(message: Message, email: Email) -> JsonObject:
    return {
        "from_email": email.sender, "sg_message_id": message.sg_message_id, "subject": email.subject,
        "to_email": message.email, "reason": message.reason, "status": message.status,
        "sg_message_id_created_at": message.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }  # fmt: skip


def _parse_query(query: str) -> list[Predicate]:
    tests: list[Predicate] = []
    at = 0
    while query[at:].strip():
        match = _CONDITION.match(query, at)
        if match is None:
            raise ValueError(f"unable to parse query near: {query[at : at + 20]}")
        tests.append(_build_predicate(match["name"], match["sign"].upper(), match["values"]))
        at = match.end()
        joiner = re.match(r"AND\b", query[at:], re.IGNORECASE)
        if joiner:
            at += joiner.end()
        elif query[at:].strip():
            raise ValueError(f"unable to parse query near: {query[at : at + 20]}")
    return tests


def _build_predicate(name: str, sign: str, text: str) -> Predicate:
    if sign not in _FIELDS.get(name, set()):
        raise ValueError(f"field {name} does not support operator {sign}")
    values = [re.sub(r"\\(.)", r"\1", single or double) for single, double in _TEXT.findall(text)]
    if not values:
        raise ValueError(f"field {name} wants a value")
    if name == "sg_message_id_created_at":
        return _build_time_predicate(sign, values[0])
    read: dict[str, Callable[[Message, Email], set[str]]] = {
        "sg_message_id": lambda message, email: {message.sg_message_id, email.message_id},
        "subject": lambda _message, email: {email.subject},
        "to_email": lambda message, _mail: {message.email.lower()},
        "reason": lambda message, _mail: {message.reason},
        "status": lambda message, _mail: {message.status},
        "categories": lambda _message, email: set(email.categories),
    }
    expected = {value.lower() for value in values} if name == "to_email" else set(values)
    return lambda message, email: bool(read[name](message, email) & expected)


def _build_time_predicate(sign: str, value: str) -> Predicate:
    at = datetime.fromisoformat(value)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    compare: dict[str, Predicate] = {
        ">": lambda message, _: message.created_at > at,
        "<": lambda message, _: message.created_at < at,
        ">=": lambda message, _: message.created_at >= at,
        "<=": lambda message, _: message.created_at <= at,
    }
    return compare[sign]
