"""The lists of outbox entries and of late fees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, exists, not_, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from connector.db.tables import OutboxEntry
from connector.services.lists import joins
from connector.services.lists.engine import Key, Listing, Sort, ValueKind, with_default
from connector.services.lists.filters import Filter, FilterKind
from connector.services.outbox_search import EntryView, entries_query, load_views
from connector.vocabulary import FeeState, OutboxKind, OutboxState
from connector.vocabulary.labels import vocabularies
from policies.receivables import Step

_NAMES = vocabularies()
_COMPANY, _ID, _STATE = col(OutboxEntry.connection_id), col(OutboxEntry.id), col(OutboxEntry.state)
_AMOUNT = col(OutboxEntry.amount_e4)


OUTBOX = Listing(
    name="outbox",
    table=OutboxEntry,
    company=_COMPANY,
    key=(_ID,),
    sorts={
        "id": Sort(),
        "kind": Sort(col(OutboxEntry.kind)),
        "step": Sort(col(OutboxEntry.step)),
        "company": Sort(joins.COMPANY_NAME, needs=(joins.COMPANY,)),
        "customer": Sort(joins.CUSTOMER_NAME, needs=(joins.CUSTOMER,)),
        "amount": Sort(_AMOUNT, ValueKind.INTEGER),
        "send_after": Sort(col(OutboxEntry.send_after), ValueKind.INSTANT),
        "ended_at": Sort(col(OutboxEntry.ended_at), ValueKind.INSTANT),
    },
    default_sort="-id",
    filters=(
        Filter(
            "state", "State", FilterKind.CHOICE, joins.equals(_STATE, OutboxState),
            {each.value: _NAMES["outbox_state"][each] for each in OutboxState},
        ),
        Filter(
            "kind", "Kind", FilterKind.CHOICE, joins.equals(col(OutboxEntry.kind), OutboxKind),
            {each.value: _NAMES["outbox_kind"][each] for each in OutboxKind},
        ),
        Filter(
            "step", "Step", FilterKind.CHOICE, joins.equals(col(OutboxEntry.step)),
            {each.value: _NAMES["step"][each] for each in Step},
        ),
        joins.customer_filter(),
        *joins.amount_filters(_AMOUNT),
        joins.currency_filter(col(OutboxEntry.currency)),
        *joins.instant_filters(col(OutboxEntry.planned_at), "Planned", ("planned_from", "planned_to")),
        *joins.instant_filters(col(OutboxEntry.ended_at), "Ended", ("ended_from", "ended_to")),
        joins.segment_filter(_COMPANY, col(OutboxEntry.customer_id)),
        joins.owner_filter(),
    ),
    currency=col(OutboxEntry.currency),
    amounts={"amount": _AMOUNT},
    joins=joins.joins_of(_COMPANY, col(OutboxEntry.customer_id)),
)  # fmt: skip

OUTBOX_PAGE = with_default(OUTBOX, "state", OutboxState.AWAITING_APPROVAL)

_waiver = aliased(OutboxEntry)
_IS_WAIVED = or_(
    and_(_STATE == OutboxState.REJECTED, col(OutboxEntry.resolved_by) != ""),
    exists().where(
        _waiver.parent_id == _ID,  # type: ignore[arg-type]
        _waiver.kind == OutboxKind.FEE_WAIVER,  # type: ignore[arg-type]
        _waiver.state != OutboxState.REJECTED,  # type: ignore[arg-type]
    ),
)
_FEE_STATES: dict[str, Any] = {
    FeeState.DRAFT: lambda _today: _STATE == OutboxState.AWAITING_APPROVAL,
    FeeState.APPROVED: lambda _today: _STATE == OutboxState.PLANNED,
    FeeState.POSTED: lambda _today: and_(_STATE == OutboxState.DONE, not_(_IS_WAIVED)),
    FeeState.WAIVED: lambda _today: _IS_WAIVED,
    FeeState.REJECTED: lambda _today: and_(_STATE == OutboxState.REJECTED, not_(_IS_WAIVED)),
    FeeState.UNCONFIRMED: lambda _today: _STATE == OutboxState.UNCONFIRMED,
    FeeState.CANCELLED: lambda _today: _STATE == OutboxState.CANCELLED,
}
FEES = replace(
    OUTBOX,
    name="fees",
    always=(col(OutboxEntry.kind) == OutboxKind.LATE_FEE,),
    sorts={**OUTBOX.sorts, "state": Sort(_STATE)},
    filters=(
        Filter(
            "state", "State", FilterKind.CHOICE, joins.one_of(_FEE_STATES),
            {each: _NAMES["fee_state"][each] for each in _FEE_STATES},
        ),
        *(each for each in OUTBOX.filters if each.name not in {"state", "kind", "step"}),
    ),
)  # fmt: skip


def load_entries(session: Session, keys: Sequence[Key]) -> list[EntryView]:
    """Return the entries with these keys, in their order."""
    ids = [key[0] for key in keys]
    found = {view.entry.id: view for view in load_views(session, entries_query().where(_ID.in_(ids)))} if ids else {}
    return [found[each] for each in ids if each in found]
