"""The pages of outbox entries and of late fees, with approving, rejecting, resolving and waiving many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sqlmodel import Session
from starlette.responses import Response

from connector.db.engine import reading
from connector.errors import NotPossible
from connector.outbox.payloads import LateFeePayload, amount_of, load_payload, payload_as
from connector.services import fees as late_fees
from connector.services import outbox_search
from connector.services.lists import bulk
from connector.services.lists import outbox as listed
from connector.services.lists.bulk import Actor, BulkResult, SeenRow
from connector.services.lists.engine import Key
from connector.services.outbox_search import EntryView
from connector.services.review_queue import DEFAULT_SORT
from connector.vocabulary import FeeState, OutboxState
from connector.vocabulary.labels import in_sentence, label
from connector.web.lists import page
from connector.web.lists.shown import load_list, render_list
from connector.web.lists.view import Action, Cell, Column, Field, ListView, Narrow, Row, money_cell, utc_text
from connector.web.page_request import PageRequest, entity_url
from connector.web.rendering import PageTime
from connector.web.routes import Route
from policies.currencies import plain_amount

# The tabs: the states that each shows, as the value of the filter ``state``
TABS = (
    OutboxState.AWAITING_APPROVAL.value,
    OutboxState.UNCONFIRMED.value,
    f"{OutboxState.PLANNED.value},{OutboxState.SENDING.value}",
    OutboxState.DONE.value,
    OutboxState.REJECTED.value,
)
_ENDED = {OutboxState.DONE, OutboxState.REJECTED, OutboxState.UNCONFIRMED, OutboxState.CANCELLED}
_REASON = Field("reason", "Reason")


def list_entries(request: PageRequest) -> Response:
    """Show a page of entries, below tabs with the states that need a user counted."""
    with reading(request.app.engine) as session:
        company_filter = request.company_filter(session)
        counts = outbox_search.count_needing_attention(session, company_filter.ids)
        shown = load_list(OUTBOX, request, session, request.query, company_filter)
    return render_list(shown, undo=None, tabs=TABS, counts=counts)


def load_entry_rows(_request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some entries."""
    return [_entry_row(view) for view in listed.load_entries(session, keys)]


def entry_title(view: EntryView) -> str:
    """Return what an entry is: "Email: First reminder"."""
    kind = label(view.entry.kind, "outbox_kind")
    return f"{kind}: {label(view.entry.step, 'step')}" if view.entry.kind == "email" and view.entry.step else kind


def _entry_row(view: EntryView) -> Row:
    entry = view.entry
    amount = amount_of(load_payload(entry))
    plain = "" if amount is None else plain_amount(amount, entry.currency)
    is_over = entry.state in _ENDED
    at = entry.ended_at if is_over else entry.send_after
    when = "" if at is None else PageTime(at, view.company.time_zone)
    return Row(
        key=(entry.id,),
        version=view.etag,
        title=f"{in_sentence(label(entry.kind, 'outbox_kind'))} to {view.customer or view.company.name}",
        cells=(
            Cell(entry_title(view), f"/outbox/{entry.id}"),
            Cell(view.company.name),
            _customer_cell(view),
            money_cell(amount, entry.currency),
            Cell(when or "–" if is_over or when else "With the next sync"),
            Cell(entry.reason, note=entry.response),
        ),
        exported=(
            *(entry.id, label(entry.kind, "outbox_kind"), label(entry.step, "step") if entry.step else ""),
            *(view.state_label, view.company.name, view.customer, plain, entry.currency),
            *(utc_text(entry.planned_at), utc_text(entry.ended_at), entry.reason, entry.response),
        ),
    )


def _customer_cell(view: EntryView) -> Cell:
    if not view.customer:
        return Cell("–")
    return Cell(view.customer, entity_url(view.entry.connection_id, "customers", view.entry.customer_id))


def load_fee_rows(_request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some late fees."""
    views = listed.load_entries(session, keys)
    originals = late_fees.load_original_names(session, [view.entry for view in views])
    return [_fee_row(view, ", ".join(originals[view.entry.id])) for view in views]


def _fee_row(view: EntryView, originals: str) -> Row:
    entry, fee = view.entry, payload_as(LateFeePayload, view.entry)
    return Row(
        key=(entry.id,),
        version=view.etag,
        title=f"late fee {fee.number} to {view.customer or view.company.name}",
        cells=(
            Cell(fee.number, f"/outbox/{entry.id}"),
            Cell(view.state_label),
            Cell(view.company.name),
            _customer_cell(view),
            Cell(originals),
            money_cell(fee.amount, entry.currency),
            Cell(f"{fee.annual_rate}"),
        ),
        exported=(
            *(fee.number, view.state_label, view.company.name, view.customer, originals),
            *(plain_amount(fee.amount, entry.currency), entry.currency, fee.annual_rate, utc_text(entry.planned_at)),
        ),
    )


def _decide(request: PageRequest, rows: Sequence[SeenRow], actor: Actor, *, approve: bool) -> BulkResult:
    reason = request.form_value("reason")
    if not approve and not reason:
        raise NotPossible("Enter the reason: why these entries are rejected.")
    return bulk.decide_entries(request.app, rows, actor, approve=approve, reason=reason)


def _resolve(request: PageRequest, rows: Sequence[SeenRow], actor: Actor, *, sent: bool) -> BulkResult:
    return bulk.resolve_entries(request.app, rows, actor, sent=sent)


def _waive(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    reason = request.form_value("reason")
    if not reason:
        raise NotPossible("Enter the reason: why these fees are waived.")
    return bulk.waive_fees(request.app, rows, actor, reason=reason)


_APPROVE = Action("approve", "Approve", partial(_decide, approve=True), "approved", "approved", style="")
_REJECT = Action("reject", "Reject", partial(_decide, approve=False), "rejected", "rejected", (_REASON,), "danger")
_SENT = Action("sent", "Mark as sent", partial(_resolve, sent=True), "sent", "marked as sent")
_NOT_SENT = Action("not_sent", "Mark as not sent", partial(_resolve, sent=False), "not_sent", "marked as not sent")
_WAIVE = Action("waive", "Waive", _waive, "waived", "waived", (_REASON,), "danger")


def _entry_actions(values: Mapping[str, str]) -> tuple[Action, ...]:
    by_state: dict[str, tuple[Action, ...]] = {
        OutboxState.AWAITING_APPROVAL: (_APPROVE, _REJECT),
        OutboxState.UNCONFIRMED: (_SENT, _NOT_SENT),
    }
    return by_state.get(values["state"], ())


def _fee_actions(values: Mapping[str, str]) -> tuple[Action, ...]:
    return (_APPROVE, _WAIVE) if values["state"] == FeeState.DRAFT else (_WAIVE,)


OUTBOX = ListView(
    path="/outbox",
    title="Outbox",
    singular="entry",
    plural="entries",
    listing=listed.OUTBOX_PAGE,
    columns=(
        Column("Action", "step"),
        Column("Company", "company", is_company=True),
        Column("Customer", "customer", narrow=Narrow.SECOND),
        Column("Amount", "amount", total="amount", is_number=True, narrow=Narrow.SIDE),
        Column("Send or sent", "send_after", narrow=Narrow.END),
        Column("Reason"),
    ),
    load=load_entry_rows,
    csv_headings=(
        *("id", "kind", "step", "state", "company", "customer", "amount", "currency"),
        *("planned at (UTC)", "ended at (UTC)", "reason", "response"),
    ),
    empty="Nothing here yet.",
    empty_states={
        OutboxState.AWAITING_APPROVAL: "Nothing awaits approval.",
        OutboxState.UNCONFIRMED: "All deliveries are confirmed.",
    },
    actions=_entry_actions,
    prominent=("search", "step"),
    template="outbox.html",
    tabbed=("state",),
    sorts_by_state={OutboxState.AWAITING_APPROVAL: DEFAULT_SORT},
)
FEES = ListView(
    path="/fees",
    title="Late fees",
    singular="late fee",
    plural="late fees",
    listing=listed.FEES,
    columns=(
        Column("Fee invoice", "id"),
        Column("State", "state", narrow=Narrow.END),
        Column("Company", "company", is_company=True),
        Column("Customer", "customer", narrow=Narrow.SECOND),
        Column("For invoice"),
        Column("Amount", "amount", total="amount", is_number=True, narrow=Narrow.SIDE),
        Column("% per year", is_number=True),
    ),
    load=load_fee_rows,
    csv_headings=(
        *("fee invoice", "state", "company", "customer", "for invoice", "amount", "currency", "% per year"),
        "planned at (UTC)",
    ),
    empty="No late fees yet.",
    actions=_fee_actions,
)
ROUTES = (
    Route("GET", "/outbox", list_entries),
    *(route for route in page.list_routes(OUTBOX) if (route.method, route.path) != ("GET", "/outbox")),
    *page.list_routes(FEES),
)
