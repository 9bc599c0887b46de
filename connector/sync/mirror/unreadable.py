"""Customers of whom not everything can be read: nobody is chased on half knowledge.

Who they are and where they want their emails stands in their own record; a payment or a credit note may cover what they
owe. Where the ledger reports each customer's balance, that says so in the place of the payment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from connector.sync.mirror.customer_batch import TABLES
from connector.sync.mirror.families import Families
from providers.ledger import RecordKind

_MONEY = {
    RecordKind.PAYMENT: "a payment",
    RecordKind.CREDIT_NOTE: "a credit note",
    RecordKind.OVERPAYMENT: "an overpayment",
    RecordKind.PREPAYMENT: "a prepayment",
}
UnreadableKinds = Mapping[str, Collection[RecordKind]]  # by customer id


def load_unreadable_kinds(session: Session, connection_id: int) -> UnreadableKinds:
    """Return what of whom cannot be read, by customer id."""
    table = TABLES["malformed_record"]
    query = select(table.c.customer_id, table.c.kind).where(table.c.connection_id == connection_id)
    found: defaultdict[str, set[RecordKind]] = defaultdict(set)
    for customer_id, kind in session.execute(query.where(table.c.customer_id != "")):
        found[customer_id].add(RecordKind(kind))
    return found


def describe_unreadable(
    kinds: UnreadableKinds, members: Sequence[str], families: Families, rows: Mapping[str, Row[Any]]
) -> str:
    """Return what cannot be read of a statement's customers, the first of them the payer; "" for nothing."""
    for each in members:
        if each not in rows or RecordKind.CUSTOMER in kinds.get(each, ()):
            return "the customer's own record"
    if any(RecordKind.CUSTOMER in kinds.get(each, ()) for each in families.named_payers(members[0])):
        return "the record of the parent that the customer is billed with"
    for each in families.relatives(members[0]):
        if each in rows and rows[each].balance_e4 is not None and rows[each].balance_at is None:
            continue  # the balance is up to date, and has every payment in it
        money = [name for kind, name in _MONEY.items() if kind in kinds.get(each, ())]
        if money:
            return f"{money[0]} of the customer"
    return ""
