"""Commands about the people who use the web app."""

from __future__ import annotations

from typing import Annotated, Any

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

EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="The address he signs in with.")]
RoleArgument = Annotated[str, typer.Argument(metavar="owner|bookkeeper|viewer", help="What he may do.")]
users = build_group(ListGroup, "The people who use the web app.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(users, name="users")


@users.command("list")
def list_users(as_json: JsonOption = False) -> None:
    """List the users."""
    from connector.auth.users import list_user_accounts
    from connector.db.engine import reading

    with open_command_app() as app, reading(app.engine) as session:
        rows = list_user_accounts(session)
    if not as_json:
        rows = [
            {
                **row,
                "companies": "all" if row["companies"] is None else ", ".join(row["companies"]),
                "passkey": "yes" if row["passkey"] else "not yet",
            }
            for row in rows
        ]
    columns = {"id": "ID", "email": "ADDRESS", "role": "ROLE", "companies": "COMPANIES", "state": "STATE"}
    columns["passkey"] = "PASSKEY"
    echo_list(rows, columns, "There is no user yet: `duewell serve` prints the link for the first.", as_json=as_json)


@users.command()
def add(
    email: EmailArgument,
    role: RoleArgument,
    name: Annotated[str, typer.Option(help="His name.")] = "",
    company: CompaniesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a user; prints the link by which he chooses his password."""
    from connector.auth.sign_in import create_link
    from connector.auth.users import ROLES, add_user
    from connector.db.engine import writing

    parse_choice(role, ROLES, "role")
    with open_command_app() as app, writing(app.engine) as session:
        at = app.now()
        user = add_user(session, email, role, name=name, companies=_find_ids(session, company), by=os_user(), at=at)
        shown = {"id": user.id, "email": user.email, "role": user.role}
        link = _welcome_url(app, create_link(session, user, at))
    _print_link(shown, link, as_json=as_json)


@users.command("role")
def role_(
    email: EmailArgument, role: RoleArgument, company: CompaniesOption = None, as_json: JsonOption = False
) -> None:
    """Give a user another role, and all companies or only those named."""
    from connector.auth.users import ROLES, change_role
    from connector.db.engine import writing

    parse_choice(role, ROLES, "role")
    with open_command_app() as app, writing(app.engine) as session:
        ids = _find_ids(session, company)
        user = change_role(session, email, role, companies=ids, by=os_user(), at=app.now())
        shown = {"id": user.id, "email": user.email, "role": user.role}
    _print(shown, f"{shown['email']}: {shown['role']}", as_json=as_json)


@users.command()
def disable(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Let a user in no more; his sessions end at once."""
    from connector.auth.users import disable as do_disable
    from connector.db.engine import writing

    with open_command_app() as app, writing(app.engine) as session:
        user = do_disable(session, email, by=os_user(), at=app.now())
        shown = {"id": user.id, "email": user.email, "state": "disabled"}
    _print(shown, f"{shown['email']}: disabled. Let him in again with: duewell users reset", as_json=as_json)


@users.command()
def reset(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Make a new link for a user who lost his password, or was disabled; his sessions end at once."""
    from connector.auth.sign_in import reset as do_reset
    from connector.auth.users import find_user
    from connector.db.engine import writing

    with open_command_app() as app, writing(app.engine) as session:
        user = find_user(session, email)
        token = do_reset(session, user, by=os_user(), at=app.now())
        shown, link = {"id": user.id, "email": user.email}, _welcome_url(app, token)
    _print_link(shown, link, as_json=as_json)


@users.command()
def passkeys(
    required: Annotated[str, typer.Argument(metavar="on|off", help="on: demanded of everybody; off: a choice.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Demand a passkey of everybody, or leave it to each person again; says which it is."""
    from connector.auth.passkey_requirement import get_requirement, set_required
    from connector.db.engine import reading

    parse_choice(required, ("on", "off", ""), "choice")
    with open_command_app() as app:
        if required:
            set_required(app, required=required == "on", by=os_user())
        with reading(app.engine) as session:
            found = get_requirement(session)
    text = f"demanded of everybody, by {found.by}" if found else "each person chooses"
    shown = {"required": found is not None, "by": found.by if found else None, "since": found.since if found else None}
    _print(shown, f"Passkeys: {text}.", as_json=as_json)


def _find_ids(session: Any, names: list[str] | None) -> list[int] | None:
    from connector.connections.registry import find_connection

    return None if not names else [find_connection(session, name).id or 0 for name in names]


def _welcome_url(app: Any, token: str) -> str:
    return f"{app.settings.duewell_base_url}/welcome/{token}"


def _print_link(shown: dict[str, Any], link: str, *, as_json: bool) -> None:
    _print({**shown, "link": link}, link, as_json=as_json)
    echo_err("The link is for this person alone; it works once, within a day.")


def _print(shown: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        echo_json(shown)
    else:
        echo(text)
