"""Commands about tasks: who has to do what by when, and what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.commands.given import WithinOption, parse_contact, parse_day, parse_person
from connector.commands.terminal import (
    JsonOption,
    ListGroup,
    group,
    opened,
    put,
    put_json,
    put_list,
    who,
    within,
)
from connector.ids import ID_MAX

IdsArgument = Annotated[list[int], typer.Argument(metavar="ID...", min=1, max=ID_MAX, help="As in: duewell tasks list")]
tasks = group(ListGroup, "Work for people: calls, reviews, addresses to find.")


def add_to(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(tasks, name="tasks")


@tasks.command("list")
def list_tasks(
    connection: WithinOption = None,
    owner: Annotated[str, typer.Option(help="Only those of this person: a part of the name or address.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what is to be done, the soonest due first."""
    from connector.database import reading
    from connector.people.tasks import STATES, listing

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            rows = listing(session, inside, states=STATES if every else ("open",), owner=owner)
    if not as_json:
        for row in rows:
            row["of"] = ", ".join(row["invoices"][:3]) + (" …" if len(row["invoices"]) > 3 else "")
    columns = {"id": "ID", "due_on": "DUE ON", "connection": "BOOKS", "owner": "OWNER", "customer": "CUSTOMER"}
    columns |= {"of": "INVOICES", "why": "WHAT"} | ({"state": "STATE", "outcome": "OUTCOME"} if every else {})
    put_list(rows, columns, "There is nothing to do.", as_json=as_json)


@tasks.command("done")
def end_tasks(
    ids: IdsArgument,
    note: Annotated[str, typer.Option(help="What came of it, for those who look later.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Say that tasks are done."""
    from connector.people.tasks import done

    with opened() as installation:
        results = done(installation, ids, by=who(), note=note)
    if as_json:
        put_json(results)
    else:
        put(f"Done: {', '.join(str(result['id']) for result in results)}")


@tasks.command("outcome")
def record_outcome(
    task_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="As in: duewell tasks list")],
    *,
    promised: Annotated[str | None, typer.Option(metavar="D", help="He will pay on this day.")] = None,
    disputed: Annotated[str | None, typer.Option(metavar="WHY", help="He disputes it.")] = None,
    pause_until: Annotated[str | None, typer.Option(metavar="D", help="Leave it alone until this day.")] = None,
    again: Annotated[str | None, typer.Option(metavar="D", help="Nobody reached; try again on this day.")] = None,
    contact: Annotated[str | None, typer.Option(metavar="'NAME <MAIL>'", help="Where mail goes from now on.")] = None,
    no_reminders: Annotated[bool, typer.Option("--no-reminders", help="He wants calls, no mails.")] = False,
    note: Annotated[str, typer.Option(help="In your words, for those who look later.")] = "",
    invoice: Annotated[list[str] | None, typer.Option(help="Only about this invoice of the task; repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Record what came of a task; what the customer said counts from the next run on."""
    from connector.people.tasks import Outcome, record

    outcome = Outcome(
        note=note,
        promised_on=parse_day(promised) if promised else None,
        disputed=disputed,
        paused_until_on=parse_day(pause_until) if pause_until else None,
        again_on=parse_day(again) if again else None,
        contact=parse_contact(contact) if contact else None,
        no_reminders=no_reminders,
        invoices=tuple(invoice or ()),
    )
    if not outcome.words():
        raise typer.BadParameter("Say what came of it; see: duewell tasks outcome --help")
    with opened() as installation:
        result = record(installation, task_id, outcome, by=who())
    if as_json:
        put_json(result)
    else:
        put(f"Task {result['id']} is {result['state']}: {result['outcome']}")


@tasks.command("assign")
def assign_tasks(
    ids: IdsArgument,
    to: Annotated[str, typer.Option(metavar="'NAME <MAIL>'", help="Who is to do them.")],
    as_json: JsonOption = False,
) -> None:
    """Give tasks to somebody else."""
    from connector.people.tasks import assign

    to = parse_person(to)
    with opened() as installation:
        assign(installation, ids, to, by=who())
    if as_json:
        put_json([{"id": task_id, "owner": to} for task_id in ids])
    else:
        put(f"Given to {to}: {', '.join(map(str, ids))}")
