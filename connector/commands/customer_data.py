"""Commands about one customer's own page and data: his link."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.commands.people import WithinOption, customers
from connector.commands.terminal import JsonOption, opened, put, put_json, say, who, within

CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Its name, or the ledger's id.")]


def add_to(_app: typer.Typer) -> None:
    """Add these commands to the group of customers."""
    customers.command("link")(link)


def link(
    customer: CustomerArgument,
    revoke: Annotated[bool, typer.Option("--revoke", help="End all links of this customer instead.")] = False,
    connection: WithinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the link to a customer's own page, where he sees what is open and answers; or revoke it."""
    from connector.database import reading
    from connector.people.customers import find_customer
    from connector.portal import links
    from connector.settings import reached_by_customers

    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            found = find_customer(session, customer, inside)
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
