"""Commands for what leaves: the outbox, and late fees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.options import ConnectionOption, parse_choice
from connector.cli.terminal import (
    Columns,
    JsonOption,
    ListGroup,
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
    from connector.services.fees import FeeItem
    from connector.services.outbox_search import EntryItem

Ids = Annotated[list[int], typer.Argument(metavar="ID...", min=1, max=ID_MAX)]
EntryId = Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="As in: duewell outbox list")]
outbox = build_group(ListGroup, "What leaves, left, or waits for you.")
fees = build_group(ListGroup, "Late fees: approve them, waive them.")
_STATES = ("planned", "awaiting_approval", "sending", "done", "rejected", "unconfirmed")


def register(parent: typer.Typer) -> None:
    """Add these groups."""
    parent.add_typer(outbox, name="outbox")
    parent.add_typer(fees, name="fees")


@outbox.command("list")
def list_outbox(
    connection: ConnectionOption = None,
    state: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(_STATES)}.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the entries of the outbox, newest first."""
    from connector.db.engine import reading
    from connector.services.outbox_search import find_entries
    from connector.vocabulary.labels import label

    for name in state or []:
        parse_choice(name, _STATES, "state")
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = find_entries(session, inside, state or None)
    columns: Columns[EntryItem] = {
        "ID": lambda row: row.id,
        "STATE": lambda row: label(row.state),
        "KIND": lambda row: label(row.kind),
        "COMPANY": lambda row: row.connection,
        "CUSTOMER": lambda row: row.customer,
        "REASON": lambda row: row.reason,
    }
    echo_results(rows, columns, "The outbox is empty.", as_json=as_json)


@outbox.command("approve")
def approve_entries(ids: Ids, as_json: JsonOption = False) -> None:
    """Let waiting entries leave with the next run."""
    from connector.outbox.approvals import approve

    _update_entries(ids, approve, "approved: it leaves with the next run", as_json=as_json)


@outbox.command("reject")
def reject_entries(
    ids: Ids, reason: Annotated[str, typer.Option(help="The reason, for the log.")] = "", as_json: JsonOption = False
) -> None:
    """Keep entries from ever leaving."""
    from connector.outbox.approvals import reject

    _update_entries(ids, reject, "rejected: it never leaves", as_json=as_json, reason=reason)


@outbox.command("edit")
def edit_entry(
    entry_id: EntryId,
    *,
    subject: Annotated[str | None, typer.Option(help="What the subject says.")] = None,
    heading: Annotated[str | None, typer.Option(help="What stands on top.")] = None,
    opening: Annotated[str | None, typer.Option(help="What stands above the invoices.")] = None,
    closing: Annotated[str | None, typer.Option(help="What stands below them.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Take all own words back.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give one waiting mail other words; it leaves with these once it is approved."""
    from connector.services.email_editing import edit_email

    given = {"subject": subject, "heading": heading, "opening": opening, "closing": closing}
    lines = {name: text for name, text in given.items() if text is not None}
    if bool(lines) == reset:
        raise typer.BadParameter("Say what it should say, like --subject 'About your order', or --reset.")
    with open_command_app() as app:
        edit_email(app, entry_id, lines, by=os_user())
    if as_json:
        echo_json({"id": entry_id, "edited": sorted(lines)})
    else:
        echo(f"{entry_id}: {'as duewell writes it' if reset else 'these are its words'}; it waits for an approval")


@outbox.command("resolve")
def resolve_entry(
    entry_id: EntryId,
    *,
    sent: Annotated[bool, typer.Option("--sent", help="It arrived: ask the customer, or the mail system.")] = False,
    not_sent: Annotated[bool, typer.Option("--not-sent", help="It did not arrive: it may leave again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Settle a doubt: say whether an effect with an unknown outcome happened."""
    from connector.db.engine import writing
    from connector.outbox.approvals import entry_status, resolve
    from connector.vocabulary.labels import label

    if sent and not_sent:
        raise typer.BadParameter("--sent and --not-sent exclude each other: either it arrived, or it did not.")
    if not sent and not not_sent:
        raise typer.BadParameter("Say --sent or --not-sent: nobody but a person knows.")
    with open_command_app() as app, writing(app.engine) as session:
        row = resolve(session, entry_id, sent=sent, by=os_user(), at=app.now())
        status = entry_status(row)
    if as_json:
        echo_json(status)
    else:
        echo(f"{status.id}: {label(status.state)}; {status.response}")


@fees.command("list")
def list_fees(connection: ConnectionOption = None, as_json: JsonOption = False) -> None:
    """List late fees with their yearly rate, newest first."""
    from connector.db.engine import reading
    from connector.services.fees import find_fees
    from connector.vocabulary.labels import label

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = find_fees(session, inside)
    columns: Columns[FeeItem] = {
        "ID": lambda row: row.id,
        "STATE": lambda row: label(row.state),
        "INVOICE": lambda row: row.invoice,
        "FEE": lambda row: f"{row.amount} {row.currency}",
        "% A YEAR": lambda row: row.annual_rate,
        "COMPANY": lambda row: row.connection,
        "CUSTOMER": lambda row: row.customer,
        "REASON": lambda row: row.reason,
    }
    echo_results(rows, columns, "There are no late fees.", as_json=as_json)


@fees.command("approve")
def approve_fees(ids: Ids, as_json: JsonOption = False) -> None:
    """Let draft fees be posted by the next run."""
    from connector.services.fees import approve

    _update_entries(ids, approve, "approved: it is posted by the next run", as_json=as_json)


@fees.command("waive")
def waive_fees(
    ids: Ids, reason: Annotated[str, typer.Option(help="The reason, for the log.")] = "", as_json: JsonOption = False
) -> None:
    """Waive fees: the next run voids a posted one in the ledger, or credits it where money is on it."""
    from connector.services.fees import waive
    from connector.vocabulary import FeeState

    with open_command_app() as app:
        rows = waive(app, ids, by=os_user(), reason=reason)
    if as_json:
        echo_json(rows)
    else:
        for row in rows:
            done = row.state is FeeState.WAIVED
            echo(f"{row.id}: waived" + ("" if done else "; the next sync voids or credits it in the accounting system"))


def _update_entries(ids: list[int], update: Any, message: str, *, as_json: bool, **details: Any) -> None:
    from connector.db.engine import writing
    from connector.outbox.approvals import entry_status

    with open_command_app() as app, writing(app.engine) as session:
        rows = update(session, ids, by=os_user(), at=app.now(), **details)
        statuses = [entry_status(row) for row in rows]
    if as_json:
        echo_json(statuses)
    else:
        for status in statuses:
            echo(f"{status.id}: {message}")
