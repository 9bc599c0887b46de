"""The list of invoices: what is open, overdue or paid, at whose customer, with the next step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlmodel import Session, col

from connector.db.ids import matches_keys
from connector.db.tables import Connection, CustomerRow, InvoiceDecisionRow, InvoiceRow
from connector.reports.ageing import BUCKET_ENDS, BUCKETS
from connector.services.invoices import ActiveAgreements, active_agreements
from connector.services.lists import joins
from connector.services.lists.engine import Key, Listing, Sort, ValueKind
from connector.services.lists.filters import Filter, FilterKind, Today
from connector.vocabulary.labels import vocabularies
from policies.decisions import DecisionKind
from policies.receivables import InvoiceStatus, Step

_DECISION = "decision"
_COMPANY, _ID = col(InvoiceRow.connection_id), col(InvoiceRow.external_id)
_DUE_ON, _IS_OPEN, _STATUS = col(InvoiceRow.due_on), col(InvoiceRow.is_open), col(InvoiceRow.status)
_NAMES = vocabularies()
STATES = {
    "open": "Open",
    "overdue": "Overdue",
    "not_due": "Not due yet",
    "issued": "Issued, open or paid",
    "paid": "Paid",
    "draft": "Draft",
    "voided": "Voided or deleted",
}
_IN_STATE: dict[str, Any] = {
    "open": lambda _today: _IS_OPEN,
    "overdue": lambda today: and_(_IS_OPEN, today.compare(lambda on: on > _DUE_ON)),
    "not_due": lambda today: and_(_IS_OPEN, or_(today.compare(lambda on: on <= _DUE_ON), _DUE_ON.is_(None))),
    "issued": lambda _today: _STATUS.in_([InvoiceStatus.OPEN, InvoiceStatus.PAID]),
    "paid": lambda _today: _STATUS == InvoiceStatus.PAID,
    "draft": lambda _today: _STATUS == InvoiceStatus.DRAFT,
    "voided": lambda _today: _STATUS.in_([InvoiceStatus.VOIDED, InvoiceStatus.DELETED]),
}


def _aged(since: int, until: int | None) -> Callable[[Today], ColumnElement[bool]]:
    """Return the condition "overdue by so many days", as the report of aged receivables counts them."""

    def condition(on: date) -> ColumnElement[bool]:
        newest = on - timedelta(days=since) >= _DUE_ON
        return newest if until is None else and_(newest, on - timedelta(days=until) <= _DUE_ON)

    return lambda today: and_(_IS_OPEN, today.compare(condition))


_AGES: dict[str, Callable[[Today], ColumnElement[bool]]] = {
    BUCKETS[0][0]: _IN_STATE["not_due"],
    **{
        name: _aged(since, until)
        for (name, _label), since, until in zip(
            BUCKETS[1:], (1, *(end + 1 for end in BUCKET_ENDS)), (*BUCKET_ENDS, None), strict=True
        )
    },
}

LISTING = Listing(
    name="invoices",
    table=InvoiceRow,
    company=_COMPANY,
    key=(_COMPANY, _ID),
    sorts={
        "id": Sort(),
        "number": Sort(func.lower(col(InvoiceRow.number))),
        "customer": Sort(joins.CUSTOMER_NAME, needs=(joins.CUSTOMER,)),
        "company": Sort(joins.COMPANY_NAME, needs=(joins.COMPANY,)),
        "issued_on": Sort(col(InvoiceRow.issued_on), ValueKind.DATE),
        "due_on": Sort(_DUE_ON, ValueKind.DATE),
        "total": Sort(col(InvoiceRow.total_e4), ValueKind.INTEGER),
        "due": Sort(col(InvoiceRow.due_e4), ValueKind.INTEGER),
        "next_on": Sort(col(InvoiceDecisionRow.next_on), ValueKind.DATE, (_DECISION,)),
    },
    default_sort="due_on",
    filters=(
        Filter("state", "State", FilterKind.CHOICE, joins.one_of(_IN_STATE), STATES, "open"),
        joins.customer_filter(col(InvoiceRow.number)),
        Filter("age", "Age", FilterKind.CHOICE, joins.one_of(_AGES), dict(BUCKETS)),
        *joins.date_filters(_DUE_ON, "due", "Due"),
        *joins.date_filters(col(InvoiceRow.issued_on), "issued", "Issued"),
        *joins.amount_filters(col(InvoiceRow.due_e4), "Balance"),
        joins.currency_filter(col(InvoiceRow.currency)),
        Filter(
            "step", "Next step", FilterKind.CHOICE, joins.equals(col(InvoiceDecisionRow.next_step), Step),
            {each.value: _NAMES["step"][each] for each in Step}, needs=(_DECISION,),
        ),
        Filter(
            "kind", "Decision", FilterKind.CHOICE, joins.equals(col(InvoiceDecisionRow.kind), DecisionKind),
            {each.value: _NAMES["decision_kind"][each] for each in DecisionKind}, needs=(_DECISION,),
        ),
        joins.segment_filter(_COMPANY, col(InvoiceRow.customer_id)),
        joins.owner_filter(),
        Filter(
            "customer", "One customer", FilterKind.ID,
            lambda value, _today: col(InvoiceRow.customer_id) == str(value),
        ),
    ),
    currency=col(InvoiceRow.currency),
    amounts={"total": col(InvoiceRow.total_e4), "due": col(InvoiceRow.due_e4)},
    joins={
        **joins.joins_of(_COMPANY, col(InvoiceRow.customer_id)),
        _DECISION: lambda found: found.outerjoin(
            InvoiceDecisionRow,
            and_(col(InvoiceDecisionRow.connection_id) == _COMPANY, col(InvoiceDecisionRow.invoice_id) == _ID),
        ),
    },
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """An invoice as the list shows it."""

    row: InvoiceRow
    company: Connection
    customer: str
    decision: InvoiceDecisionRow | None
    agreements: ActiveAgreements

    @property
    def version(self) -> str:
        """What a user read before acting on it: status, amounts and due date."""
        return invoice_version(self.row)

    def days_overdue(self, today: date) -> int:
        """How many days it is overdue; 0 where it is not."""
        if not self.row.is_open or self.row.due_on is None:
            return 0
        return max((today - self.row.due_on).days, 0)


def invoice_version(row: InvoiceRow) -> str:
    """Return the version of an invoice that a list shows."""
    read = f"{row.status} {row.due_e4} {row.due_on} {row.customer_id}"
    return hashlib.sha256(read.encode()).hexdigest()[:10]


def load_lines(session: Session, keys: Sequence[Key]) -> list[InvoiceLine]:
    """Return the invoices with these keys, in their order; those that are gone are left out."""
    if not keys:
        return []
    wanted: Sequence[Any] = list(keys)
    query: Any = (
        select(InvoiceRow, Connection, col(CustomerRow.name), InvoiceDecisionRow)
        .join(Connection, col(Connection.id) == _COMPANY)
        .where(matches_keys(_COMPANY, _ID, wanted))
    )
    query = LISTING.joins[_DECISION](LISTING.joins[joins.CUSTOMER](query))
    agreements = active_agreements(session, wanted)
    found = {
        (row.connection_id, row.external_id): InvoiceLine(
            row,
            company,
            name or row.customer_id,
            decision,
            agreements.get((row.connection_id, row.external_id), ActiveAgreements()),
        )
        for row, company, name, decision in session.execute(query)
    }
    return [found[key] for key in keys if key in found]
