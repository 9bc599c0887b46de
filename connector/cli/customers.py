"""Commands for customers: list, show and set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, cast

import typer

from connector.cli.options import (
    AllOption,
    ConnectionOption,
    CustomerArgument,
    LimitOption,
    parse_choice,
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
    money,
    open_command_app,
    os_user,
)
from connector.cli.wrong_values import WrongValueError

if TYPE_CHECKING:
    from connector.arrangements.customer_settings import CustomerItem, SettingChanges
    from policies.receivables import Segment

customers = build_group(ListGroup, "Show customers and change their settings.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(customers, name="customers")


@customers.command("list")
def list_customers(
    connection: ConnectionOption = None,
    search: Annotated[str, typer.Option(help="Only customers whose name contains this.")] = "",
    limit: LimitOption = None,
    show_all: AllOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List customers with balances and settings."""
    from connector.arrangements.customer_settings import find_customers, format_settings
    from connector.db.engine import reading

    most = rows_max(limit, show_all=show_all, for_programs=as_json)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = find_customers(session, inside, search)
    columns: Columns[CustomerItem] = {
        "ID": lambda row: row.id,
        "COMPANY": lambda row: row.connection,
        "NAME": lambda row: row.name,
        "OPEN BALANCE": lambda row: ", ".join(money(amount, currency) for currency, amount in row.open_balance.items()),
        "EMAIL": lambda row: row.emails,
        "SETTINGS": lambda row: "; ".join(format_settings(row.settings)),
    }
    nothing = "There are no customers yet. Sync first: duewell run"
    echo_results(rows, columns, nothing, as_json=as_json, wide=wide, limit=most)


@customers.command("show")
def show_customer(
    customer: CustomerArgument,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a customer.

    Segment, payment behaviour, and when each open invoice is likely to be paid.
    """
    from connector.arrangements.customer_settings import find_customer
    from connector.db.engine import reading
    from connector.services.customer_profile import build_profile, format_profile

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            found = find_customer(session, customer, inside)
            profile = build_profile(session, found, app.now())
    if as_json:
        echo_json(profile)
    else:
        for line in format_profile(profile):
            echo(line)


_PhoneOption = Annotated[
    str | None, typer.Option(metavar="NUMBER", help="The number to call, before those in the ledger; or none.")
]
_LanguageOption = Annotated[
    str | None, typer.Option(help="The language of emails: en, de, fr, es, nl, it or pt; none uses their country's.")
]
_OwnerOption = Annotated[
    str | None,
    typer.Option(metavar="'NAME <EMAIL>'", help="Their account owner; none uses the company's default owner."),
]
_TagsOption = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Tags; the policy can have rules for a tag. none removes all of them."),
]
_ContactOption = Annotated[
    str | None,
    typer.Option(metavar="'NAME <EMAIL>'", help="Who gets the emails; none uses the ledger's contact."),
]
_HoldOption = Annotated[
    str | None, typer.Option(metavar="DATE", help="No reminders before this date; none ends the hold.")
]
_StoppedEmailsOption = Annotated[
    str | None, typer.Option(metavar="EMAIL,…", help="Addresses that get no reminders, or none.")
]


@customers.command("set")
def set_(
    customer: CustomerArgument,
    *,
    segment: Annotated[str | None, typer.Option(help="strategic, established or new; auto follows the policy.")] = None,
    hold_until: _HoldOption = None,
    no_reminders: Annotated[
        bool | None, typer.Option("--no-reminders/--reminders", help="No email reminders: call tasks instead.")
    ] = None,
    stopped_emails: _StoppedEmailsOption = None,
    no_fees: Annotated[bool | None, typer.Option("--no-fees/--fees", help="Never charge late fees.")] = None,
    fees_agreed_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="The date late fees were agreed on, or none.")
    ] = None,
    contact: _ContactOption = None,
    phone: _PhoneOption = None,
    language: _LanguageOption = None,
    owner: _OwnerOption = None,
    sales_rep: Annotated[str | None, typer.Option(metavar="'NAME <EMAIL>'", help="Their sales rep, or none.")] = None,
    second_contact: Annotated[
        str | None, typer.Option(metavar="'NAME <EMAIL>'", help="Who also gets copies of later reminders, or none.")
    ] = None,
    tags: _TagsOption = None,
    withholding: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="The tax they withhold by law, in percent; 0: none.")
    ] = None,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a customer's settings. Syncs do not overwrite them."""
    from connector.arrangements.customer_settings import find_customer, format_settings, update_settings
    from connector.db.engine import reading

    texts = {"segment": segment, "hold_until_on": hold_until, "fees_agreed_on": fees_agreed_on, "language": language}
    changes = _parse_changes(
        {
            **texts,
            "phone": phone,
            "stopped_emails": stopped_emails,
            "tags": tags,
            "owner": owner,
            "sales_rep": sales_rep,
            "second_contact": second_contact,
            "withholding_percent": withholding,
        }
    )
    if contact is not None:
        changes["contact_name"], changes["emails"] = parse_contact(contact)
    flags = {"no_reminders": no_reminders, "no_fees": no_fees}
    changes |= cast("SettingChanges", {name: value for name, value in flags.items() if value is not None})
    if not changes:
        raise typer.BadParameter("Name a setting to change. See: duewell customers set --help")
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            row = find_customer(session, customer, inside)
        result = update_settings(app, row.connection_id, row.external_id, changes, by=os_user())
    if as_json:
        echo_json(result)
    else:
        echo(f"{result.name}: {'; '.join(format_settings(result.settings)) or 'no settings of their own'}")


def _parse_changes(texts: Mapping[str, str | None]) -> SettingChanges:
    """Parse the options that were given; "none" removes a value."""
    parsers: dict[str, Callable[[str], object]] = {
        "segment": _parse_segment,
        "hold_until_on": parse_date,
        "fees_agreed_on": parse_date,
        "language": lambda text: _parse_unless_none(text, _parse_language),
        "phone": lambda text: _parse_unless_none(text, _parse_phone),
        "stopped_emails": lambda text: _parse_unless_none(text, _parse_addresses),
        "tags": lambda text: _parse_unless_none(text, _parse_tags),
        "owner": lambda text: _parse_unless_none(text, parse_mailbox),
        "sales_rep": lambda text: _parse_unless_none(text, parse_mailbox),
        "second_contact": lambda text: _parse_unless_none(text, parse_mailbox),
        "withholding_percent": lambda text: _parse_unless_none(text, _parse_withholding),
    }
    return cast("SettingChanges", {name: parsers[name](text) for name, text in texts.items() if text is not None})


def _parse_unless_none(text: str, parse: Callable[[str], str]) -> str:
    return "" if text.strip().lower() == "none" else parse(text)


def _parse_addresses(text: str) -> str:
    return ",".join(parse_mailbox(each) for each in text.split(",") if each.strip())


def _parse_phone(text: str) -> str:
    from connector.arrangements.customer_settings import InvalidSettingError, validate_phone

    try:
        return validate_phone(text)
    except InvalidSettingError as problem:
        raise WrongValueError(str(problem), text) from None


def _parse_tags(text: str) -> str:
    return ",".join(filter(None, (tag.strip() for tag in text.split(","))))


def _parse_language(text: str) -> str:
    from connector.arrangements.customer_settings import InvalidSettingError, validate_language

    try:
        return validate_language(text.strip().lower())
    except InvalidSettingError as problem:
        raise WrongValueError(str(problem), text) from None


def _parse_withholding(text: str) -> str:
    from connector.arrangements.customer_settings import InvalidSettingError, validate_withholding

    try:
        return validate_withholding(text)
    except InvalidSettingError as problem:
        raise WrongValueError(str(problem), text) from None


def _parse_segment(text: str) -> Segment | None:
    from policies.receivables import Segment

    if text in {"auto", "none"}:
        return None
    return Segment(parse_choice(text, (*Segment, "auto"), "segment"))
