"""The people who sign in: invited, given a role and companies, let in anew, removed, held to passkeys; for owners."""

from __future__ import annotations

from sqlmodel import Session
from starlette.responses import Response

from connector.access import oidc, second_factor, sign_in, users
from connector.database import reading, writing
from connector.tables import User
from connector.web.routes import Route
from connector.web.settings.limits import companies_sent
from connector.web.visit import NotHere, Visit


def listing(visit: Visit) -> Response:
    """Show who may sign in and who has a passkey, and ask whom to invite."""
    with reading(visit.installation.engine) as session:
        rows, companies = users.listing(session), visit.companies(session)
        demand = second_factor.demanded(session)
        hindrance = second_factor.hindrance(visit.installation, session, visit.who, visit.token)
    return visit.page(
        "settings_users.html",
        users=rows,
        companies=companies,
        roles=users.ROLES,
        demand=demand,
        hindrance=hindrance,
        team=oidc.host(visit.installation.settings),
    )


def demand_passkeys(visit: Visit) -> Response:
    """Demand a passkey of everybody, or leave it to each person again."""
    on = {"demanded": True, "choice": False}.get(visit.sent("passkeys"))
    if on is None:
        raise NotHere
    second_factor.switch(visit.installation, on=on, by=visit.who.email, person=visit.who, token=visit.token)
    return visit.go("/settings/users", said=visit.sent("passkeys"))


def invite(visit: Visit) -> Response:
    """Add a user, and show the link by which he chooses his password."""
    limits = companies_sent(visit)
    with writing(visit.installation.engine) as session:
        user = users.add_user(
            session,
            visit.sent("email"),
            visit.sent("role"),
            name=visit.sent("name"),
            companies=limits,
            by=visit.who.email,
            at=visit.now,
        )
        return _link(visit, user, sign_in.make_link(session, user, visit.now))


def one(visit: Visit) -> Response:
    """Show one user, and what can be changed about him."""
    with reading(visit.installation.engine) as session:
        user = _user(visit, session)
        shown = next(row for row in users.listing(session) if row["id"] == user.id)
        companies = visit.companies(session)
        limits = users.person_of(session, user).companies
    return visit.page("settings_user.html", user=shown, companies=companies, limits=limits, roles=users.ROLES)


def change(visit: Visit) -> Response:
    """Give another role, a new link, or no access any more."""
    act, limits, by = visit.sent("do"), companies_sent(visit), visit.who.email
    with writing(visit.installation.engine) as session:
        user = _user(visit, session)
        if act == "reset":
            return _link(visit, user, sign_in.reset(session, user, by=by, at=visit.now))
        if act == "role":
            role = visit.sent("role")
            limits = None if role == "owner" else limits  # an owner is never limited
            users.change_role(session, user.email, role, companies=limits, by=by, at=visit.now)
        elif act == "remove":
            users.disable(session, user.email, by=by, at=visit.now)
        else:
            raise NotHere
    return visit.go("/settings/users", said="user")


def _user(visit: Visit, session: Session) -> User:
    user = session.get(User, visit.number("user"))
    if user is None:
        raise NotHere
    return user


def _link(visit: Visit, user: User, token: str) -> Response:
    address = f"{visit.installation.settings.duewell_base_url}/welcome/{token}"
    words = "It works once, within a day. Send it by a way that only this person reads."
    return visit.page(
        "settings_once.html", title=f"A link for {user.email}", secret=address, words=words, back="/settings/users"
    )


ROUTES = (
    Route("GET", "/settings/users", listing, "owner"),
    Route("POST", "/settings/users", invite, "owner", dangerous=True),
    Route("POST", "/settings/users/passkeys", demand_passkeys, "owner", dangerous=True),
    Route("GET", "/settings/users/{user:int}", one, "owner"),
    Route("POST", "/settings/users/{user:int}", change, "owner", dangerous=True),
)
