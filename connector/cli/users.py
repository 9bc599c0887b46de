"""Commands for the users of the web app."""

from __future__ import annotations

from collections.abc import Mapping
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
from connector.cli.wrong_values import wrong_value
from connector.vocabulary import Role, UserState
from connector.vocabulary.labels import in_sentence, label

if TYPE_CHECKING:
    from sqlmodel import Session

    from connector.app_context import AppContext
    from connector.auth.users import UserAccount

EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="The email address they sign in with.")]
RoleArgument = Annotated[str, typer.Argument(metavar="owner|bookkeeper|viewer", help="Their role.")]
users = build_group(ListGroup, "Manage the users of the web app.")


def register(parent: typer.Typer) -> None:
    """Add this group."""
    parent.add_typer(users, name="users")


@users.command("list")
def list_users(wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List the users."""
    from connector.auth.users import list_user_accounts
    from connector.db.engine import reading

    with open_command_app() as app, reading(app.engine) as session:
        rows = list_user_accounts(session)
    columns: Columns[UserAccount] = {
        "ID": lambda row: row.id,
        "EMAIL": lambda row: row.email,
        "ROLE": lambda row: label(row.role),
        "COMPANIES": lambda row: "All" if row.companies is None else ", ".join(row.companies),
        "STATUS": lambda row: label(row.state),
        "PASSKEY": lambda row: "Yes" if row.passkey else "No",
    }
    empty = "No users yet. Start `duewell serve` and open the link that it prints to become the first one."
    echo_results(rows, columns, empty, as_json=as_json, wide=wide)


@users.command()
def add(
    email: EmailArgument,
    role: RoleArgument,
    name: Annotated[str, typer.Option(help="Their name.")] = "",
    company: CompaniesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a user.

    Prints a link with which they choose their password.
    """
    from connector.auth.sign_in import create_link
    from connector.auth.users import add_user
    from connector.db.engine import writing

    parse_choice(role, Role, "role")
    with open_command_app() as app, writing(app.engine) as session:
        at = app.now()
        ids = _find_ids(session, company)
        user = add_user(session, email, role, name=name, companies=ids, by=os_user(), at=at)
        document = {"id": user.id, "email": user.email, "role": user.role}
        link = _welcome_url(app, create_link(session, user, at))
    _print_link(document, link, as_json=as_json)


@users.command("role")
def role_(
    email: EmailArgument,
    role: RoleArgument,
    company: Annotated[
        list[str] | None, typer.Option("--company", help="Only this company; can be repeated. Default: as before.")
    ] = None,
    all_companies: Annotated[bool, typer.Option("--all-companies", help="Give access to every company.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Change a user's role, or the companies they see.

    They keep the companies they have, unless others are named. An owner sees every company.
    """
    from connector.auth.users import change_role, find_companies
    from connector.db.engine import writing

    parse_choice(role, Role, "role")
    if company and all_companies:
        raise typer.BadParameter("choose either --company or --all-companies")
    with open_command_app() as app, writing(app.engine) as session:
        ids = _find_ids(session, company)
        if ids is None and not all_companies and role != Role.OWNER:
            ids = find_companies(session, email)
        user = change_role(session, email, role, companies=ids, by=os_user(), at=app.now())
        document = {"id": user.id, "email": user.email, "role": user.role}
    _print(document, f"{document['email']}: {in_sentence(label(Role(role)))}", as_json=as_json)


@users.command()
def disable(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Disable a user and end their sessions at once."""
    from connector.auth.users import disable as do_disable
    from connector.db.engine import writing

    with open_command_app() as app, writing(app.engine) as session:
        user = do_disable(session, email, by=os_user(), at=app.now())
        document = {"id": user.id, "email": user.email, "state": UserState.DISABLED}
    text = f"{document['email']}: disabled. Enable them again with: duewell users reset {document['email']}"
    _print(document, text, as_json=as_json)


@users.command()
def reset(email: EmailArgument, as_json: JsonOption = False) -> None:
    """Print a new sign-in link for a user.

    For users who lost their password or passkey, or were disabled. Their sessions end at once.
    """
    from connector.auth.sign_in import reset as do_reset
    from connector.auth.users import find_user
    from connector.db.engine import writing

    with open_command_app() as app, writing(app.engine) as session:
        user = find_user(session, email)
        token = do_reset(session, user, by=os_user(), at=app.now())
        document, link = {"id": user.id, "email": user.email}, _welcome_url(app, token)
    _print_link(document, link, as_json=as_json)


@users.command()
def passkeys(
    required: Annotated[
        str, typer.Argument(metavar="on|off", help="on: required for everyone; off: each user chooses.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show whether passkeys are required, or change it."""
    from connector.auth.passkey_requirement import get_requirement, set_required
    from connector.db.engine import reading

    parse_choice(required, ("on", "off", ""), "choice")
    with open_command_app() as app:
        if required:
            set_required(app, required=required == "on", by=os_user())
        with reading(app.engine) as session:
            found = get_requirement(session)
    document = {"required": found is not None, "by": found and found.by, "since": found and found.since}
    text = f"required for everyone, set by {found.by}" if found else "each user chooses"
    _print(document, f"Passkeys: {text}.", as_json=as_json)


@users.command()
def digest(
    email: EmailArgument,
    at: Annotated[str | None, typer.Option(metavar="HH:MM", help='When it is sent; "" for the default time.')] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help='The time zone of the digest and of pages, like Europe/London; "" for none.'),
    ] = None,
    off: Annotated[bool | None, typer.Option("--off/--on", help="Switch it off, or on again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show when a user gets the morning digest, or change it."""
    from connector.auth.preferences import check_digest_time, check_time_zone, update_preferences
    from connector.auth.users import UserError, find_user
    from connector.db.engine import writing

    with wrong_value(UserError, at or ""):
        check_digest_time(at or "")
    with wrong_value(UserError, time_zone or ""):
        check_time_zone(time_zone or "")
    with open_command_app() as app, writing(app.engine) as session:
        user = find_user(session, email)
        update_preferences(
            session,
            user.id or 0,
            time_zone=user.time_zone if time_zone is None else time_zone,
            digest_at=user.digest_at if at is None else at,
            digest_off=user.digest_off if off is None else off,
        )
        document = {
            "id": user.id,
            "email": user.email,
            "off": user.digest_off,
            "at": user.digest_at,
            "time_zone": user.time_zone,
        }
    when = f"at {document['at']}" if document["at"] else "an hour before emails may be sent"
    zone = document["time_zone"] or "each company's time zone"
    text = "no digest" if document["off"] else f"the digest is sent {when}, {zone}"
    _print(document, f"{document['email']}: {text}.", as_json=as_json)


def _find_ids(session: Session, names: list[str] | None) -> list[int] | None:
    from connector.connections.registry import find_connection

    return None if not names else [find_connection(session, name).id or 0 for name in names]


def _welcome_url(app: AppContext, token: str) -> str:
    return f"{app.settings.duewell_base_url}/welcome/{token}"


def _print_link(document: Mapping[str, object], link: str, *, as_json: bool) -> None:
    _print({**document, "link": link}, link, as_json=as_json)
    echo_err("Send the link to this person only. It works once, within a day.")


def _print(document: Mapping[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        echo_json(document)
    else:
        echo(text)
