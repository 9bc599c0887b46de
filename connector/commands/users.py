"""Commands about the people who use the web app."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from connector.commands.given import CompaniesOption, one_of
from connector.commands.terminal import JsonOption, ListGroup, group, opened, put, put_json, put_list, say, who

EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="The address he signs in with.")]
RoleArgument = Annotated[str, typer.Argument(metavar="owner|bookkeeper|viewer", help="What he may do.")]
users = group(ListGroup, "The people who use the web app.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(users, name="users")


@users.command("list")
def list_users(as_json: JsonOption = False) -> None:
    """List the users."""
    from connector.access.users import listing
    from connector.database import reading

    with opened() as installation, reading(installation.engine) as session:
        rows = listing(session)
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
    put_list(rows, columns, "There is no user yet: `duewell serve` prints the link for the first.", as_json=as_json)


@users.command()
def add(
    email: EmailArgument,
    role: RoleArgument,
    name: Annotated[str, typer.Option(help="His name.")] = "",
    company: CompaniesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a user; prints the link by which he chooses his password."""
    from connector.access.sign_in import make_link
    from connector.access.users import ROLES, add_user
    from connector.database import writing

    one_of(role, ROLES, "role")
    with opened() as installation, writing(installation.engine) as session:
        at = installation.now()
        user = add_user(session, email, role, name=name, companies=_ids(session, company), by=who(), at=at)
        shown = {"id": user.id, "email": user.email, "role": user.role}
        link = _address(installation, make_link(session, user, at))
    _put_link(shown, link, as_json=as_json)


@users.command("role")
def role_(
    email: EmailArgument, role: RoleArgument, company: CompaniesOption = None, as_json: JsonOption = False
) -> None:
    """Give a user another role, and all companies or only those named."""
    from connector.access.users import ROLES, change_role
    from connector.database import writing

    one_of(role, ROLES, "role")
    with opened() as installation, writing(installation.engine) as session:
        ids = _ids(session, company)
        user = change_role(session, email, role, companies=ids, by=who(), at=installation.now())
        shown = {"id": user.id, "email": user.email, "role": user.role}
    _put(shown, f"{shown['email']}: {shown['role']}", as_json=as_json)


@users.command()
def disable(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Let a user in no more; his sessions end at once."""
    from connector.access.users import disable as do_disable
    from connector.database import writing

    with opened() as installation, writing(installation.engine) as session:
        user = do_disable(session, email, by=who(), at=installation.now())
        shown = {"id": user.id, "email": user.email, "state": "disabled"}
    _put(shown, f"{shown['email']}: disabled. Let him in again with: duewell users reset", as_json=as_json)


@users.command()
def reset(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Make a new link for a user who lost his password, or was disabled; his sessions end at once."""
    from connector.access.sign_in import reset as do_reset
    from connector.access.users import find_user
    from connector.database import writing

    with opened() as installation, writing(installation.engine) as session:
        user = find_user(session, email)
        token = do_reset(session, user, by=who(), at=installation.now())
        shown, link = {"id": user.id, "email": user.email}, _address(installation, token)
    _put_link(shown, link, as_json=as_json)


@users.command()
def passkeys(
    demand: Annotated[str, typer.Argument(metavar="on|off", help="on: demanded of everybody; off: a choice.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Demand a passkey of everybody, or leave it to each person again; says which it is."""
    from connector.access.second_factor import demanded, switch
    from connector.database import reading

    one_of(demand, ("on", "off", ""), "choice")
    with opened() as installation:
        if demand:
            switch(installation, on=demand == "on", by=who())
        with reading(installation.engine) as session:
            found = demanded(session)
    text = f"demanded of everybody, by {found.by}" if found else "each person chooses"
    shown = {"demanded": found is not None, "by": found.by if found else None, "since": found.since if found else None}
    _put(shown, f"Passkeys: {text}.", as_json=as_json)


def _ids(session: Any, names: list[str] | None) -> list[int] | None:
    from connector.access.connections import find_connection

    return None if not names else [find_connection(session, name).id or 0 for name in names]


def _address(installation: Any, token: str) -> str:
    return f"{installation.settings.duewell_base_url}/welcome/{token}"


def _put_link(shown: dict[str, Any], link: str, *, as_json: bool) -> None:
    _put({**shown, "link": link}, link, as_json=as_json)
    say("The link is for this person alone; it works once, within a day.")


def _put(shown: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        put_json(shown)
    else:
        put(text)
