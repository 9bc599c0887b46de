"""Commands for companies: connect, list, mode, pause, resume, owner, fee-posting, disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import parse_choice, parse_date, parse_mailbox
from connector.cli.terminal import (
    Columns,
    CommandError,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_err,
    echo_json,
    echo_results,
    get_connection_id,
    open_command_app,
    os_user,
)
from connector.vocabulary import ConnectionHealth, ConnectionMode
from connector.vocabulary.labels import in_sentence, label, provider_name

if TYPE_CHECKING:
    from connector.app_context import AppContext
    from connector.connections.registry import ConnectionItem

ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="The company's id or short name.")]
AllArgument = Annotated[
    str, typer.Argument(metavar="CONNECTION", help="The company's id or short name, or all for every company.")
]
connections = build_group(ListGroup, "Manage the connected companies.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.command("connect")(connect)
    parent.add_typer(connections, name="connections")


def connect(
    system: Annotated[
        str,
        typer.Argument(metavar="quickbooks|xero|microsoft365|gmail", help="The accounting system, or a mailbox."),
    ],
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the URL; do not open a browser.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Connect a company, or your own mailbox.

    Prints the consent URL alone on a line, then waits up to 15 minutes for the redirect. You can also paste the address
    you were redirected to. A new company starts in observe mode. Once a mailbox is connected, emails are sent from it
    and replies are read in it.
    """
    from connector.cli.consent_wait import wait_for_consent
    from connector.connections.registry import as_item

    with open_command_app() as app:
        parse_choice(system, [*sorted(app.providers), *app.mailboxes], "accounting system or mailbox")
        show_url = echo_err if as_json else echo
        rows = wait_for_consent(app, system, show_url=show_url, on_progress=echo_err, browser=not no_browser)
        if system in app.mailboxes:
            _show_mailbox(app, system, as_json=as_json)
            return
    if as_json:
        echo_json([as_item(row) for row in rows])
        return
    for row in rows:
        provider, mode = provider_name(row.provider), in_sentence(label(row.mode, "connection_mode"))
        echo(f"{row.id}  {row.short_name}  {row.name} ({provider}, mode {mode})")
    echo_err("To see how late fees would be posted: duewell connections fee-posting CONNECTION")
    echo_err("Next: duewell run, then duewell plan.")
    if any(row.mode == ConnectionMode.OBSERVE for row in rows):  # reconnecting keeps the mode
        echo_err("Nothing is sent until you switch to: duewell connections mode CONNECTION live")


def _show_mailbox(app: AppContext, system: str, *, as_json: bool) -> None:
    from connector.connections.mailboxes import find_mailbox, mailer_name

    row = find_mailbox(app, system)
    address = row.address if row is not None else ""
    if as_json:
        echo_json({"provider": system, "address": address})
        return
    echo(f"{address} ({app.mailboxes[system].title})")
    if (sending := mailer_name(app)) != system:
        title = app.mailboxes[sending].title if sending in app.mailboxes else "another service"
        echo_err(f"Emails are still sent by {title}. To send them from this mailbox, set MAIL_SERVICE={system}")
    elif app.settings.mail_from.lower() != address.lower():
        echo_err(f"Set MAIL_FROM to {address}, or to an address that this mailbox may send from.")


@connections.command("disconnect-mailbox")
def disconnect_mailbox(
    system: Annotated[str, typer.Argument(metavar="microsoft365|gmail", help="The service of the mailbox.")],
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Disconnect the mailbox that emails are sent from."""
    from connector.connections.mailboxes import MailboxNotConnected
    from connector.connections.mailboxes import disconnect_mailbox as do_disconnect

    with open_command_app() as app:
        parse_choice(system, app.mailboxes, "mailbox")
        try:
            messages = do_disconnect(app, system, by=os_user(), reason=reason)
        except MailboxNotConnected as problem:
            raise CommandError(str(problem)) from None
    if as_json:
        echo_json({"provider": system, "messages": messages})
    else:
        for message in messages:
            echo(message)


@connections.command("list")
def list_(wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List the companies."""
    from connector.connections.registry import NO_CONNECTIONS, list_connections
    from connector.db.engine import reading

    with open_command_app() as app, reading(app.engine) as session:
        rows = list_connections(session)
    columns: Columns[ConnectionItem] = {
        "ID": lambda row: row.id,
        "NAME": lambda row: row.short_name,
        "SYSTEM": lambda row: provider_name(row.provider),
        "COMPANY": lambda row: row.name,
        "MODE": lambda row: label(row.mode),
        "HEALTH": lambda row: label(row.health),
        "PAUSED": lambda row: row.pause_reason,
    }
    echo_results(rows, columns, NO_CONNECTIONS, as_json=as_json, wide=wide)


@connections.command()
def mode(
    connection: ConnectionArgument,
    mode: Annotated[
        str,
        typer.Argument(
            metavar="observe|approve|live",
            help="observe: send nothing; approve: everything waits for approval; live: send automatically.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Set what is sent for a company.

    Nothing (observe), only what you approve (approve), or everything (live).
    """
    from connector.connections.registry import MODES, as_item, set_mode

    parse_choice(mode, ConnectionMode, "mode")
    with open_command_app() as app:
        row = set_mode(app, get_connection_id(app, connection), mode, by=os_user())
    if as_json:
        echo_json(as_item(row))
    else:
        echo(f"{row.short_name}: mode {mode}; {MODES[ConnectionMode(mode)]}.")


@connections.command()
def pause(
    connection: AllArgument,
    reason: Annotated[str, typer.Option(help="The reason, for your colleagues.")] = "",
    until: Annotated[str | None, typer.Option(metavar="D", help="Resume automatically on this date.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Pause a company, or all of them.

    Until a date, or until you resume it.
    """
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
        how = f"It resumes on {format_date(until_on)}, or with" if until_on else "Resume it with"
        echo(f"{row.short_name}: paused. {how}: duewell connections resume {row.short_name}")


@connections.command()
def resume(connection: AllArgument, as_json: JsonOption = False) -> None:
    """Resume a paused company, or all of them."""
    from connector.connections.registry import as_item
    from connector.connections.registry import resume as do_resume

    with open_command_app() as app:
        ids = _find_ids(app, connection, paused=True)
        rows = [do_resume(app, each, by=os_user()) for each in ids]
    if as_json:
        echo_json([as_item(row) for row in rows] if connection == "all" else as_item(rows[0]))
        return
    for row in rows:
        echo(f"{row.short_name}: resumed.")
    if not rows:
        echo_err("No company is paused.")


@connections.command()
def owner(
    connection: ConnectionArgument,
    owner: Annotated[str, typer.Argument(metavar="'NAME <EMAIL>'", help="The account owner, or none.")],
    as_json: JsonOption = False,
) -> None:
    """Set a company's default account owner.

    For customers that have no account owner of their own.
    """
    from connector.connections.account_owners import set_default_owner

    mailbox = "" if owner.strip().lower() == "none" else parse_mailbox(owner)
    with open_command_app() as app:
        connection_id = get_connection_id(app, connection)
        name = set_default_owner(app, connection_id, mailbox, by=os_user())
    if as_json:
        echo_json({"id": connection_id, "name": name, "owner": mailbox})
    else:
        echo(f"{name}: the default account owner is {mailbox or 'nobody'}.")


@connections.command()
def fee_posting(
    connection: ConnectionArgument,
    account: Annotated[str | None, typer.Option(help="Xero: the account, by code or name.")] = None,
    tax: Annotated[str | None, typer.Option(help="The tax rate or code, by code or name.")] = None,
    theme: Annotated[str | None, typer.Option(help="Xero: the branding theme, by name.")] = None,
    item: Annotated[str | None, typer.Option(help="QuickBooks: the service item, by name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show or choose how late fees are posted.

    Shows each choice with its reason. Your choice is remembered; the value "default" resets it.
    """
    from dataclasses import asdict

    from connector.connections.fee_posting import UnknownOption, describe_fee_posting, save_choices
    from providers.errors import ProviderError

    options = {"account": account, "tax": tax, "theme": theme, "item": item}
    choices = {setting: choice for setting, choice in options.items() if choice is not None}
    with open_command_app() as app:
        connection_id = get_connection_id(app, connection)
        try:
            if choices:
                save_choices(app, connection_id, choices, by=os_user())
            settings = describe_fee_posting(app, connection_id)
        except (UnknownOption, ProviderError) as problem:
            raise CommandError(str(problem)) from None
    if as_json:
        echo_json([asdict(each) for each in settings])
        return
    for each in settings:
        echo(f"{each.setting.capitalize()}: {each.name} ({each.reason})")
        for other in each.alternatives:
            echo(f"    or {other.name}: --{each.setting} {other.id}")


@connections.command()
def disconnect(
    connection: ConnectionArgument,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Disconnect a company.

    The copy of its data and the log are kept.
    """
    from connector.connections.registry import disconnect as do_disconnect

    with open_command_app() as app:
        connection_id = get_connection_id(app, connection)
        messages = do_disconnect(app, connection_id, by=os_user(), reason=reason)
    if as_json:
        echo_json({"id": connection_id, "health": ConnectionHealth.DISCONNECTED, "messages": messages})
    else:
        for message in messages:
            echo(message)


def _find_ids(app: AppContext, name: str, *, paused: bool = False) -> list[int]:
    """Return the id of a connection, or with "all" those of every connected one, or of every paused one."""
    from connector.connections.registry import list_connected
    from connector.db.engine import reading

    if name != "all":
        return [get_connection_id(app, name)]
    with reading(app.engine) as session:
        return [row.id or 0 for row in list_connected(session) if row.pause_reason or not paused]
