"""The command that searches invoices and customers over all companies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import ConnectionOption
from connector.cli.terminal import (
    Columns,
    JsonOption,
    WideOption,
    echo_json,
    echo_results,
    find_connection_id,
    money,
    open_command_app,
)

if TYPE_CHECKING:
    from connector.services.search import SearchMatch


def register(parent: typer.Typer) -> None:
    """Add this command."""
    parent.command("search")(search)


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A number, amount, name or email address.")],
    connection: ConnectionOption = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find invoices and customers.

    Invoices by number or amount, customers by name or email address.
    """
    from sqlalchemy import select
    from sqlmodel import col

    from connector.db.engine import reading
    from connector.db.tables import Connection
    from connector.services.search import KIND_TITLES, find_everywhere

    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            ids = [inside] if inside is not None else list(session.scalars(select(col(Connection.id))))
            result = find_everywhere(session, [each for each in ids if each is not None], text)
    if as_json:
        echo_json(result)
        return
    columns: Columns[SearchMatch] = {
        "FOUND": lambda row: KIND_TITLES[row.kind],
        "NAME": lambda row: row.name,
        "COMPANY": lambda row: row.connection,
        "AMOUNT": lambda row: money(row.amount, row.currency) if row.amount else "",
        "DETAILS": lambda row: row.detail,
    }
    echo_results(result.matches, columns, f"Nothing found for {result.text!r}.", as_json=False, wide=wide)
