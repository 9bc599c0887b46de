"""Commands about one customer's own page and data: his link, all that is held about him, and its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.given import CustomerArgument, WithinOption
from connector.commands.people import customers
from connector.commands.terminal import CommandError, JsonOption, opened, put, put_json, say, who, within

if TYPE_CHECKING:
    from connector.installation import Installation
    from connector.tables import CustomerRow


def add_to(_app: typer.Typer) -> None:
    """Add these commands to the group of customers."""
    customers.command("link")(link)
    customers.command("export")(export)
    customers.command("erase")(erase)


def link(
    customer: CustomerArgument,
    revoke: Annotated[bool, typer.Option("--revoke", help="End all links of this customer instead.")] = False,
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the link to a customer's own page, where he sees what is open and answers; or revoke it."""
    from connector.portal import links
    from connector.settings import reached_by_customers

    with opened() as installation:
        found = _find(installation, customer, connection)
        here = (installation, found.connection_id, found.external_id)
        if revoke:
            ended = links.revoke(*here, by=who())
            told = {"id": found.external_id, "customer": found.name, "revoked": ended}
            put_json(told) if as_json else put(f"{found.name}: {ended} revoked; the next mail carries a new one.")
            return
        given = links.give(*here, by=who())
        base = installation.settings.duewell_base_url
    if as_json:
        put_json(given)
    else:
        put(given["link"])
    if not reached_by_customers(base):
        say(f"Customers cannot open it: {base} is known on this machine alone (DUEWELL_BASE_URL).")


def export(
    customer: CustomerArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file: .json, or .zip.", dir_okay=False)],
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything held about a customer to a file that you alone may read."""
    from connector.privacy.export import document, write_to

    with opened() as installation:
        found = _find(installation, customer, connection)
        told = document(installation, found.connection_id, found.external_id, by=who())
    try:
        write_to(file, told)
    except FileExistsError:
        raise typer.BadParameter(f"{file} is there already: name a new file.") from None
    except FileNotFoundError:
        raise CommandError(f"There is no folder {file.absolute().parent}; name a file in one that there is.") from None
    rows = {name: len(part) for name, part in told.items() if isinstance(part, list)}
    if as_json:
        put_json({"id": found.external_id, "customer": found.name, "file": str(file), "rows": rows})
    else:
        put(f"{found.name}: {sum(rows.values())} records in {file}.")


def erase(
    customer: CustomerArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be taken back.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take an erased customer back, with what the ledger has.")
    ] = False,
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a customer's personal data here; keys, amounts and days stay. He is never chased again.

    The ledger is not touched. What it goes on telling of him is left out, and the log says so.
    """
    from connector.privacy import erase as erasing

    with opened() as installation:
        found = _find(installation, customer, connection)
        here = (installation, found.connection_id, found.external_id)
        if undo:
            erasing.undo(*here, by=who())
            told: dict[str, object] = {"id": found.external_id, "taken_back": True}
            said = [f"{found.name} is taken back; the next run reads his data again."]
        else:
            if not yes:
                typer.confirm(f"Erase the personal data of {found.name} for good?", abort=True, err=True)
            told = erasing.erase(*here, by=who())
            said = erasing.in_words(told)
    put_json(told) if as_json else put(said[0])
    for each in said[1:]:
        say(each)


def _find(installation: Installation, customer: str, connection: str | None) -> CustomerRow:
    from connector.database import reading
    from connector.people.customers import find_customer

    inside = within(installation, connection)
    with reading(installation.engine) as session:
        return find_customer(session, customer, inside)
