"""Commands about customers: who they are, what they owe, and what a person sets for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from connector.commands.given import CustomerArgument, WithinOption, one_of, parse_contact, parse_day, parse_person
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

customers = group(ListGroup, "Customers, and what you set for them.")
_SEGMENTS = ("strategic", "established", "new")


def add_to(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(customers, name="customers")


@customers.command("list")
def list_customers(
    connection: WithinOption = None,
    search: Annotated[str, typer.Option(help="Only names that hold this.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List customers: what they owe, where mail goes, what was set."""
    from connector.database import reading
    from connector.people.customers import listing

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            rows = listing(session, inside, search)
    if not as_json:
        for row in rows:
            row["owes"] = ", ".join(f"{amount} {currency}" for currency, amount in row["owes"].items())
            row["set"] = ", ".join(f"{name}={value}" for name, value in row["set"].items())
    columns = {
        "id": "ID",
        "connection": "BOOKS",
        "name": "NAME",
        "owes": "OWES",
        "emails": "MAIL",
        "set": "SET BY HAND",
    }
    put_list(rows, columns, "There are no customers in the mirror yet; they come with: duewell run", as_json=as_json)


@customers.command("show")
def show_customer(
    customer: CustomerArgument,
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a customer: segment, habits and sizes with their inputs, and when each invoice may be paid."""
    from connector.database import reading
    from connector.people.customer_card import card, lines
    from connector.people.customers import find_customer

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            found = find_customer(session, customer, inside)
            told = card(session, found, installation.now())
    if as_json:
        put_json(told)
    else:
        for line in lines(told):
            put(line)


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
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set something for a customer; it survives every pull."""
    from connector.database import reading
    from connector.people.customers import find_customer, set_customer

    texts = {"segment": segment, "hold_until_on": hold_until, "fees_agreed_on": fees_agreed_on, "language": language}
    changes = _read({**texts, "tags": tags, "owner": owner, "sales_rep": sales_rep})
    if contact is not None:
        changes["contact_name"], changes["emails"] = parse_contact(contact)
    flags = {"no_reminders": no_reminders, "no_fees": no_fees}
    changes |= {name: value for name, value in flags.items() if value is not None}
    if not changes:
        raise typer.BadParameter("Say what to set; see: duewell customers set --help")
    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            row = find_customer(session, customer, inside)
        result = set_customer(installation, row.connection_id, row.external_id, changes, by=who())
    if as_json:
        put_json(result)
    else:
        put(
            f"{result['name']}: "
            + (", ".join(f"{name}={value}" for name, value in result["set"].items()) or "as in the books")
        )


def _read(texts: Mapping[str, str | None]) -> dict[str, Any]:
    """Read what was given, each text in its own way; "none" takes a text away."""
    ways: dict[str, Callable[[str], Any]] = {
        "segment": _segment,
        "hold_until_on": parse_day,
        "fees_agreed_on": parse_day,
        "language": lambda text: _unless_none(text, _language),
        "tags": lambda text: _unless_none(text, _tags),
        "owner": lambda text: _unless_none(text, parse_person),
        "sales_rep": lambda text: _unless_none(text, parse_person),
    }
    return {name: ways[name](text) for name, text in texts.items() if text is not None}


def _unless_none(text: str, read: Callable[[str], str]) -> str:
    return "" if text.strip().lower() == "none" else read(text)


def _tags(text: str) -> str:
    return ",".join(filter(None, (tag.strip() for tag in text.split(","))))


def _language(text: str) -> str:
    from connector.people.customers import BadSettingError, known_language

    try:
        return known_language(text.strip().lower())
    except BadSettingError as problem:
        raise typer.BadParameter(str(problem)) from None


def _segment(text: str) -> str | None:
    if text in {"auto", "none"}:
        return None
    return one_of(text, (*_SEGMENTS, "auto"), "segment")
