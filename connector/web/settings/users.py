"""The people who sign in: invited, given a role and companies, let in anew, removed, held to passkeys; for owners."""

from __future__ import annotations

from sqlmodel import Session
from starlette.responses import Response

from connector.auth import oidc, passkey_requirement, sign_in, users
from connector.db.engine import reading, writing
from connector.db.tables import User
from connector.errors import NotFound
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from connector.web.settings.company_access import parse_company_access


def list_users(request: PageRequest) -> Response:
    """Show who may sign in and who has a passkey, and ask whom to invite."""
    with reading(request.app.engine) as session:
        rows, companies = users.list_user_accounts(session), request.companies(session)
        demand = passkey_requirement.get_requirement(session)
        hindrance = passkey_requirement.find_obstacle(request.app, session, request.actor, request.token)
    return request.render(
        "settings_users.html",
        users=rows,
        companies=companies,
        roles=users.ROLES,
        demand=demand,
        hindrance=hindrance,
        team=oidc.service_host(request.app.settings),
    )


def set_passkey_requirement(request: PageRequest) -> Response:
    """Demand a passkey of everybody, or leave it to each person again."""
    on = {"passkeys_required": True, "passkeys_optional": False}.get(request.form_value("passkeys"))
    if on is None:
        raise NotFound
    passkey_requirement.set_required(
        request.app, required=on, by=request.actor.email, current_user=request.actor, token=request.token
    )
    return request.redirect("/settings/users", notice=request.form_value("passkeys"))


def invite_user(request: PageRequest) -> Response:
    """Add a user, and show the link by which he chooses his password."""
    limits = parse_company_access(request)
    with writing(request.app.engine) as session:
        user = users.add_user(
            session,
            request.form_value("email"),
            request.form_value("role"),
            name=request.form_value("name"),
            companies=limits,
            by=request.actor.email,
            at=request.now,
        )
        return _render_link(request, user, sign_in.create_link(session, user, request.now))


def show_user(request: PageRequest) -> Response:
    """Show one user, and what can be changed about him."""
    with reading(request.app.engine) as session:
        user = _get_user(request, session)
        shown = next(row for row in users.list_user_accounts(session) if row.id == user.id)
        companies = request.companies(session)
        limits = users.build_current_user(session, user).companies
    return request.render("settings_user.html", user=shown, companies=companies, limits=limits, roles=users.ROLES)


def update_user(request: PageRequest) -> Response:
    """Give another role, a new link, or no access any more."""
    act, limits, by = request.form_value("do"), parse_company_access(request), request.actor.email
    with writing(request.app.engine) as session:
        user = _get_user(request, session)
        if act == "reset":
            return _render_link(request, user, sign_in.reset(session, user, by=by, at=request.now))
        if act == "role":
            role = request.form_value("role")
            limits = None if role == "owner" else limits  # an owner is never limited
            users.change_role(session, user.email, role, companies=limits, by=by, at=request.now)
        elif act == "remove":
            users.disable(session, user.email, by=by, at=request.now)
        else:
            raise NotFound
    return request.redirect("/settings/users", notice="user_changed")


def _get_user(request: PageRequest, session: Session) -> User:
    user = session.get(User, request.path_id("user"))
    if user is None:
        raise NotFound
    return user


def _render_link(request: PageRequest, user: User, token: str) -> Response:
    address = f"{request.app.settings.duewell_base_url}/welcome/{token}"
    words = "It works once, within a day. Send it by a way that only this person reads."
    return request.render(
        "settings_secret.html", title=f"A link for {user.email}", secret=address, words=words, back="/settings/users"
    )


ROUTES = (
    Route("GET", "/settings/users", list_users, "owner"),
    Route("POST", "/settings/users", invite_user, "owner", sensitive=True),
    Route("POST", "/settings/users/passkeys", set_passkey_requirement, "owner", sensitive=True),
    Route("GET", "/settings/users/{user:int}", show_user, "owner"),
    Route("POST", "/settings/users/{user:int}", update_user, "owner", sensitive=True),
)
