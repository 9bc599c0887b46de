"""Commands for a customer's portal link and personal data: link, what they reported, export and erase."""

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
    echo_table,
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
    customers.command("reported")(reported)
    customers.command("export")(export)
    customers.command("erase")(erase)


def link(
    customer: CustomerArgument,
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke all links of this customer instead.")] = False,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the link to the customer portal, or revoke it.

    In the portal, customers see their open invoices and can reply.
    """
    from connector.emails import portal_links
    from connector.setting_types import is_publicly_reachable

    with open_command_app() as app:
        found = _find_customer(app, customer, connection)
        here = (app, found.connection_id, found.external_id)
        if revoke:
            ended = portal_links.revoke_links(*here, by=os_user())
            result = {"id": found.external_id, "customer": found.name, "revoked": ended}
            echo_json(result) if as_json else echo(
                f"{found.name}: {ended} links revoked. The next email has a new one."
            )
            return
        given = portal_links.create_link(*here, by=os_user())
        base = app.settings.duewell_base_url
    if as_json:
        echo_json(asdict(given))
    else:
        echo(given.link)
    if not is_publicly_reachable(base):
        echo_err(f"Customers cannot open it: {base} is reachable only on this machine. Change DUEWELL_BASE_URL.")


def reported(customer: CustomerArgument, connection: ConnectionOption = None, as_json: JsonOption = False) -> None:
    """List what a customer reported in the portal.

    Newest first, with unapplied payments that may match.
    """
    from connector.db.engine import reading
    from connector.services.portal_reports import list_portal_reports
    from connector.vocabulary import ResponseState
    from connector.vocabulary.labels import label

    with open_command_app() as app:
        found = _find_customer(app, customer, connection)
        with reading(app.engine) as session:
            reports = list_portal_reports(session, found)
    if as_json:
        echo_json([asdict(each) for each in reports])
        return
    rows = [
        (
            f"{each.responded_at:%Y-%m-%d %H:%M}",
            f"{label(each.kind)}{' (taken back)' if each.state is ResponseState.UNDONE else ''}",
            "; ".join(filter(None, [each.text, *each.matches, *(file.filename for file in each.files)])),
        )
        for each in reports
    ]
    if rows:
        echo_table(("at (UTC)", "reported", "details"), rows)
    else:
        echo(f"{found.name} reported nothing in the portal.")


def export(
    customer: CustomerArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file: .json or .zip.", dir_okay=False)],
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export everything stored about a customer.

    Writes a file that only you can read.
    """
    from connector.privacy.export import build_document, write_file

    with open_command_app() as app:
        found = _find_customer(app, customer, connection)
        document = build_document(app, found.connection_id, found.external_id, by=os_user())
    try:
        write_file(file, document)
    except FileExistsError:
        raise typer.BadParameter(f"{file} already exists. Name a new file.") from None
    except FileNotFoundError:
        raise CommandError(
            f"The folder {file.absolute().parent} does not exist. Name a file in an existing folder."
        ) from None
    rows = {name: len(part) for name, part in document.items() if isinstance(part, list)}
    if as_json:
        echo_json({"id": found.external_id, "customer": found.name, "file": str(file), "rows": rows})
    else:
        echo(f"{found.name}: {sum(rows.values())} records in {file}.")


def erase(
    customer: CustomerArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation. This cannot be undone.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the log: without the customer's name.")] = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Read an erased customer's data from the accounting system again.")
    ] = False,
    connection: ConnectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a customer's personal data.

    Ids, amounts and dates are kept; the customer is never chased again. Nothing changes in the accounting system, and
    what it still sends about the customer is ignored.
    """
    from connector.privacy import erase as erasing

    with open_command_app() as app:
        found = _find_customer(app, customer, connection)
        here = (app, found.connection_id, found.external_id)
        if undo:
            erasing.undo_erasure(*here, by=os_user())
            result: object = {"id": found.external_id, "restored": True}
            lines = [f"{found.name}: erasure undone. The next sync reads their data again."]
        else:
            if not yes:
                typer.confirm(f"Permanently erase the personal data of {found.name}?", abort=True, err=True)
            erased = erasing.erase(*here, by=os_user(), reason=reason)
            result, lines = erased, erasing.format_result(erased)
    echo_json(result) if as_json else echo(lines[0])
    for each in lines[1:]:
        echo_err(each)


def _find_customer(app: AppContext, customer: str, connection: str | None) -> CustomerRow:
    from connector.arrangements.customer_settings import find_customer
    from connector.db.engine import reading

    inside = find_connection_id(app, connection)
    with reading(app.engine) as session:
        return find_customer(session, customer, inside)
