"""Commands about API tokens: what programs sign in with at /api/v1."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.commands.given import CompaniesOption, one_of
from connector.commands.terminal import JsonOption, ListGroup, group, opened, put, put_json, put_list, say, who
from connector.ids import ID_MAX

tokens = group(ListGroup, "API tokens: what programs sign in with at /api/v1.")


def add_to(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(tokens, name="tokens")


@tokens.command("list")
def list_tokens(as_json: JsonOption = False) -> None:
    """List the tokens, newest first; never the tokens themselves."""
    from connector.access.api_tokens import listing
    from connector.database import reading

    with opened() as installation, reading(installation.engine) as session:
        rows = listing(session, installation.now())
    if not as_json:
        for row in rows:
            row["may"] = row["scopes"][-1]
            row["companies"] = "all" if row["companies"] is None else ", ".join(row["companies"])
    columns = {"id": "ID", "name": "NAME", "begins": "BEGINS", "may": "MAY", "companies": "COMPANIES"}
    columns |= {"state": "STATE", "expires_at": "ENDS", "used_at": "LAST USED"}
    put_list(rows, columns, "There is no API token. Make one with: duewell tokens create NAME read", as_json=as_json)


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    scope: Annotated[str, typer.Argument(metavar="read|act|admin", help="What it may do; each includes the former.")],
    company: CompaniesOption = None,
    days: Annotated[int, typer.Option(help="How many days it lives.")] = 365,
    as_json: JsonOption = False,
) -> None:
    """Make a token; it is printed now and never again."""
    from connector.access.api_tokens import DAYS_MAX, SCOPES, describe, make
    from connector.access.connections import find_connection
    from connector.database import writing

    one_of(scope, SCOPES, "scope")
    if not name.strip():
        raise typer.BadParameter("A token needs a name, by which you know it again: what is it for?")
    if not 1 <= days <= DAYS_MAX:
        raise typer.BadParameter(f"A token lives between 1 and {DAYS_MAX} days; {days} is not among them.")
    with opened() as installation, writing(installation.engine) as session:
        ids = None if not company else [find_connection(session, each).id or 0 for each in company]
        at = installation.now()
        row, token = make(session, name, scope, companies=ids, days=days, by=who(), at=at)
        shown = {**describe(session, row, at), "token": token}
    if as_json:
        put_json(shown)
    else:
        put(token)
    say(f"Keep it well: it is shown only now. End it with: duewell tokens revoke {shown['id']}")


@tokens.command("revoke")
def revoke_token(
    token_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="As in: duewell tokens list")],
    as_json: JsonOption = False,
) -> None:
    """End a token at once."""
    from connector.access.api_tokens import describe, revoke
    from connector.database import writing

    with opened() as installation, writing(installation.engine) as session:
        at = installation.now()
        shown = describe(session, revoke(session, token_id, by=who(), at=at), at)
    if as_json:
        put_json(shown)
    else:
        put(f"{shown['id']}: {shown['name']} is revoked.")
