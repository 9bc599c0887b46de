"""Commands for the bank accounts that customers pay into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.terminal import (
    Columns,
    CommandError,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_json,
    echo_results,
    get_connection_id,
    open_command_app,
    os_user,
)
from connector.cli.wrong_values import NamedValueError
from connector.vocabulary import BankDetailsState
from connector.vocabulary.labels import label

if TYPE_CHECKING:
    from connector.bank_details.accounts import BankDetailsError
    from connector.services.bank_details import BankDetailsItem

bank_details = build_group(ListGroup, "List and change the bank accounts that customers pay into.")
ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="The company's id or short name.")]
CurrencyArgument = Annotated[str, typer.Argument(metavar="CURRENCY", help="Three letters, for example EUR.")]
IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The number of an account in the list.")]


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(bank_details, name="bank-details")


@bank_details.command("list")
def list_bank_details(
    connection: Annotated[
        str | None, typer.Argument(metavar="[CONNECTION]", help="Only this company: its id or short name.")
    ] = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the accounts that customers pay into.

    Those in use, and changed ones that are not used yet.
    """
    from connector.cli.terminal import find_connections
    from connector.connections.registry import list_connected
    from connector.db.engine import reading
    from connector.services import bank_details as service

    with open_command_app() as app, reading(app.engine) as session:
        companies = find_connections(session, [connection]) if connection else list_connected(session)
        rows = [item for company in companies for item in service.list_items(session, company, app.now())]
    columns: Columns[BankDetailsItem] = {
        "ID": lambda row: row.id,
        "COMPANY": lambda row: row.connection,
        "CURRENCY": lambda row: row.currency,
        "STATE": lambda row: label(row.state),
        "PAYEE": lambda row: row.payee,
        "ACCOUNT": lambda row: f"{row.bank_code} {row.account}".strip(),
        "BIC": lambda row: row.bic,
        "CODE": lambda row: ", ".join(map(label, row.codes)),
        "FROM": lambda row: row.applies_at,
        "SET BY": lambda row: row.set_by,
    }
    echo_results(
        rows, columns, "No bank details yet. Enter some with: duewell bank-details set", as_json=as_json, wide=wide
    )


@bank_details.command("set")
def set_bank_details(  # noqa: PLR0917 - typer's parameters
    connection: ConnectionArgument,
    currency: CurrencyArgument,
    payee: Annotated[str, typer.Option(help="Required: the account's name, as your bank has it.")] = "",
    iban: Annotated[str, typer.Option(help="The IBAN; or a bank code and an account number instead.")] = "",
    bank_code: Annotated[str, typer.Option(help="The sort code, routing number or BSB.")] = "",
    account_number: Annotated[str, typer.Option(help="The account number beside it.")] = "",
    bic: Annotated[str, typer.Option(help="The BIC. Needed for payment codes outside the EEA.")] = "",
    street: Annotated[str, typer.Option(help="Your street, for the Swiss payment code.")] = "",
    building_number: Annotated[str, typer.Option(help="The building's number.")] = "",
    postcode: Annotated[str, typer.Option(help="Your postcode.")] = "",
    town: Annotated[str, typer.Option(help="Your town.")] = "",
    country: Annotated[str, typer.Option(help="Your country, for example CH.")] = "",
    creditor_reference: Annotated[
        bool, typer.Option("--creditor-reference", help="Give single invoices an ISO 11649 reference (RF…).")
    ] = False,
    confirmed: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether you compared it with a bank statement.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Enter the account for payments in a currency.

    Every owner is emailed. It waits for 24 hours, unless another person confirms it; a company's first one is used at
    once.
    """
    from connector.bank_details.accounts import BankDetailsError, parse_bank_details
    from connector.services import bank_details as service

    values = {
        "currency": currency,
        "payee": payee,
        "iban": iban,
        "bank_code": bank_code,
        "account_number": account_number,
        "bic": bic,
        "street": street,
        "building_number": building_number,
        "postcode": postcode,
        "town": town,
        "country": country,
        "use_creditor_reference": "yes" if creditor_reference else "",
    }
    try:
        parse_bank_details(values)  # before the question: nobody compares what is no account
    except BankDetailsError as problem:
        raise _wrong_fields(problem) from None
    if not confirmed and not typer.confirm("Did you compare this account with a statement from your bank?", err=True):
        raise CommandError("Nothing was changed.")
    with open_command_app() as app:
        try:
            item = service.set_bank_details(app, get_connection_id(app, connection), values, by=os_user())
        except BankDetailsError as problem:
            raise _wrong_fields(problem) from None
    if as_json:
        echo_json(item)
    else:
        _echo_entered(item, connection)


def _echo_entered(item: BankDetailsItem, connection: str) -> None:
    if item.state is BankDetailsState.IN_USE:
        echo(f"{item.payee}, {item.account}: in use for payments in {item.currency}.")
        return
    when = f"{item.applies_at:%Y-%m-%d %H:%M} UTC"
    echo(f"{item.payee}, {item.account}: used for payments in {item.currency} from {when} on.")
    echo("Every owner is emailed. Another person can put it into use before:")
    echo(f"  duewell bank-details confirm {connection} {item.id}")


@bank_details.command("remove")
def remove_bank_details(connection: ConnectionArgument, currency: CurrencyArgument) -> None:
    """Stop giving customers the account for a currency, at once. Every owner is emailed."""
    from connector.services import bank_details as service

    with open_command_app() as app:
        service.remove_bank_details(app, get_connection_id(app, connection), currency.upper(), by=os_user())
    echo(f"Customers are no longer given an account for payments in {currency.upper()}.")


@bank_details.command("confirm")
def confirm_bank_details(connection: ConnectionArgument, account: IdArgument) -> None:
    """Confirm a changed account: it is used at once.

    Only somebody other than the person who entered it can.
    """
    from connector.services import bank_details as service

    with open_command_app() as app:
        service.confirm_bank_details(app, get_connection_id(app, connection), account, by=os_user())
    echo("Confirmed: customers are given this account from now on.")


@bank_details.command("cancel")
def cancel_bank_details(connection: ConnectionArgument, account: IdArgument) -> None:
    """Cancel a changed account before it is used."""
    from connector.services import bank_details as service

    with open_command_app() as app:
        service.cancel_bank_details(app, get_connection_id(app, connection), account, by=os_user())
    echo("Cancelled: this account is not used.")


def _wrong_fields(problem: BankDetailsError) -> NamedValueError:
    return NamedValueError("\n".join(f"{_option(name)}: {text}" for name, text in problem.fields.items()))


def _option(field: str) -> str:
    return "CURRENCY" if field == "currency" else f"--{field.replace('_', '-')}"
