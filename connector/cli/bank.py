"""Commands for bank statements: import, address, matches, unmatched, confirm, reject, assign, set-aside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import ConnectionOption
from connector.cli.terminal import (
    Columns,
    CommandError,
    Group,
    JsonOption,
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
from connector.cli.wrong_values import WrongValueError
from connector.db.ids import ID_MAX

if TYPE_CHECKING:
    from connector.app_context import AppContext
    from connector.bank.formats.csv_mapping import CsvMapping, CsvQuestion
    from connector.services.bank_statements import FileItem, MatchItem, ReceiptItem

MatchArgument = Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="See: duewell bank matches")]
MoneyArgument = Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="See: duewell bank unmatched")]
bank = build_group(Group, "Import bank statements and match their money with invoices.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(bank, name="bank")


@bank.command("import")
def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="camt.053, camt.054, MT940, OFX, BAI2 or CSV.")
    ],
    *,
    connection: Annotated[str, typer.Option("--connection", help="The company: its id or short name.")],
    date_order: Annotated[
        str | None, typer.Option(metavar="ORDER", help="How a CSV file writes dates: dmy, mdy or ymd.")
    ] = None,
    decimal_mark: Annotated[
        str | None, typer.Option(metavar="MARK", help="The decimal mark of a CSV file's amounts: , or .")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="The currency of a CSV file that names none.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=NAME", help="A column of a CSV file, like payer=Name; can be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import bank statements.

    Payments on them hold reminders about the invoices they pay. A file that cannot be read, or was imported before,
    changes nothing.
    """
    from connector.bank.formats.bank_line import StatementError
    from connector.bank.formats.csv_mapping import CsvQuestion
    from connector.services.bank_statements import describe_import, import_file

    results = []
    failures: list[str] = []
    with open_command_app() as app:
        inside = get_connection_id(app, connection)
        for file in files:
            try:
                content = _read(file)
                mapping = _mapping(app, inside, content, date_order, decimal_mark, currency, column or [])
                result = import_file(app, inside, content, name=file.name, by=os_user(), mapping=mapping)
            except CsvQuestion as question:
                failures.append(_ask(file, question))
                continue
            except StatementError as error:
                failures.append(f"{file}: {error} Nothing of it was imported.")
                continue
            results.append(result)
            for line in () if as_json else describe_import(result):
                echo(line)
    if as_json:
        echo_json(results)
    if failures:
        for each in failures[:-1]:
            echo_err(f"Error: {each}")
        raise CommandError(failures[-1])


@bank.command("address")
def show_address(
    connection: Annotated[str, typer.Argument(metavar="CONNECTION", help="The company: its id or short name.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the address to which a bank may email statements.

    Senders have to be allowed by DUEWELL_BANK_SENDERS, and their domain has to sign (DKIM).
    """
    from connector.services.bank_statements import statement_address

    with open_command_app() as app:
        address = statement_address(app, get_connection_id(app, connection))
    if not address:
        raise CommandError(
            "Statements do not come by email yet. Set DUEWELL_BANK_FOLDER, DUEWELL_BANK_SENDERS, MAIL_REPLY_DOMAIN and"
            " SENDGRID_INBOUND_PUBLIC_KEY."
        )
    if as_json:
        echo_json({"address": address})
    else:
        echo(address)


def _read(file: Path) -> bytes:
    """Return a file's content, unless it is too large to be one. Raises ``StatementError``."""
    from connector.bank.formats.bank_line import BYTES_MAX, StatementError

    try:
        if file.stat().st_size > BYTES_MAX:
            raise StatementError(f"The file is larger than {BYTES_MAX // 2**20} MB: split it.")
        return file.read_bytes()
    except OSError as error:
        raise StatementError(f"The file cannot be read ({error.strerror}).") from None


def _mapping(
    app: AppContext,
    connection_id: int,
    content: bytes,
    date_order: str | None,
    decimal_mark: str | None,
    currency: str | None,
    columns: list[str],
) -> CsvMapping | None:
    """Return what the options say about a CSV file; None where they say nothing, or it is none."""
    from connector.bank.csv_answers import CsvAnswers, apply_answers

    answers = CsvAnswers(date_order or "", decimal_mark or "", (currency or "").upper(), _columns(columns))
    return apply_answers(app, connection_id, content, answers) if answers.says_something else None


def _columns(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        field, mark, name = text.partition("=")
        if not mark:
            raise WrongValueError(f"{text!r} names no column; write it like amount=Betrag.", text)
        found[field.strip()] = name.strip()
    return found


def _ask(file: Path, question: CsvQuestion) -> str:
    options = {
        "date_order": "Say it with --date-order dmy or --date-order mdy.",
        "decimal_mark": "Say it with --decimal-mark , or --decimal-mark .",
        "columns": "Name them: --column booked_on=NAME --column amount=NAME (or credit=NAME and debit=NAME).",
    }
    sample = "\n  ".join([" | ".join(question.header), *question.sample])
    return f"{file}: {question.reason} {options[question.setting]} It is kept for this bank.\n  {sample}"


@bank.command("matches")
def list_matches(
    connection: ConnectionOption = None,
    include_closed: Annotated[
        bool, typer.Option("--all", help="Include matches that are booked or rejected by now.")
    ] = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List payments that match an open invoice, or may."""
    from connector.db.engine import reading
    from connector.services import bank_statements
    from connector.vocabulary.labels import label

    with open_command_app() as app, reading(app.engine) as session:
        rows = bank_statements.list_matches(session, _ids(app, connection), include_closed=include_closed)
    columns: Columns[MatchItem] = {
        "ID": lambda row: row.id,
        "COMPANY": lambda row: row.connection,
        "RECEIVED": lambda row: row.received_on,
        "AMOUNT": lambda row: f"{row.amount} {row.currency}",
        "PAYER": lambda row: row.payer,
        "CUSTOMER": lambda row: row.customer,
        "INVOICE": lambda row: row.invoice,
        "CERTAINTY": lambda row: label(row.certainty),
        "SCORE": lambda row: row.score,
        "STATE": lambda row: label(row.state),
        "WHY": lambda row: "; ".join(f"{part.text} ({part.points:+d})" for part in row.parts),
    }
    echo_results(rows, columns, "No money in the bank is for an open invoice.", as_json=as_json, wide=wide)


@bank.command("unmatched")
def list_unmatched(connection: ConnectionOption = None, wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List payments in the bank that match no open invoice."""
    from connector.db.engine import reading
    from connector.services import bank_statements

    with open_command_app() as app, reading(app.engine) as session:
        rows = bank_statements.list_unmatched(session, _ids(app, connection))
    columns: Columns[ReceiptItem] = {
        "ID": lambda row: row.id,
        "COMPANY": lambda row: row.connection,
        "RECEIVED": lambda row: row.received_on,
        "AMOUNT": lambda row: f"{row.amount} {row.currency}",
        "PAYER": lambda row: row.payer,
        "TEXT": lambda row: row.text,
    }
    echo_results(rows, columns, "There is no such money.", as_json=as_json, wide=wide)


@bank.command("files")
def list_files(connection: ConnectionOption = None, wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List the statements that were imported."""
    from connector.db.engine import reading
    from connector.services import bank_statements
    from connector.vocabulary.labels import label

    with open_command_app() as app, reading(app.engine) as session:
        rows = bank_statements.list_files(session, _ids(app, connection))
    columns: Columns[FileItem] = {
        "ID": lambda row: row.id,
        "COMPANY": lambda row: row.connection,
        "FILE": lambda row: row.name,
        "FORMAT": lambda row: label(row.format),
        "FROM": lambda row: row.first_on,
        "TO": lambda row: row.last_on,
        "ENTRIES": lambda row: row.entries,
        "NEW MONEY": lambda row: row.new,
        "IMPORTED": lambda row: row.imported_at,
        "BY": lambda row: row.imported_by,
    }
    echo_results(rows, columns, "No bank statement was imported yet.", as_json=as_json, wide=wide)


@bank.command("confirm")
def confirm(match_id: MatchArgument, as_json: JsonOption = False) -> None:
    """Confirm a match; the payer is remembered."""
    from connector.services.bank_statements import confirm_match

    with open_command_app() as app:
        result = confirm_match(app, match_id, by=os_user())
    if as_json:
        echo_json(result)
    else:
        echo(f"Match {result.id} is confirmed: nothing is asked for it, and the payer is remembered.")


@bank.command("reject")
def reject(match_id: MatchArgument, as_json: JsonOption = False) -> None:
    """Reject a match.

    It no longer holds reminders.
    """
    from connector.services.bank_statements import reject_match

    with open_command_app() as app:
        result = reject_match(app, match_id, by=os_user())
    if as_json:
        echo_json(result)
    else:
        echo(f"Match {result.id} is rejected: the invoice is chased again.")


@bank.command("assign")
def assign(
    money_id: MoneyArgument,
    invoice: Annotated[str, typer.Argument(metavar="INVOICE", help="The number of the invoice that it pays.")],
    as_json: JsonOption = False,
) -> None:
    """Match a payment with an invoice, where none was found."""
    from connector.services.bank_statements import assign_receipt

    with open_command_app() as app:
        result = assign_receipt(app, money_id, invoice, by=os_user())
    if as_json:
        echo_json(result)
    else:
        echo(f"Match {result.id} is confirmed: nothing is asked for {invoice}, and the payer is remembered.")


@bank.command("set-aside")
def set_aside(money_id: MoneyArgument, as_json: JsonOption = False) -> None:
    """Mark money as not a customer's payment.

    For example a loan, a refund, or the owner's own money.
    """
    from connector.services.bank_statements import set_aside as put_aside

    with open_command_app() as app:
        put_aside(app, money_id, by=os_user())
    if as_json:
        echo_json({"id": money_id})
    else:
        echo(f"Money {money_id} is set aside.")


def _ids(app: AppContext, connection: str | None) -> list[int]:
    from connector.connections.registry import list_connections
    from connector.db.engine import reading

    if connection is not None:
        return [get_connection_id(app, connection)]
    with reading(app.engine) as session:
        return [row.id or 0 for row in list_connections(session)]
