"""Commands for the outbox."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from connector.cli.options import AllOption, ConnectionOption, LimitOption, parse_choice, rows_max
from connector.cli.terminal import (
    Columns,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_json,
    echo_rest,
    echo_results,
    find_connection_id,
    open_command_app,
    os_user,
)
from connector.db.ids import ID_MAX
from connector.vocabulary import OutboxState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlmodel import Session

    from connector.db.tables import OutboxEntry
    from connector.services.outbox_search import EntryItem

    class Update(Protocol):
        """A change of outbox entries that was decided by a user."""

        def __call__(
            self, session: Session, ids: Iterable[int], *, by: str, at: datetime, seen: Mapping[int, str]
        ) -> Sequence[OutboxEntry]:
            """Change the entries, if they are what the user has seen, and return them."""
            ...


Ids = Annotated[list[int], typer.Argument(metavar="ID...", min=1, max=ID_MAX)]
EntryId = Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="See: duewell outbox list")]
Seen = Annotated[
    list[str] | None,
    typer.Option(
        "--seen", metavar="ETAG", help="Only if this is still the version (etag in the JSON list); one per ID."
    ),
]
outbox = build_group(ListGroup, "Show, approve and reject emails, notes and late fees.")
_STATES = tuple(OutboxState)


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(outbox, name="outbox")


@outbox.command("list")
def list_outbox(
    connection: ConnectionOption = None,
    state: Annotated[list[str] | None, typer.Option(help=f"Only entries in this state: {', '.join(_STATES)}.")] = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List outbox entries, newest first."""
    from connector.db.engine import reading
    from connector.services.outbox_search import count_entries, find_entries
    from connector.vocabulary.labels import label

    for name in state or []:
        parse_choice(name, _STATES, "state")
    most = rows_max(limit, show_all=show_all, for_programs=as_json)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = find_entries(session, inside, state or None, limit=most)
            count = count_entries(session, inside, state or None) if most is not None else len(rows)
    columns: Columns[EntryItem] = {
        "ID": lambda row: row.id,
        "STATE": lambda row: label(row.state),
        "KIND": lambda row: label(row.kind),
        "COMPANY": lambda row: row.connection,
        "CUSTOMER": lambda row: row.customer,
        "REASON": lambda row: row.reason,
    }
    echo_results(rows, columns, "The outbox is empty.", as_json=as_json, wide=wide)
    echo_rest(count - len(rows))


@outbox.command("show")
def show_entry(entry_id: EntryId, as_json: JsonOption = False) -> None:
    """Show an entry, and its email as it was sent or would be sent now."""
    from connector.db.engine import reading
    from connector.errors import NotFound
    from connector.services.entry_email import find_email, format_email
    from connector.services.outbox_search import as_item, get_entry
    from connector.vocabulary.labels import label

    with open_command_app() as app:
        with reading(app.engine) as session:
            view = get_entry(session, entry_id)
        if view is None:
            raise NotFound(f"There is no outbox entry {entry_id}. List them: duewell outbox list")
        email, problem = find_email(app, view.entry)
    item = as_item(view.entry, view.company.short_name, view.customer)
    if as_json:
        echo_json({**item.model_dump(), "email": email})
        return
    echo(f"{item.id}: {label(item.kind)}, {view.state_label}{f' ({item.response})' if item.response else ''}")
    echo(item.reason)
    for line in format_email(email, view.company.time_zone) if email else [problem] if problem else []:
        echo(line)


@outbox.command("approve")
def approve_entries(ids: Ids, seen: Seen = None, as_json: JsonOption = False) -> None:
    """Approve entries: the next sync sends them."""
    from connector.outbox.approvals import approve

    update_entries(ids, seen, approve, "approved, sent with the next sync", as_json=as_json)


@outbox.command("reject")
def reject_entries(
    ids: Ids,
    reason: Annotated[str, typer.Option(help="The reason, for the log.")] = "",
    seen: Seen = None,
    as_json: JsonOption = False,
) -> None:
    """Reject entries: they are never sent."""
    from connector.outbox.approvals import reject

    update_entries(ids, seen, partial(reject, reason=reason), "rejected, never sent", as_json=as_json)


@outbox.command("undo")
def undo_decisions(ids: Ids, seen: Seen = None, as_json: JsonOption = False) -> None:
    """Undo approvals and rejections, as long as nothing was sent.

    The entries await approval again.
    """
    from connector.outbox.approvals import undo

    update_entries(ids, seen, undo, "undone, awaits approval again", as_json=as_json)


@outbox.command("edit")
def edit_entry(
    entry_id: EntryId,
    *,
    subject: Annotated[str | None, typer.Option(help="The subject.")] = None,
    heading: Annotated[str | None, typer.Option(help="The heading at the top.")] = None,
    opening: Annotated[str | None, typer.Option(help="The text above the invoices.")] = None,
    closing: Annotated[str | None, typer.Option(help="The text below the invoices.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Restore the original text.")] = False,
    seen: Annotated[
        str, typer.Option("--seen", metavar="ETAG", help="Only if this is still its version (etag in the JSON list).")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Edit an email that awaits approval.

    It is sent with this text once you approve it.
    """
    from connector.services.email_editing import edit_email

    given = {"subject": subject, "heading": heading, "opening": opening, "closing": closing}
    lines = {name: text for name, text in given.items() if text is not None}
    if bool(lines) == reset:
        raise typer.BadParameter("Give the new text, such as --subject 'About your order', or use --reset.")
    with open_command_app() as app:
        edit_email(app, entry_id, lines, by=os_user(), etag=seen)
    if as_json:
        echo_json({"id": entry_id, "edited": sorted(lines)})
    else:
        echo(f"{entry_id}: {'original text restored' if reset else 'text changed'}; awaiting approval")


@outbox.command("resolve")
def resolve_entry(
    entry_id: EntryId,
    *,
    sent: Annotated[bool, typer.Option("--sent", help="It was sent.")] = False,
    not_sent: Annotated[bool, typer.Option("--not-sent", help="It was not sent; send it again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Record whether an unconfirmed entry was sent.

    Check with the customer, your email provider or your accounting system first.
    """
    from connector.db.engine import writing
    from connector.outbox.approvals import entry_status, resolve
    from connector.vocabulary.labels import label

    if sent and not_sent:
        raise typer.BadParameter("Choose either --sent or --not-sent.")
    if not sent and not not_sent:
        raise typer.BadParameter("Add --sent or --not-sent.")
    with open_command_app() as app, writing(app.engine) as session:
        row = resolve(session, entry_id, sent=sent, by=os_user(), at=app.now())
        status = entry_status(row)
    if as_json:
        echo_json(status)
    else:
        echo(f"{status.id}: {label(status.state)}; {status.response}")


def update_entries(ids: list[int], seen: list[str] | None, update: Update, message: str, *, as_json: bool) -> None:
    """Change entries that a user named, each in the version that they have seen, and print what became of them."""
    from connector.db.engine import writing
    from connector.outbox.approvals import entry_status

    if seen and (len(seen) != len(ids) or len(set(ids)) != len(ids)):
        raise typer.BadParameter("Give --seen once for each ID, in the same order, or not at all.")
    versions = dict(zip(ids, seen or (), strict=False))
    with open_command_app() as app, writing(app.engine) as session:
        rows = update(session, ids, by=os_user(), at=app.now(), seen=versions)
        statuses = [entry_status(row) for row in rows]
    if as_json:
        echo_json(statuses)
    else:
        for status in statuses:
            echo(f"{status.id}: {message}")
