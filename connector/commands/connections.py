"""Commands about connections: connect, list, mode, pause, resume, disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.given import one_of, parse_day, parse_person
from connector.commands.terminal import (
    CommandError,
    JsonOption,
    ListGroup,
    group,
    id_of,
    opened,
    put,
    put_json,
    put_table,
    say,
    who,
)

if TYPE_CHECKING:
    from connector.installation import Installation

ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its id or short name.")]
AllArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its id or short name; all: every one.")]
connections = group(ListGroup, "The companies that are connected.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("connect")(connect)
    app.add_typer(connections, name="connections")


def connect(
    ledger: Annotated[str, typer.Argument(metavar="quickbooks|xero", help="The accounting system.")],
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address, open no browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Connect a company.

    Prints the consent URL alone on a line, then waits up to 15 minutes for the redirect, or for the redirected address
    pasted here. A new connection only observes.
    """
    from connector.access.connections import describe
    from connector.commands.consent_wait import wait_for_consent

    with opened() as installation:
        one_of(ledger, sorted(installation.providers), "ledger")
        show_url = say if as_json else put
        rows = wait_for_consent(installation, ledger, show_url=show_url, tell=say, browser=not no_browser)
        if as_json:
            put_json([describe(row) for row in rows])
            return
        for row in rows:
            put(f"{row.id}  {row.short_name}  {row.name} ({row.provider}, mode {row.mode})")
        say("How late fees would be booked there, and why: duewell connections writeback CONNECTION")
        observing = any(row.mode == "observe" for row in rows)  # who connects again keeps the mode he had
        before = " Nothing leaves before: duewell connections mode CONNECTION live" if observing else ""
        say(f"Next: duewell run, then duewell plan.{before}")


@connections.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the connections."""
    from connector.access.connections import NONE_YET, listing
    from connector.database import reading

    with opened() as installation, reading(installation.engine) as session:
        rows = listing(session)
    if as_json:
        put_json(rows)
    elif rows:
        columns = {"id": "ID", "short_name": "NAME", "provider": "LEDGER", "name": "COMPANY", "mode": "MODE"}
        put_table(rows, {**columns, "health": "HEALTH", "paused": "PAUSED"})
    else:
        say(NONE_YET)


@connections.command()
def mode(
    connection: ConnectionArgument,
    mode: Annotated[str, typer.Argument(metavar="observe|approve|live", help="How it may act.")],
    as_json: JsonOption = False,
) -> None:
    """Say how a connection may act: observe, approve (a person lets each effect out), or live."""
    from connector.access.connections import MODES, describe, set_mode

    one_of(mode, MODES, "mode")
    with opened() as installation:
        row = set_mode(installation, id_of(installation, connection), mode, by=who())
    if as_json:
        put_json(describe(row))
    else:
        put(f"{row.short_name}: mode {row.mode}; {MODES[mode]}.")


@connections.command()
def pause(
    connection: AllArgument,
    why: Annotated[str, typer.Option(help="The reason, for those who wonder later.")] = "",
    until: Annotated[str | None, typer.Option(metavar="D", help="It goes on by itself from this day on.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Stop running a connection, or all of them, until a day or until it is resumed."""
    from connector.access.connections import NONE_YET, describe
    from connector.access.connections import pause as do_pause
    from policies.wording import day

    until_on = parse_day(until) if until else None
    with opened() as installation:
        ids = _ids(installation, connection)
        rows = [do_pause(installation, each, why=why, until=until_on, by=who()) for each in ids]
    if as_json:
        put_json([describe(row) for row in rows] if connection == "all" else describe(rows[0]))
        return
    if not rows:
        say(NONE_YET)
    for row in rows:
        when = f"It goes on by itself on {day(until_on)}, or with" if until_on else "It goes on with"
        put(f"{row.short_name}: paused. {when}: duewell connections resume {row.short_name}")


@connections.command()
def resume(connection: AllArgument, as_json: JsonOption = False) -> None:
    """Run a paused connection again, or all of them."""
    from connector.access.connections import describe
    from connector.access.connections import resume as do_resume

    with opened() as installation:
        ids = _ids(installation, connection, paused=True)
        rows = [do_resume(installation, each, by=who()) for each in ids]
    if as_json:
        put_json([describe(row) for row in rows] if connection == "all" else describe(rows[0]))
        return
    for row in rows:
        put(f"{row.short_name}: runs again.")
    if not rows:
        say("No company is paused.")


@connections.command()
def owner(
    connection: ConnectionArgument,
    person: Annotated[str, typer.Argument(metavar="'NAME <MAIL>'", help="Who; none for nobody.")],
    as_json: JsonOption = False,
) -> None:
    """Say who minds the customers that have no owner of their own."""
    from connector.access.team import set_default_owner

    owner = "" if person.strip().lower() == "none" else parse_person(person)
    with opened() as installation:
        connection_id = id_of(installation, connection)
        name = set_default_owner(installation, connection_id, owner, by=who())
    if as_json:
        put_json({"id": connection_id, "name": name, "owner": owner})
    else:
        put(f"{name}: customers without an owner of their own belong to {owner or 'nobody'}.")


@connections.command()
def writeback(
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
    from connector.people.writeback import NoSuchChoice, choose, describe
    from providers.errors import ProviderError

    given = {"account": account, "tax": tax, "theme": theme, "item": item}
    wanted = {part: said for part, said in given.items() if said is not None}
    with opened() as installation:
        connection_id = id_of(installation, connection)
        try:
            if wanted:
                choose(installation, connection_id, wanted, by=who())
            parts = describe(installation, connection_id)
        except (NoSuchChoice, ProviderError) as problem:
            raise CommandError(str(problem)) from None
    if as_json:
        put_json(parts)
        return
    for part in parts:
        put(f"{part['part']}: {part['name']} ({part['why']})")
        for other in part["others"]:
            put(f"    or {other['name']}: --{part['part']} {other['id']}")


@connections.command()
def disconnect(connection: ConnectionArgument, as_json: JsonOption = False) -> None:
    """End the access to a company, at the vendor and here; the mirror and the log are kept."""
    from connector.access.connections import disconnect as do_disconnect

    with opened() as installation:
        connection_id = id_of(installation, connection)
        lines = do_disconnect(installation, connection_id, by=who())
    if as_json:
        put_json({"id": connection_id, "health": "disconnected", "said": lines})
    else:
        for line in lines:
            put(line)


def _ids(installation: Installation, named: str, *, paused: bool = False) -> list[int]:
    """Find the connection named; "all" is every one that is connected, or every paused one of them."""
    from connector.access.connections import connected
    from connector.database import reading

    if named != "all":
        return [id_of(installation, named)]
    with reading(installation.engine) as session:
        return [row.id or 0 for row in connected(session) if row.paused_why or not paused]
