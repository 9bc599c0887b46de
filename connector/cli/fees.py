"""Commands for late fees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import AllOption, ConnectionOption, LimitOption, rows_max
from connector.cli.outbox import Ids, Seen, update_entries
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
from connector.cli.wrong_values import wrong_value

if TYPE_CHECKING:
    from connector.services.fees import FeeItem

fees = build_group(ListGroup, "Show, approve and waive late fees.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(fees, name="fees")


@fees.command("list")
def list_fees(
    connection: ConnectionOption = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List late fees with their annual rate, newest first."""
    from connector.db.engine import reading
    from connector.services.fees import find_fees
    from connector.vocabulary.labels import label

    most = rows_max(limit, show_all=show_all, for_programs=as_json)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            rows = find_fees(session, inside)
    columns: Columns[FeeItem] = {
        "ID": lambda row: row.id,
        "STATE": lambda row: label(row.state),
        "INVOICE": lambda row: row.invoice,
        "FEE": lambda row: money(row.amount, row.currency),
        "ANNUAL RATE %": lambda row: row.annual_rate,
        "COMPANY": lambda row: row.connection,
        "CUSTOMER": lambda row: row.customer,
        "REASON": lambda row: row.reason,
    }
    echo_results(rows, columns, "There are no late fees.", as_json=as_json, wide=wide, limit=most)


@fees.command("approve")
def approve_fees(ids: Ids, seen: Seen = None, as_json: JsonOption = False) -> None:
    """Approve draft fees: the next sync posts them."""
    from connector.services.fees import approve

    update_entries(ids, seen, approve, "approved, posted with the next sync", as_json=as_json)


@fees.command("waive")
def waive_fees(
    ids: Ids,
    reason: Annotated[str, typer.Option(help="The reason, for the log.")] = "",
    amount: Annotated[str, typer.Option(help="Waive only this much of a posted fee, like 4.00.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Waive fees, or a part of one.

    The next sync voids a posted fee invoice in the accounting system, or credits it where it is already (partly) paid,
    or where only a part is waived.
    """
    from connector.services.fees import InvalidAmountError, parse_waived_amount, waive
    from connector.vocabulary import FeeState

    with open_command_app() as app:
        with wrong_value(InvalidAmountError, amount):
            waived = parse_waived_amount(amount)
        rows = waive(app, ids, by=os_user(), reason=reason, amount=waived)
    if as_json:
        echo_json(rows)
    else:
        for row in rows:
            done = row.state is FeeState.WAIVED
            echo(f"{row.id}: waived" + ("" if done else "; the next sync voids or credits it in the accounting system"))
