"""A task: whom to call about what, and the forms that record what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from sqlmodel import Session
from starlette.responses import Response

from connector.arrangements import tasks
from connector.arrangements.agreements import AgreementError
from connector.connections.account_owners import InvalidMailboxError, load_team
from connector.db.engine import reading
from connector.db.tables import CustomerRow, Task
from connector.errors import InvalidField, NotFound, NotPossible
from connector.geo import today_in
from connector.services import portal_reports
from connector.services.task_details import load_task_details
from connector.vocabulary import Role, TaskCode, TaskState
from connector.web.agreement_forms import form_date
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_AMOUNT = re.compile(r"(\d{1,12}|\d{1,3}(,\d{3}){1,3})(\.\d{1,4})?")
_FIELDS = ("note", "promised_on", "promised_amount", "disputed", "retry_on", "owner")


def show_task(request: PageRequest) -> Response:
    """Show a task with its customer, their telephone numbers, and what is due now."""
    return _render(request, {})


def update_task(request: PageRequest) -> Response:
    """Record what came of a task, or snooze, assign or annotate it; what is wrong stays in the form."""
    with reading(request.app.engine) as session:
        row = _get_task(request, session)
    action = _ACTIONS.get(request.form_value("do"))
    if action is None:
        raise NotFound
    try:
        notice = action(request, row.id or 0)
    except InvalidField as error:
        return _render(request, {error.field: str(error)})
    except (tasks.TaskError, AgreementError) as error:
        if request.form_value("do") == "promise" and row.state == TaskState.OPEN:
            return _render(request, {"promised_amount" if "amount" in str(error) else "promised_on": str(error)})
        raise NotPossible(str(error)) from error
    if notice == "task_closed":
        with reading(request.app.engine) as session:
            ended_at = _get_task(request, session).ended_at
        undo = {"undo": ended_at.isoformat()} if ended_at is not None else {}
        return request.redirect("/tasks", notice=notice, **undo)  # of whichever companies the user has chosen
    return request.redirect(request.path, notice=notice)


def _record_promise(request: PageRequest, task_id: int) -> str:
    on = form_date(request, "promised_on")
    if on is None:
        raise InvalidField("promised_on", "Enter the date of the promised payment.")
    outcome = tasks.TaskOutcome(
        note=request.form_value("note"), promised_on=on, promised_amount=_form_amount(request, "promised_amount")
    )
    tasks.record_task_outcome(request.app, task_id, outcome, by=request.actor.email)
    return "task_closed"


def _record_outcome(request: PageRequest, task_id: int) -> str:
    outcome = tasks.TaskOutcome(note=request.form_value("note"), disputed=request.form_value("disputed") or None)
    if not outcome.summary():
        raise InvalidField("note", "Enter what came of it.")
    tasks.record_task_outcome(request.app, task_id, outcome, by=request.actor.email)
    return "task_closed"


def _snooze(request: PageRequest, task_id: int) -> str:
    on = form_date(request, "retry_on")
    with reading(request.app.engine) as session:
        row = _get_task(request, session)
        today = today_in(request.company(session, row.connection_id).time_zone, request.now)
    if on is None or on <= today:
        raise InvalidField("retry_on", "Enter a date in the future.")
    outcome = tasks.TaskOutcome(note=request.form_value("note"), retry_on=on)
    tasks.record_task_outcome(request.app, task_id, outcome, by=request.actor.email)
    return "task_snoozed"


def _assign(request: PageRequest, task_id: int) -> str:
    try:
        tasks.reassign(request.app, [task_id], request.form_value("owner", 200), by=request.actor.email)
    except InvalidMailboxError as error:
        raise InvalidField("owner", str(error)) from error
    return "task_assigned"


def _add_note(request: PageRequest, task_id: int) -> str:
    note = request.form_value("note")
    if not note:
        raise InvalidField("note", "Enter a note.")
    tasks.add_note(request.app, task_id, note, by=request.actor.email)
    return "recorded"


_ACTIONS: dict[str, Callable[[PageRequest, int], str]] = {
    "promise": _record_promise,
    "close": _record_outcome,
    "snooze": _snooze,
    "assign": _assign,
    "note": _add_note,
}


def _render(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the task; ``problems`` are what is wrong with the fields of the submitted form, whose values stay."""
    with reading(request.app.engine) as session:
        row = _get_task(request, session)
        company = request.company(session, row.connection_id)
        customer = session.get(CustomerRow, (row.connection_id, row.customer_id))
        details = load_task_details(session, row, company, customer, today_in(company.time_zone, request.now))
        is_reported = customer is not None and row.code in (TaskCode.PAYMENT_REPORTED, TaskCode.FILE_RECEIVED)
        unapplied = portal_reports.list_unapplied(session, customer) if customer is not None and is_reported else []
        team = load_team(session, company)
    return request.render(
        "task.html",
        422 if problems else 200,
        task=row,
        company=company,
        customer=customer,
        details=details,
        unapplied=unapplied,
        owners=sorted({*team.owners.values(), team.default_owner, row.owner} - {""}),
        problems=problems,
        submitted=request.form_value("do"),
        values={name: request.form_value(name) for name in _FIELDS},
    )


def _form_amount(request: PageRequest, name: str) -> Decimal | None:
    text = request.form_value(name, 30)
    if not text:
        return None
    if not _AMOUNT.fullmatch(text) or not (amount := Decimal(text.replace(",", ""))):
        raise InvalidField(name, f"{text!r} is not an amount. Enter it as 1200.50.")
    return amount


def _get_task(request: PageRequest, session: Session) -> Task:
    row = session.get(Task, request.path_id("task"))
    if row is None or not request.actor.can_see(row.connection_id):
        raise NotFound
    return row


ROUTES = (
    Route("GET", "/tasks/{task:int}", show_task),
    Route("POST", "/tasks/{task:int}", update_task, Role.BOOKKEEPER),
)
