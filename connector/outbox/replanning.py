"""Planning anew: the unsent entries of a company are made equal to what the policy decided by now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector.db.money import to_e4
from connector.db.tables import Connection, OutboxEntry
from connector.outbox.drafts import Draft
from connector.outbox.entries import EMAIL_KINDS, UNSENT_STATES, find_by_keys
from connector.outbox.payloads import amount_of, dump_payload
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from connector.vocabulary.outbox import BANK_DETAILS_STEP

REPLANNED_KINDS = (*EMAIL_KINDS, OutboxKind.LATE_FEE)  # notes and waivers follow from what was done, and stay planned


@dataclass(slots=True)
class ReplanResult:
    """What planning anew has changed, by key.

    ``rejected`` are drafts that were rejected before, with the reason; ``custom_text_lost`` are emails whose facts have
    changed, so that the text a user wrote for them is gone.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    custom_text_lost: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)


class PlanScope(NamedTuple):
    """Whose entries are planned anew: those of some customers, with the account owners' emails, or with None all.

    The recheck before sending adds none and leaves the owners' emails: it may cancel or correct an entry, while what it
    newly brings is planned by the next run.
    """

    customer_ids: Collection[str] | None = None
    is_recheck: bool = False


EVERYBODY = PlanScope()


def replan(
    session: Session,
    connection: Connection,
    drafts: Sequence[Draft],
    *,
    at: datetime,
    run_id: int,
    policy_version: int | None,
    policy_versions: Mapping[str, int | None] | None = None,
    scope: PlanScope = EVERYBODY,
) -> ReplanResult:
    """Make the unsent entries of the connection equal to ``drafts``.

    ``policy_versions`` are by customer; ``policy_version`` is for all others.
    """
    drafts_by_key = {draft.key: draft for draft in drafts}
    rows = {row.key: row for row in _find_unsent(session, connection, scope)}
    rows |= {row.key: row for row in find_by_keys(session, [key for key in drafts_by_key if key not in rows])}
    result = ReplanResult()
    for key, draft in drafts_by_key.items():
        row = rows.get(key)
        if row is None and scope.is_recheck:
            continue
        if row is None:
            row = OutboxEntry(
                connection_id=connection.id or 0,
                key=key,
                kind=draft.kind,
                state=OutboxState.PLANNED,
                customer_id=draft.customer_id,
                payload={},
                planned_at=at,
            )
            session.add(row)
            result.added.append(key)
        elif row.state == OutboxState.REJECTED and (row.resolved_by or row.content_hash == draft.content_hash):
            result.rejected[key] = row.response
            continue
        elif row.state not in {*UNSENT_STATES, OutboxState.REJECTED}:
            continue  # sent, or being sent
        elif row.content_hash != draft.content_hash:
            result.changed.append(key)
        if row.content_hash != draft.content_hash:
            row.run_id = run_id
            row.policy_version = (policy_versions or {}).get(draft.customer_id, policy_version)
            result.custom_text_lost += [key] if row.custom_text else []
            _withdraw_approval(row, at)
        _update_from_draft(row, draft, connection.mode)
    for key, row in rows.items():
        if key not in drafts_by_key and row.state in UNSENT_STATES:
            session.delete(row)
            result.cancelled.append(key)
    return result


def _withdraw_approval(row: OutboxEntry, at: datetime) -> None:
    """Forget what users decided and wrote about content that is about to change."""
    row.approved_at, row.approved_by, row.custom_text = None, "", None
    if row.content_hash:  # else it is new: nobody has read it yet
        row.changed_at, row.changed_by = at, ""


def _update_from_draft(row: OutboxEntry, draft: Draft, mode: str) -> None:
    row.payload, row.content_hash, row.reason = dump_payload(draft.payload), draft.content_hash, draft.reason
    row.invoice_id, row.currency, row.step = draft.invoice_id, draft.currency, draft.step
    amount = amount_of(draft.payload)
    row.amount_e4 = None if amount is None else to_e4(amount)
    row.customer_id = draft.customer_id  # the invoice may have moved to another customer
    row.send_after = draft.send_after
    # The account owner's own email needs nobody's approval; an email with a custom text always does.
    needs_approval = draft.needs_approval or mode == ConnectionMode.APPROVE or bool(row.custom_text)
    waits = needs_approval and row.approved_at is None and draft.kind != OutboxKind.OWNER_EMAIL
    row.state, row.ended_at = (OutboxState.AWAITING_APPROVAL if waits else OutboxState.PLANNED), None


def _find_unsent(session: Session, connection: Connection, scope: PlanScope) -> list[OutboxEntry]:
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection.id,
        col(OutboxEntry.state).in_(UNSENT_STATES),
        col(OutboxEntry.kind).in_(REPLANNED_KINDS),
        col(OutboxEntry.step) != BANK_DETAILS_STEP,
    )
    if scope.customer_ids is not None:
        is_theirs = col(OutboxEntry.customer_id).in_(list(scope.customer_ids))
        is_internal = col(OutboxEntry.kind) == OutboxKind.OWNER_EMAIL
        query = query.where(is_theirs if scope.is_recheck else or_(is_theirs, is_internal))
    return list(session.scalars(query))


def list_unsent_of_others(session: Session, connection: Connection, customer_ids: Collection[str]) -> list[OutboxEntry]:
    """Return the unsent emails to all customers but these."""
    rows = _find_unsent(session, connection, EVERYBODY)
    return [row for row in rows if row.kind == OutboxKind.EMAIL and row.customer_id not in customer_ids]
