"""Commands about one customer's own page and data: his link, all that is held about him, and its end."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.customers import customers
from connector.cli.options import ConnectionOption, CustomerArgument
from connector.cli.terminal import (
    CommandError,
    JsonOption,
    echo,
    echo_err,
    echo_json,
    find_connection_id,
    open_command_app,
    os_user,
)

if TYPE_CHECKING:
    from connector.app_context import AppContext
    from connector.db.tables import CustomerRow


def register(_parent: typer.Typer) -> None:
    """Add these commands to the group of customers."""
    customers.command("link")(link)
    customers.command("export")(export)
    customers.command("erase")(erase)


def link(
    customer: CustomerArgument,
    revoke: Annotated[bool, typer.Option("--revoke", help="End all links of this customer instead.")] = False,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the link to a customer's own page, where he sees what is open and answers; or revoke it."""
    from connector.emails import portal_links
    from connector.settings import is_publicly_reachable

    with open_command_app() as app:
        found = _find_customer(app, customer, connection)
        here = (app, found.connection_id, found.external_id)
        if revoke:
            ended = portal_links.revoke_links(*here, by=os_user())
            told = {"id": found.external_id, "customer": found.name, "revoked": ended}
            echo_json(told) if as_json else echo(f"{found.name}: {ended} revoked; the next mail carries a new one.")
            return
        given = portal_links.create_link(*here, by=os_user())
        base = app.settings.duewell_base_url
    if as_json:
        echo_json(asdict(given))
    else:
        echo(given.link)
    if not is_publicly_reachable(base):
        echo_err(f"Customers cannot open it: {base} is known on this machine alone (DUEWELL_BASE_URL).")


def export(
    customer: CustomerArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file: .json, or .zip.", dir_okay=False)],
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything held about a customer to a file that you alone may read."""
    from connector.privacy.export import build_document, write_file

    with open_command_app() as app:
        found = _find_customer(app, customer, connection)
        told = build_document(app, found.connection_id, found.external_id, by=os_user())
    try:
        write_file(file, told)
    except FileExistsError:
        raise typer.BadParameter(f"{file} is there already: name a new file.") from None
    except FileNotFoundError:
        raise CommandError(f"There is no folder {file.absolute().parent}; name a file in one that there is.") from None
    rows = {name: len(part) for name, part in told.items() if isinstance(part, list)}
    if as_json:
        echo_json({"id": found.external_id, "customer": found.name, "file": str(file), "rows": rows})
    else:
        echo(f"{found.name}: {sum(rows.values())} records in {file}.")


def erase(
    customer: CustomerArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be taken back.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take an erased customer back, with what the ledger has.")
    ] = False,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a customer's personal data here; keys, amounts and days stay. He is never chased again.

    The ledger is not touched. What it goes on telling of him is left out, and the log says so.
    """
    from connector.privacy import erase as erasing

    with open_command_app() as app:
        found = _find_customer(app, customer, connection)
        here = (app, found.connection_id, found.external_id)
        if undo:
            erasing.undo_erasure(*here, by=os_user())
            told: dict[str, object] = {"id": found.external_id, "restored": True}
            said = [f"{found.name} is taken back; the next run reads his data again."]
        else:
            if not yes:
                typer.confirm(f"Erase the personal data of {found.name} for good?", abort=True, err=True)
            told = erasing.erase(*here, by=os_user())
            said = erasing.format_result(told)
    echo_json(told) if as_json else echo(said[0])
    for each in said[1:]:
        echo_err(each)


def _find_customer(app: AppContext, customer: str, connection: str | None) -> CustomerRow:
    from connector.arrangements.customer_settings import find_customer
    from connector.db.engine import reading

    inside = find_connection_id(app, connection)
    with reading(app.engine) as session:
        return find_customer(session, customer, inside)
