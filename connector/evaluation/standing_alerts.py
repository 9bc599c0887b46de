"""The account-owner alerts of the last decisions: a digest is drafted from those about everybody.

A sync that decides about some customers only finds those about the others here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from connector.db.tables import KeyValue
from policies.decisions import NotifyOwner
from policies.receivables import Step

ALERTS_MAX = 200  # with more, everybody is decided about
_NAME = "decided_alerts"


class NamedAlert(NamedTuple):
    """An alert, and the name of its customer."""

    alert: NotifyOwner
    name: str


def load_alerts(session: Session, connection_id: int, except_of: Collection[str]) -> list[NamedAlert]:
    """Return the alerts of the last decisions but those about these customers."""
    row = session.get(KeyValue, (connection_id, _NAME))
    return [
        NamedAlert(
            NotifyOwner(customer_id, currency, tuple((one, Step(step)) for one, step in completed), reason), name
        )
        for customer_id, currency, completed, reason, name in (row.value if row is not None else ())
        if customer_id not in except_of
    ]


def store_alerts(
    session: Session, connection_id: int, alerts: Iterable[NotifyOwner], names: Mapping[str, str], at: datetime
) -> None:
    """Store the alerts of decisions, in the caller's transaction."""
    value = [
        [each.customer_id, each.currency, [list(pair) for pair in each.completed], each.reason, names[each.customer_id]]
        for each in alerts
    ]
    row = session.get(KeyValue, (connection_id, _NAME))
    if row is None and value:
        session.add(KeyValue(connection_id=connection_id, name=_NAME, value=value, stored_at=at))
    elif row is not None and row.value != value:
        row.value, row.stored_at = value, at
