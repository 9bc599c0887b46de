"""Commands for tasks: list, done, outcome and assign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import (
    AllOption,
    ConnectionOption,
    LimitOption,
    parse_amount,
    parse_contact,
    parse_date,
    parse_mailbox,
    rows_max,
)
from connector.cli.terminal import (
    Columns,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_json,
    echo_results,
    find_connection_id,
    open_command_app,
    os_user,
)
from connector.db.ids import ID_MAX

if TYPE_CHECKING:
    from connector.arrangements.task_list import TaskItem

IdsArgument = Annotated[list[int], typer.Argument(metavar="ID...", min=1, max=ID_MAX, help="See: duewell tasks list")]
tasks = build_group(ListGroup, "Show and complete tasks: calls, reviews, missing addresses.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(tasks, name="tasks")


@tasks.command("list")
def list_tasks(
    connection: ConnectionOption = None,
    owner: Annotated[str, typer.Option(help="Only tasks of this person; part of the name or address is enough.")] = "",
    include_closed: Annotated[bool, typer.Option("--closed", help="Include completed and cancelled tasks.")] = False,
    limit: LimitOption = None,
    show_all: AllOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List open tasks, the earliest due first."""
    from connector.arrangements.task_list import find_tasks
    from connector.db.engine import reading
    from connector.vocabulary import TaskState
    from connector.vocabulary.labels import label

    most = rows_max(limit, show_all=show_all, for_programs=as_json)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            states = tuple(TaskState) if include_closed else (TaskState.OPEN,)
            rows = find_tasks(session, inside, states=states, owner=owner)
    columns: Columns[TaskItem] = {
        "ID": lambda row: row.id,
        "DUE ON": lambda row: row.due_on,
        "COMPANY": lambda row: row.connection,
        "OWNER": lambda row: row.owner,
        "CUSTOMER": lambda row: row.customer,
        "INVOICES": lambda row: ", ".join(row.invoices),
        "TASK": lambda row: label(row.kind, "task_code"),
        "DETAILS": lambda row: row.text,
    }
    if include_closed:
        columns |= {"STATE": lambda row: label(row.state), "OUTCOME": lambda row: row.outcome}
    echo_results(rows, columns, "There are no open tasks.", as_json=as_json, wide=wide, limit=most)


@tasks.command("done")
def complete_tasks(
    ids: IdsArgument,
    note: Annotated[str, typer.Option(help="The outcome, for your colleagues.")],
    as_json: JsonOption = False,
) -> None:
    """Mark tasks as completed."""
    from connector.arrangements.tasks import complete

    if not note.strip():
        raise typer.BadParameter("Enter the outcome: what came of it.", param_hint="--note")

    with open_command_app() as app:
        results = complete(app, ids, by=os_user(), note=note)
    if as_json:
        echo_json(results)
    else:
        echo(f"Completed: {', '.join(str(result.id) for result in results)}")


@tasks.command("outcome")
def record_outcome(
    task_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="See: duewell tasks list")],
    *,
    promised: Annotated[
        str | None, typer.Option(metavar="DATE", help="The customer promised to pay on this date.")
    ] = None,
    amount: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="How much of it they promised, like 500.00; default: all.")
    ] = None,
    disputed: Annotated[str | None, typer.Option(metavar="REASON", help="The customer disputes the invoice.")] = None,
    pause_until: Annotated[str | None, typer.Option(metavar="DATE", help="Pause reminders until this date.")] = None,
    retry_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="Nobody answered; try again on this date.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(metavar="'NAME <EMAIL>'", help="Send emails to this contact from now on.")
    ] = None,
    no_reminders: Annotated[
        bool, typer.Option("--no-reminders", help="The customer wants calls instead of emails.")
    ] = False,
    note: Annotated[str, typer.Option(help="A note for your colleagues.")] = "",
    invoice: Annotated[
        list[str] | None, typer.Option(help="Only this invoice of the task; can be repeated. Default: all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Record the outcome of a task.

    Promises, disputes and pauses apply from the next sync.
    """
    from connector.arrangements.tasks import Contact, TaskOutcome, record_task_outcome
    from connector.vocabulary.labels import label

    outcome = TaskOutcome(
        note=note,
        promised_on=parse_date(promised) if promised else None,
        promised_amount=parse_amount(amount) if amount else None,
        disputed=disputed,
        paused_until_on=parse_date(pause_until) if pause_until else None,
        retry_on=parse_date(retry_on) if retry_on else None,
        contact=Contact(*parse_contact(contact)) if contact else None,
        no_reminders=no_reminders,
        invoices=tuple(invoice or ()),
    )
    if not outcome.summary():
        raise typer.BadParameter("Give at least one outcome. See: duewell tasks outcome --help")
    with open_command_app() as app:
        result = record_task_outcome(app, task_id, outcome, by=os_user())
    if as_json:
        echo_json(result)
    else:
        echo(f"Task {result.id}: {label(result.state)}. {result.outcome}")


@tasks.command("note")
def add_note(
    task_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="See: duewell tasks list")],
    note: Annotated[str, typer.Argument(metavar="NOTE", help="A note for your colleagues.")],
    as_json: JsonOption = False,
) -> None:
    """Add a note to an open task."""
    from connector.arrangements.tasks import add_note as add

    with open_command_app() as app:
        add(app, task_id, note, by=os_user())
    if as_json:
        echo_json({"id": task_id, "note": note})
    else:
        echo(f"Task {task_id}: noted")


@tasks.command("assign")
def assign_tasks(
    ids: IdsArgument,
    to: Annotated[str, typer.Option(metavar="'NAME <EMAIL>'", help="The new owner.")],
    as_json: JsonOption = False,
) -> None:
    """Assign tasks to another person."""
    from connector.arrangements.tasks import reassign

    to = parse_mailbox(to)
    with open_command_app() as app:
        reassign(app, ids, to, by=os_user())
    if as_json:
        echo_json([{"id": task_id, "owner": to} for task_id in ids])
    else:
        echo(f"Assigned to {to}: {', '.join(map(str, ids))}")
