"""Undoing one act as a whole right after it: invoices paused together, the outcome of a task with what was promised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.arrangements.agreements import AgreementError, Attribution
from connector.arrangements.review_tasks import reopen_task
from connector.arrangements.undone_agreements import UNDO_WITHIN, UNDOABLE, undo_agreement
from connector.db.tables import Agreement, InvoiceRow, Task
from connector.vocabulary import AgreementState, TaskState
from connector.vocabulary.labels import in_sentence, label

_CHANGED = "Something of this was changed since, or it is too long ago. Nothing was undone."


@dataclass(frozen=True, slots=True)
class RecentAct:
    """What one user recorded at one instant, and can still undo."""

    at: datetime
    agreements: list[Agreement]
    tasks: list[Task]

    @property
    def companies(self) -> set[int]:
        """The companies it was recorded in."""
        return {each.connection_id for each in self.agreements} | {each.connection_id for each in self.tasks}

    @property
    def title(self) -> str:
        """What is undone, in words."""
        if self.tasks:
            return "outcome of the task"
        count = len(self.agreements)
        kind = in_sentence(label(self.agreements[0].kind))
        return f"{kind} for {count:,} {'invoice' if count == 1 else 'invoices'}"


def find_act(session: Session, *, by: str, at: datetime, now: datetime) -> RecentAct | None:
    """Return what a user recorded at an instant; None where nothing of it can be undone any more."""
    if not now - UNDO_WITHIN <= at <= now:
        return None
    agreements = session.scalars(
        select(Agreement)
        .where(
            col(Agreement.recorded_at) == at,
            col(Agreement.recorded_by) == by,
            col(Agreement.kind).in_(list(UNDOABLE)),
            col(Agreement.state) == AgreementState.OPEN,
        )
        .order_by(col(Agreement.id))
    )
    tasks = session.scalars(
        select(Task).where(col(Task.ended_at) == at, col(Task.ended_by) == by, col(Task.state) == TaskState.DONE)
    )
    act = RecentAct(at, list(agreements), list(tasks))
    return act if act.agreements or act.tasks else None


def find_last_act(session: Session, *, by: str, now: datetime) -> RecentAct | None:
    """Return the last that a user recorded and can still undo, None where there is nothing."""
    recorded = select(func.max(Agreement.recorded_at)).where(
        col(Agreement.recorded_by) == by,
        col(Agreement.recorded_at) >= now - UNDO_WITHIN,
        col(Agreement.kind).in_(list(UNDOABLE)),
        col(Agreement.state) == AgreementState.OPEN,
    )
    ended = select(func.max(Task.ended_at)).where(
        col(Task.ended_by) == by, col(Task.ended_at) >= now - UNDO_WITHIN, col(Task.state) == TaskState.DONE
    )
    instants = [at for at in (session.scalar(recorded), session.scalar(ended)) if at is not None]
    return find_act(session, by=by, at=max(instants), now=now) if instants else None


def undo_act(session: Session, act: RecentAct, attribution: Attribution) -> None:
    """Undo all of an act: what it replaced applies again, and its tasks are open again.

    Raises:
        AgreementError: some of it was changed since; nothing is undone, once the transaction is rolled back.

    """
    for agreement in act.agreements:
        invoice = session.get(InvoiceRow, (agreement.connection_id, agreement.invoice_id))
        if invoice is None:
            raise AgreementError(_CHANGED)
        undo_agreement(session, invoice, agreement.id or 0, attribution)
    for task in act.tasks:
        notes = task.outcome
        reopen_task(session, task, at=attribution.at)
        task.outcome, task.ended_by = f"{notes} (undone)", ""
