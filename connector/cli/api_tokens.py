"""Commands for API tokens, with which programs use /api/v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import CompaniesOption, parse_choice
from connector.cli.terminal import (
    Columns,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_err,
    echo_json,
    echo_results,
    open_command_app,
    os_user,
)
from connector.cli.wrong_values import NamedValueError
from connector.db.ids import ID_MAX
from connector.vocabulary import TokenScope
from connector.vocabulary.labels import label

if TYPE_CHECKING:
    from connector.auth.api_tokens import ApiTokenItem

tokens = build_group(ListGroup, "Manage API tokens, with which programs use /api/v1.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(tokens, name="tokens")


@tokens.command("list")
def list_tokens(wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List the tokens, newest first."""
    from connector.auth.api_tokens import list_api_tokens
    from connector.db.engine import reading

    with open_command_app() as app, reading(app.engine) as session:
        rows = list_api_tokens(session, app.now())
    columns: Columns[ApiTokenItem] = {
        "ID": lambda row: row.id,
        "NAME": lambda row: row.name,
        "STARTS WITH": lambda row: row.prefix,
        "SCOPE": lambda row: label(row.scopes[-1]),
        "COMPANIES": lambda row: "All" if row.companies is None else ", ".join(row.companies),
        "STATUS": lambda row: label(row.state),
        "EXPIRES": lambda row: row.expires_at,
        "LAST USED": lambda row: row.used_at,
    }
    echo_results(
        rows, columns, "No API tokens. Create one with: duewell tokens create NAME read", as_json=as_json, wide=wide
    )


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the token is for.")],
    scope: Annotated[
        str,
        typer.Argument(metavar="read|write|admin", help="What it allows; each scope includes the ones before it."),
    ],
    company: CompaniesOption = None,
    days: Annotated[int, typer.Option(help="Expires after so many days.")] = 365,
    as_json: JsonOption = False,
) -> None:
    """Create a token and print it, once."""
    from connector.auth.api_tokens import DAYS_MAX, create, describe
    from connector.connections.registry import find_connection
    from connector.db.engine import writing

    parse_choice(scope, TokenScope, "scope")
    if not name.strip():
        raise typer.BadParameter("Name the token after what it is for.")
    if not 1 <= days <= DAYS_MAX:
        raise NamedValueError(f"--days: a token can be valid for 1 to {DAYS_MAX} days, not {days}.")
    with open_command_app() as app, writing(app.engine) as session:
        ids = None if not company else [find_connection(session, each).id or 0 for each in company]
        at = app.now()
        row, token = create(session, name, scope, companies=ids, days=days, by=os_user(), at=at)
        created = describe(session, row, at)
    if as_json:
        echo_json({**created.model_dump(), "token": token})
    else:
        echo(token)
    echo_err(f"Store it now: it is not shown again. Revoke it with: duewell tokens revoke {created.id}")


@tokens.command("revoke")
def revoke_token(
    token_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="See: duewell tokens list")],
    as_json: JsonOption = False,
) -> None:
    """Revoke a token, effective at once."""
    from connector.auth.api_tokens import describe, revoke
    from connector.db.engine import writing

    with open_command_app() as app, writing(app.engine) as session:
        at = app.now()
        revoked = describe(session, revoke(session, token_id, by=os_user(), at=at), at)
    if as_json:
        echo_json(revoked)
    else:
        echo(f"{revoked.id}: {revoked.name} is revoked.")
