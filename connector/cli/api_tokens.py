"""Commands about API tokens: what programs sign in with at /api/v1."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli.options import CompaniesOption, parse_choice
from connector.cli.terminal import (
    JsonOption,
    ListGroup,
    build_group,
    echo,
    echo_err,
    echo_json,
    echo_list,
    open_command_app,
    os_user,
)
from connector.db.ids import ID_MAX

tokens = build_group(ListGroup, "API tokens: what programs sign in with at /api/v1.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(tokens, name="tokens")


@tokens.command("list")
def list_tokens(as_json: JsonOption = False) -> None:
    """List the tokens, newest first; never the tokens themselves."""
    from connector.auth.api_tokens import list_api_tokens
    from connector.db.engine import reading

    with open_command_app() as app, reading(app.engine) as session:
        rows = list_api_tokens(session, app.now())
    if not as_json:
        for row in rows:
            row["scope"] = row["scopes"][-1]
            row["companies"] = "all" if row["companies"] is None else ", ".join(row["companies"])
    columns = {"id": "ID", "name": "NAME", "prefix": "BEGINS", "scope": "MAY", "companies": "COMPANIES"}
    columns |= {"state": "STATE", "expires_at": "ENDS", "used_at": "LAST USED"}
    echo_list(rows, columns, "There is no API token. Make one with: duewell tokens create NAME read", as_json=as_json)


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    scope: Annotated[str, typer.Argument(metavar="read|write|admin", help="What it may do; each includes the former.")],
    company: CompaniesOption = None,
    days: Annotated[int, typer.Option(help="How many days it lives.")] = 365,
    as_json: JsonOption = False,
) -> None:
    """Make a token; it is printed now and never again."""
    from connector.auth.api_tokens import DAYS_MAX, SCOPES, create, describe
    from connector.connections.registry import find_connection
    from connector.db.engine import writing

    parse_choice(scope, SCOPES, "scope")
    if not name.strip():
        raise typer.BadParameter("A token needs a name, by which you know it again: what is it for?")
    if not 1 <= days <= DAYS_MAX:
        raise typer.BadParameter(f"A token lives between 1 and {DAYS_MAX} days; {days} is not among them.")
    with open_command_app() as app, writing(app.engine) as session:
        ids = None if not company else [find_connection(session, each).id or 0 for each in company]
        at = app.now()
        row, token = create(session, name, scope, companies=ids, days=days, by=os_user(), at=at)
        shown = {**describe(session, row, at), "token": token}
    if as_json:
        echo_json(shown)
    else:
        echo(token)
    echo_err(f"Keep it well: it is shown only now. End it with: duewell tokens revoke {shown['id']}")


@tokens.command("revoke")
def revoke_token(
    token_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="As in: duewell tokens list")],
    as_json: JsonOption = False,
) -> None:
    """End a token at once."""
    from connector.auth.api_tokens import describe, revoke
    from connector.db.engine import writing

    with open_command_app() as app, writing(app.engine) as session:
        at = app.now()
        shown = describe(session, revoke(session, token_id, by=os_user(), at=at), at)
    if as_json:
        echo_json(shown)
    else:
        echo(f"{shown['id']}: {shown['name']} is revoked.")
