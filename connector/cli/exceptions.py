"""The command that lists what looks wrong in the accounting system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from connector.cli.options import (
    ConnectionOption,
    OptionalConnectionArgument,
    chosen_connection,
)
from connector.cli.terminal import (
    Columns,
    JsonOption,
    WideOption,
    echo_json,
    echo_results,
    empty_list_message,
    find_connection_id,
    open_command_app,
)

if TYPE_CHECKING:
    from connector.evaluation.exceptions import ExceptionDetails


def register(parent: typer.Typer) -> None:
    """Add this command."""
    parent.command("exceptions")(exceptions)


def exceptions(
    connection: OptionalConnectionArgument = None,
    company: ConnectionOption = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List exceptions: what looks wrong in your accounting system.

    Possible duplicates, unusual amounts, unapplied payments that match an open invoice, missing email addresses.
    """
    from dataclasses import asdict

    from connector.evaluation.exceptions import list_exceptions
    from connector.vocabulary.labels import label

    with open_command_app() as app:
        rows = list_exceptions(app, find_connection_id(app, chosen_connection(connection, company)))
        nothing = empty_list_message(app, "No exceptions found.")
    if as_json:
        echo_json([asdict(each) for each in rows])
        return
    columns: Columns[ExceptionDetails] = {
        "COMPANY": lambda item: item.connection,
        "CUSTOMER": lambda item: item.customer,
        "INVOICE": lambda item: item.invoice,
        "EXCEPTION": lambda item: label(item.code, "exception_code"),
        "REASON": lambda item: item.reason,
    }
    echo_results(rows, columns, nothing, as_json=False, wide=wide)
