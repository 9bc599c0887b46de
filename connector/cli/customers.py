"""Commands about customers: who they are, what they owe, and what a person sets for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from connector.cli.options import (
    ConnectionOption,
    CustomerArgument,
    parse_choice,
    parse_contact,
    parse_date,
    parse_mailbox,
)
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

if TYPE_CHECKING:
    from connector.arrangements.customer_settings import CustomerItem, SettingChanges

customers = build_group(ListGroup, "Customers, and what you set for them.")
_SEGMENTS = ("strategic", "established", "new")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(customers, name="customers")


@customers.command("list")
def list_customers(
    connection: ConnectionOption = None,
    search: Annotated[str, typer.Option(help="Only names that hold this.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List customers: what they owe, where mail goes, what was set."""
    from connector.arrangements.customer_settings import find_customers, format_settings
    from connector.db.engine import reading

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = find_customers(session, inside, search)
    columns: Columns[CustomerItem] = {
        "ID": lambda row: row.id,
        "COMPANY": lambda row: row.connection,
        "NAME": lambda row: row.name,
        "OPEN BALANCE": lambda row: ", ".join(f"{amount} {currency}" for currency, amount in row.open_balance.items()),
        "EMAIL": lambda row: row.emails,
        "SETTINGS": lambda row: "; ".join(format_settings(row.settings)),
    }
    echo_results(rows, columns, "There are no customers yet. Sync first: duewell run", as_json=as_json)


@customers.command("show")
def show_customer(
    customer: CustomerArgument,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a customer: segment, habits and sizes with their inputs, and when each invoice may be paid."""
    from connector.arrangements.customer_settings import find_customer
    from connector.db.engine import reading
    from connector.services.customer_profile import build_profile, format_profile

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            found = find_customer(session, customer, inside)
            told = build_profile(session, found, app.now())
    if as_json:
        echo_json(told)
    else:
        for line in format_profile(told):
            echo(line)


@customers.command("set")
def set_(
    customer: CustomerArgument,
    *,
    segment: Annotated[
        str | None, typer.Option(help="strategic, established or new; auto: as the policy says.")
    ] = None,
    hold_until: Annotated[str | None, typer.Option(metavar="D", help="Nothing before this day; none ends it.")] = None,
    no_reminders: Annotated[
        bool | None, typer.Option("--no-reminders/--reminders", help="No mails: calls instead.")
    ] = None,
    no_fees: Annotated[bool | None, typer.Option("--no-fees/--fees", help="Never a late fee.")] = None,
    fees_agreed_on: Annotated[
        str | None, typer.Option(metavar="D", help="The day late fees were agreed on; none.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(metavar="'NAME <MAIL>'", help="Where mail goes, instead of the books' address; none.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="The language of mails: en, de, fr or es; none: that of his country.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="'NAME <MAIL>'", help="Who minds this customer; none: as the company says.")
    ] = None,
    sales_rep: Annotated[
        str | None, typer.Option(metavar="'NAME <MAIL>'", help="Who sells to this customer; none.")
    ] = None,
    tags: Annotated[
        str | None, typer.Option(metavar="A,B", help="Words of yours; a policy may be for a tag. none takes all away.")
    ] = None,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set something for a customer; it survives every pull."""
    from connector.arrangements.customer_settings import find_customer, format_settings, update_settings
    from connector.db.engine import reading

    texts = {"segment": segment, "hold_until_on": hold_until, "fees_agreed_on": fees_agreed_on, "language": language}
    changes = _parse_changes({**texts, "tags": tags, "owner": owner, "sales_rep": sales_rep})
    if contact is not None:
        changes["contact_name"], changes["emails"] = parse_contact(contact)
    flags = {"no_reminders": no_reminders, "no_fees": no_fees}
    changes |= cast("SettingChanges", {name: value for name, value in flags.items() if value is not None})
    if not changes:
        raise typer.BadParameter("Say what to set; see: duewell customers set --help")
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            row = find_customer(session, customer, inside)
        result = update_settings(app, row.connection_id, row.external_id, changes, by=os_user())
    if as_json:
        echo_json(result)
    else:
        echo(f"{result.name}: {'; '.join(format_settings(result.settings)) or 'nothing set'}")


def _parse_changes(texts: Mapping[str, str | None]) -> SettingChanges:
    """Read what was given, each text in its own way; "none" takes a text away."""
    ways: dict[str, Callable[[str], Any]] = {
        "segment": _parse_segment,
        "hold_until_on": parse_date,
        "fees_agreed_on": parse_date,
        "language": lambda text: _parse_unless_none(text, _parse_language),
        "tags": lambda text: _parse_unless_none(text, _parse_tags),
        "owner": lambda text: _parse_unless_none(text, parse_mailbox),
        "sales_rep": lambda text: _parse_unless_none(text, parse_mailbox),
    }
    return cast("SettingChanges", {name: ways[name](text) for name, text in texts.items() if text is not None})


def _parse_unless_none(text: str, parse: Callable[[str], str]) -> str:
    return "" if text.strip().lower() == "none" else parse(text)


def _parse_tags(text: str) -> str:
    return ",".join(filter(None, (tag.strip() for tag in text.split(","))))


def _parse_language(text: str) -> str:
    from connector.arrangements.customer_settings import InvalidSettingError, validate_language

    try:
        return validate_language(text.strip().lower())
    except InvalidSettingError as problem:
        raise typer.BadParameter(str(problem)) from None


def _parse_segment(text: str) -> str | None:
    if text in {"auto", "none"}:
        return None
    return parse_choice(text, (*_SEGMENTS, "auto"), "segment")
