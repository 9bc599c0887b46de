"""The list of users, on the page where owners invite and change them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session

from connector.auth.users import UserAccount
from connector.services.lists import users as listed
from connector.services.lists.engine import Key
from connector.vocabulary import Role
from connector.vocabulary.labels import label
from connector.web.lists.page import list_routes
from connector.web.lists.view import Cell, Column, ListView, Narrow, Row, utc_text
from connector.web.page_request import PageRequest
from connector.web.rendering import PageTime

PATH = "/settings/users"


def load_rows(_request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some users."""
    return [_row(account) for account in listed.load_lines(session, keys)]


def _row(user: UserAccount) -> Row:
    companies = "All" if user.companies is None else ", ".join(user.companies) or "None"
    role, state = label(user.role), label(user.state)
    return Row(
        key=(user.id,),
        version="",
        title=user.email,
        cells=(
            Cell(user.name or user.email, f"{PATH}/{user.id}", user.email if user.name else ""),
            Cell(role),
            Cell(companies),
            Cell(state),
            Cell("Yes" if user.passkey else "No"),
            Cell(PageTime(user.signed_in_at, "UTC") if user.signed_in_at else "Never"),
        ),
        exported=(
            *(user.email, user.name, role, companies, state),
            *("yes" if user.passkey else "no", utc_text(user.signed_in_at)),
        ),
    )


VIEW = ListView(
    path=PATH,
    title="Users",
    singular="user",
    plural="users",
    listing=listed.LISTING,
    columns=(
        Column("User", "name"),
        Column("Role", "role", narrow=Narrow.SIDE),
        Column("Companies"),
        Column("State", "state", narrow=Narrow.SECOND),
        Column("Passkey"),
        Column("Last sign-in", "signed_in_at", narrow=Narrow.END),
    ),
    load=load_rows,
    csv_headings=("email", "name", "role", "companies", "state", "passkey", "last sign-in (UTC)"),
    empty="No users yet.",
    prominent=("state", "search", "role"),
    min_role=Role.OWNER,
    export_role=Role.OWNER,
)
ROUTES = list_routes(VIEW, act=False, show=False)
