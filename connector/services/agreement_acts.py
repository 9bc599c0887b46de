"""Acts on several invoices at once, for programs and the command line: pause them together, undo that as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

from sqlmodel import Session

from connector.app_context import AppContext
from connector.arrangements.agreements import Attribution, pause_reminders
from connector.arrangements.undone_acts import RecentAct, find_act, find_last_act, undo_act
from connector.db.engine import writing
from connector.db.tables import InvoiceRow
from connector.errors import NotFound
from connector.results import Result
from connector.services.invoices import ActiveAgreements, InvoiceAgreements, active_agreements

NOTHING_TO_UNDO = "There is nothing to undo: it was undone or changed since, or is more than an hour ago."


class PausedInvoices(Result):
    """Invoices that were paused together, and when: the instant by which that can be undone."""

    recorded_at: datetime
    invoices: list[InvoiceAgreements]


class UndoneAct(Result):
    """What was undone: the agreements that apply again to its invoices, and the tasks that are open again."""

    recorded_at: datetime
    title: str
    invoices: list[InvoiceAgreements]
    task_ids: list[int]


def pause_invoices(
    app: AppContext, rows: Sequence[InvoiceRow], by: str, *, until_on: date | None, reason: str
) -> PausedInvoices:
    """Pause reminders for all of the invoices or, where one of them cannot be paused, for none.

    Raises:
        AgreementError: the date is not in the future.

    """
    attribution = Attribution(by, app.now())  # one instant, by which it can be undone as a whole
    with writing(app.engine) as session:
        for row in rows:
            pause_reminders(session, row, attribution, until=until_on, reason=reason)
        session.flush()
        return PausedInvoices(recorded_at=attribution.at, invoices=_agreements_of(session, rows))


def undo_recorded(app: AppContext, by: str, *, at: datetime | None, can_see: Callable[[int], bool]) -> UndoneAct:
    """Undo all that someone recorded at an instant, or the last that they did: all of it, or nothing.

    Raises:
        NotFound: there is nothing of theirs that can be undone.
        AgreementError: some of it was changed since.

    """
    now = app.now()
    with writing(app.engine) as session:
        act = find_last_act(session, by=by, now=now) if at is None else find_act(session, by=by, at=at, now=now)
        if act is None or not all(map(can_see, act.companies)):
            raise NotFound(NOTHING_TO_UNDO)
        title = act.title
        rows = _invoices_of(session, act)
        undo_act(session, act, Attribution(by, now))
        session.flush()
        return UndoneAct(
            recorded_at=act.at,
            title=title,
            invoices=_agreements_of(session, rows),
            task_ids=[task.id or 0 for task in act.tasks],
        )


def _invoices_of(session: Session, act: RecentAct) -> list[InvoiceRow]:
    keys = sorted({(each.connection_id, each.invoice_id) for each in act.agreements})
    return [row for row in (session.get(InvoiceRow, key) for key in keys) if row is not None]


def _agreements_of(session: Session, rows: Sequence[InvoiceRow]) -> list[InvoiceAgreements]:
    keys = [(row.connection_id, row.external_id) for row in rows]
    active = active_agreements(session, keys)
    return [
        InvoiceAgreements(id=row.external_id, number=row.number, active_agreements=active.get(key, ActiveAgreements()))
        for row, key in zip(rows, keys, strict=True)
    ]
