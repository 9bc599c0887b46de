"""What customers report in the portal: kept as a draft while they read the summary, sent once, undone for an hour."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements.undone_agreements import UNDO_WITHIN
from connector.db.engine import reading, writing
from connector.db.tables import (
    Agreement,
    PortalResponse,
    Task,
)
from connector.emails.portal_links import PortalVisitor
from connector.portal import files, handlers
from connector.portal.customer_response import ABOUT_INVOICES, CustomerResponse, ResponseRejected, from_json
from connector.portal.response_context import (
    ResponseContext,
    build_context,
    own_customer_ids,
)
from connector.portal.undone_responses import undo
from connector.vocabulary import (
    AgreementKind,
    AgreementState,
    ResponseKind,
    ResponseState,
    TaskState,
)

REPEATED = "done_already"
NOT_UNDOABLE = frozenset({ResponseKind.WITHDRAW, ResponseKind.LANGUAGE})
_KEY_BYTES = 18
_RECENT_MAX = 50  # responses that are looked at for one that says the same


class StoredResponse(NamedTuple):
    """A response of a customer. ``undo_until`` is None where it cannot be undone (any more)."""

    key: str
    content: CustomerResponse
    state: ResponseState
    responded_at: datetime | None
    result: str
    undo_until: datetime | None


def record_response(app: AppContext, visitor: PortalVisitor, response: CustomerResponse) -> str:
    """Record a response without a summary first; return the name of the text that confirms it."""
    return send_draft(app, visitor, save_draft(app, visitor, response)).result


def save_draft(
    app: AppContext, visitor: PortalVisitor, response: CustomerResponse, file: bytes = b"", changed_key: str = ""
) -> str:
    """Check a response and keep it, for the summary; return its key. Raises ``ResponseRejected``.

    Without a ``file`` it gets that of the draft which the customer changes.
    """
    key = secrets.token_urlsafe(_KEY_BYTES)
    with writing(app.engine) as session:
        context = build_context(app, session, visitor, response, key)
        if not file and changed_key:
            changed = _find(session, visitor, changed_key, lock=False)
            is_draft = changed is not None and changed.state == ResponseState.DRAFT
            file = files.open_response_file(session, app.keyring, changed_key) if is_draft else b""
        context.files = int(bool(file))
        handlers.check(context)
        content = _with_balances(context)
        row = PortalResponse(
            key=key,
            connection_id=visitor.connection_id,
            customer_id=visitor.customer_id,
            kind=response.kind,
            response=content.as_json(),
            created_at=context.now,
        )
        session.add(row)
        if file:
            files.keep_file(app, session, context.customer_key, key, file)
    return key


def find_response(app: AppContext, visitor: PortalVisitor, key: str) -> StoredResponse | None:
    """Return a response of the visitor; None for an unknown key."""
    with reading(app.engine) as session:
        row = _find(session, visitor, key, lock=False)
        return describe(row, app.now()) if row is not None else None


def send_draft(app: AppContext, visitor: PortalVisitor, key: str) -> StoredResponse:
    """Send a draft, once: for one that was sent before, return what it did.

    Raises:
        ResponseRejected: the draft is gone, or what it is about has changed; the summary then shows what is true now.

    """
    changed = False
    with writing(app.engine) as session:
        row = _find(session, visitor, key)
        if row is None:
            raise ResponseRejected("error_draft_gone")
        if row.state != ResponseState.DRAFT:
            return describe(row, app.now())
        content = from_json(row.response)
        context = build_context(app, session, visitor, content, key)
        context.files = files.count_files(session, key)
        handlers.check(context)
        if _with_balances(context).balances != content.balances:
            row.response, changed = _with_balances(context).as_json(), True
        else:
            _send(context, row, visitor)
        stored = describe(row, app.now())
    if changed:
        raise ResponseRejected("error_changed")
    return stored


def _send(context: ResponseContext, row: PortalResponse, visitor: PortalVisitor) -> None:
    is_repeated = _said_before(context, visitor)
    row.result = REPEATED if is_repeated else handlers.record(context)
    row.state, row.responded_at = ResponseState.SENT, context.now
    row.recorded_by, row.task_code = context.attribution.by, context.task_code


def undo_response(app: AppContext, visitor: PortalVisitor, key: str) -> None:
    """Undo a response for an hour, as far as nothing else was agreed meanwhile; a second time changes nothing.

    Raises:
        ResponseRejected: it is too late, or there is nothing to undo.

    """
    with writing(app.engine) as session:
        row = _find(session, visitor, key)
        if row is None:
            raise ResponseRejected("error_undo")
        if row.state == ResponseState.UNDONE:
            return
        stored = describe(row, app.now())
        if stored.undo_until is None:
            raise ResponseRejected("error_undo")
        undo(app, session, visitor, row, stored.content)
        row.state, row.undone_at = ResponseState.UNDONE, app.now()


def describe(row: PortalResponse, now: datetime) -> StoredResponse:
    """Return a stored response with its deadline for undoing."""
    content, undo_until = from_json(row.response), None
    if (
        row.state == ResponseState.SENT
        and row.responded_at is not None
        and row.result != REPEATED
        and content.kind not in NOT_UNDOABLE
        and now <= row.responded_at + UNDO_WITHIN
    ):
        undo_until = row.responded_at + UNDO_WITHIN
    return StoredResponse(row.key, content, ResponseState(row.state), row.responded_at, row.result, undo_until)


def _find(session: Session, visitor: PortalVisitor, key: str, *, lock: bool = True) -> PortalResponse | None:
    query = select(PortalResponse).where(
        col(PortalResponse.key) == key,
        col(PortalResponse.connection_id) == visitor.connection_id,
        col(PortalResponse.customer_id).in_(own_customer_ids(session, visitor)),
    )
    return session.scalars(query.with_for_update() if lock else query).first()


def _said_before(context: ResponseContext, visitor: PortalVisitor) -> bool:
    """Return whether the customer's last word about the same things is the same: it counts once."""
    query = (
        select(PortalResponse)
        .where(
            col(PortalResponse.connection_id) == visitor.connection_id,
            col(PortalResponse.customer_id).in_(own_customer_ids(context.session, visitor)),
            col(PortalResponse.state) == ResponseState.SENT,
            col(PortalResponse.result) != REPEATED,
        )
        .order_by(col(PortalResponse.id).desc())
        .limit(_RECENT_MAX)
    )
    mine = _without_balances(context.response)
    if context.files or mine.kind not in ABOUT_INVOICES:
        return False
    for row in context.session.scalars(query):
        earlier = _without_balances(from_json(row.response))
        if set(earlier.invoices) & set(mine.invoices):
            return earlier == mine and _still_applies(context, row)
    return False


def _still_applies(context: ResponseContext, earlier: PortalResponse) -> bool:
    """Return whether a user has not ended what the customer said before: else saying it again is news."""
    if earlier.kind == ResponseKind.DISPUTE:
        settings = [context.setting_of(each) for each in context.invoices]
        return all(each is not None and each.disputed_on is not None for each in settings)
    promises = select(Agreement).where(
        col(Agreement.connection_id) == earlier.connection_id,
        col(Agreement.kind) == AgreementKind.PROMISE,
        col(Agreement.recorded_by) == earlier.recorded_by,
        col(Agreement.recorded_at) == earlier.responded_at,
    )
    found = {each.invoice_id: each for each in context.session.scalars(promises.order_by(col(Agreement.id)))}
    if any(each.state != AgreementState.OPEN for each in found.values()):
        return False
    open_task = select(Task).where(
        col(Task.connection_id) == earlier.connection_id,
        col(Task.code) == earlier.task_code,
        col(Task.key).endswith(f":{earlier.key}", autoescape=True),
        col(Task.state) == TaskState.OPEN,
    )
    return context.session.scalars(open_task).first() is not None


def _without_balances(content: CustomerResponse) -> CustomerResponse:
    return from_json({**content.as_json(), "balances": {}})


def _with_balances(context: ResponseContext) -> CustomerResponse:
    balances = {each.external_id: each.due_e4 for each in context.invoices} if context.is_about_invoices else {}
    return from_json({**context.response.as_json(), "balances": balances})
