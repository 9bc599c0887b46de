"""Commands about connections: connect, list, mode, pause, resume, disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import parse_choice, parse_date, parse_mailbox
from connector.cli.terminal import (
    Columns,
    CommandError,
    JsonOption,
    ListGroup,
    build_group,
    echo,
    echo_err,
    echo_json,
    echo_results,
    get_connection_id,
    open_command_app,
    os_user,
)
from connector.vocabulary import ConnectionMode

if TYPE_CHECKING:
    from connector.app_context import AppContext
    from connector.connections.registry import ConnectionItem

ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its id or short name.")]
AllArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its id or short name; all: every one.")]
connections = build_group(ListGroup, "The companies that are connected.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.command("connect")(connect)
    parent.add_typer(connections, name="connections")


def connect(
    ledger: Annotated[str, typer.Argument(metavar="quickbooks|xero", help="The accounting system.")],
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address, open no browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Connect a company.

    Prints the consent URL alone on a line, then waits up to 15 minutes for the redirect, or for the redirected address
    pasted here. A new connection only observes.
    """
    from connector.cli.consent_wait import wait_for_consent
    from connector.connections.registry import as_item

    with open_command_app() as app:
        parse_choice(ledger, sorted(app.providers), "ledger")
        show_url = echo_err if as_json else echo
        rows = wait_for_consent(app, ledger, show_url=show_url, on_progress=echo_err, browser=not no_browser)
        if as_json:
            echo_json([as_item(row) for row in rows])
            return
        for row in rows:
            echo(f"{row.id}  {row.short_name}  {row.name} ({row.provider}, mode {row.mode})")
        echo_err("How late fees would be booked there, and why: duewell connections fee-posting CONNECTION")
        observing = any(row.mode == ConnectionMode.OBSERVE for row in rows)  # who connects again keeps the mode he had
        before = " Nothing leaves before: duewell connections mode CONNECTION live" if observing else ""
        echo_err(f"Next: duewell run, then duewell plan.{before}")


@connections.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the connections."""
    from connector.connections.registry import NO_CONNECTIONS, list_connections
    from connector.db.engine import reading
    from connector.vocabulary.labels import label

    with open_command_app() as app, reading(app.engine) as session:
        rows = list_connections(session)
    columns: Columns[ConnectionItem] = {
        "ID": lambda row: row.id,
        "NAME": lambda row: row.short_name,
        "ACCOUNTING SYSTEM": lambda row: label(row.provider, "provider"),
        "COMPANY": lambda row: row.name,
        "MODE": lambda row: label(row.mode),
        "HEALTH": lambda row: label(row.health),
        "PAUSED": lambda row: row.pause_reason,
    }
    echo_results(rows, columns, NO_CONNECTIONS, as_json=as_json)


@connections.command()
def mode(
    connection: ConnectionArgument,
    mode: Annotated[str, typer.Argument(metavar="observe|approve|live", help="How it may act.")],
    as_json: JsonOption = False,
) -> None:
    """Say how a connection may act: observe, approve (a person lets each effect out), or live."""
    from connector.connections.registry import MODES, as_item, set_mode

    parse_choice(mode, MODES, "mode")
    with open_command_app() as app:
        row = set_mode(app, get_connection_id(app, connection), mode, by=os_user())
    if as_json:
        echo_json(as_item(row))
    else:
        echo(f"{row.short_name}: mode {row.mode}; {MODES[mode]}.")


@connections.command()
def pause(
    connection: AllArgument,
    reason: Annotated[str, typer.Option(help="The reason, for those who wonder later.")] = "",
    until: Annotated[str | None, typer.Option(metavar="D", help="It goes on by itself from this day on.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Stop running a connection, or all of them, until a day or until it is resumed."""
    from connector.connections.registry import NO_CONNECTIONS, as_item
    from connector.connections.registry import pause as do_pause
    from policies.formatting import format_date

    until_on = parse_date(until) if until else None
    with open_command_app() as app:
        ids = _find_ids(app, connection)
        rows = [do_pause(app, each, reason=reason, until_on=until_on, by=os_user()) for each in ids]
    if as_json:
        echo_json([as_item(row) for row in rows] if connection == "all" else as_item(rows[0]))
        return
    if not rows:
        echo_err(NO_CONNECTIONS)
    for row in rows:
        when = f"It goes on by itself on {format_date(until_on)}, or with" if until_on else "It goes on with"
        echo(f"{row.short_name}: paused. {when}: duewell connections resume {row.short_name}")


@connections.command()
def resume(connection: AllArgument, as_json: JsonOption = False) -> None:
    """Run a paused connection again, or all of them."""
    from connector.connections.registry import as_item
    from connector.connections.registry import resume as do_resume

    with open_command_app() as app:
        ids = _find_ids(app, connection, paused=True)
        rows = [do_resume(app, each, by=os_user()) for each in ids]
    if as_json:
        echo_json([as_item(row) for row in rows] if connection == "all" else as_item(rows[0]))
        return
    for row in rows:
        echo(f"{row.short_name}: runs again.")
    if not rows:
        echo_err("No company is paused.")


@connections.command()
def owner(
    connection: ConnectionArgument,
    person: Annotated[str, typer.Argument(metavar="'NAME <MAIL>'", help="Who; none for nobody.")],
    as_json: JsonOption = False,
) -> None:
    """Say who minds the customers that have no owner of their own."""
    from connector.connections.account_owners import set_default_owner

    owner = "" if person.strip().lower() == "none" else parse_mailbox(person)
    with open_command_app() as app:
        connection_id = get_connection_id(app, connection)
        name = set_default_owner(app, connection_id, owner, by=os_user())
    if as_json:
        echo_json({"id": connection_id, "name": name, "owner": owner})
    else:
        echo(f"{name}: customers without an owner of their own belong to {owner or 'nobody'}.")


@connections.command()
def fee_posting(
    connection: ConnectionArgument,
    account: Annotated[str | None, typer.Option(help="Xero: the account's code or name.")] = None,
    tax: Annotated[str | None, typer.Option(help="The tax rate or code, or its name.")] = None,
    theme: Annotated[str | None, typer.Option(help="Xero: the branding theme, by its name.")] = None,
    item: Annotated[str | None, typer.Option(help="QuickBooks: the service item, by its name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how late fees are booked in the ledger and why, or choose it: asked once, remembered.

    "default" as a value leaves it to the ledger again.
    """
    from dataclasses import asdict

    from connector.connections.fee_posting import UnknownOption, describe_fee_posting, save_choices
    from providers.errors import ProviderError

    given = {"account": account, "tax": tax, "theme": theme, "item": item}
    wanted = {part: said for part, said in given.items() if said is not None}
    with open_command_app() as app:
        connection_id = get_connection_id(app, connection)
        try:
            if wanted:
                save_choices(app, connection_id, wanted, by=os_user())
            posting = describe_fee_posting(app, connection_id)
        except (UnknownOption, ProviderError) as problem:
            raise CommandError(str(problem)) from None
    if as_json:
        echo_json([asdict(each) for each in posting])
        return
    for each in posting:
        echo(f"{each.setting}: {each.name} ({each.reason})")
        for other in each.alternatives:
            echo(f"    or {other.name}: --{each.setting} {other.id}")


@connections.command()
def disconnect(connection: ConnectionArgument, as_json: JsonOption = False) -> None:
    """End the access to a company, at the vendor and here; the mirror and the log are kept."""
    from connector.connections.registry import disconnect as do_disconnect

    with open_command_app() as app:
        connection_id = get_connection_id(app, connection)
        lines = do_disconnect(app, connection_id, by=os_user())
    if as_json:
        echo_json({"id": connection_id, "health": "disconnected", "messages": lines})
    else:
        for line in lines:
            echo(line)


def _find_ids(app: AppContext, name: str, *, paused: bool = False) -> list[int]:
    """Find the connection named; "all" is every one that is connected, or every paused one of them."""
    from connector.connections.registry import list_connected
    from connector.db.engine import reading

    if name != "all":
        return [get_connection_id(app, name)]
    with reading(app.engine) as session:
        return [row.id or 0 for row in list_connected(session) if row.pause_reason or not paused]
