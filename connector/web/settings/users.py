"""The users, for owners: invited, given a role and companies, reset, removed, and required to have a passkey."""

from __future__ import annotations

from collections.abc import Mapping

from sqlmodel import Session
from starlette.responses import Response

from connector.auth import passkey_requirement, sign_in, users
from connector.auth.oidc_discovery import service_host
from connector.db.engine import reading, writing
from connector.db.tables import User
from connector.errors import NotFound
from connector.vocabulary import Role
from connector.web.lists.shown import load_list
from connector.web.lists.users import VIEW
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from connector.web.settings.company_access import chosen_companies, parse_company_access


def list_users(request: PageRequest) -> Response:
    """Show the users, the passkey requirement, and the form to invite someone."""
    return _render_users(request, {})


def _render_users(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the users; ``problems`` are what is wrong with the invitation, whose values stay."""
    with reading(request.app.engine) as session:
        shown, companies = load_list(VIEW, request, session, request.query), request.companies(session)
        missing = users.count_without_passkey(session)
        requirement = passkey_requirement.get_requirement(session)
        obstacle = passkey_requirement.find_obstacle(request.app, session, request.actor, request.token)
    return request.render(
        "settings_users.html",
        422 if problems else 200,
        problems=problems,
        values={name: request.form_value(name) for name in ("email", "name", "role")},
        company_ids=chosen_companies(request) if problems else None,
        shown=shown,
        missing=missing,
        companies=companies,
        roles=users.ROLES,
        passkey_requirement=requirement,
        obstacle=obstacle,
        sso_host=service_host(request.app.settings),
    )


def set_passkey_requirement(request: PageRequest) -> Response:
    """Require a passkey of all users, or make passkeys optional again."""
    notice = request.form_value("passkeys")
    required = {"passkeys_required": True, "passkeys_optional": False}.get(notice)
    if required is None:
        raise NotFound
    passkey_requirement.set_required(
        request.app, required=required, by=request.actor.email, current_user=request.actor, token=request.token
    )
    return request.redirect("/settings/users", notice=notice)


def invite_user(request: PageRequest) -> Response:
    """Add a user, and show the link with which they choose their password."""
    companies = parse_company_access(request)
    try:
        with writing(request.app.engine) as session:
            user = users.add_user(
                session,
                request.form_value("email"),
                request.form_value("role"),
                name=request.form_value("name"),
                companies=companies,
                by=request.actor.email,
                at=request.now,
            )
            return _render_link(request, user, sign_in.create_link(session, user, request.now))
    except users.UserError as error:
        return _render_users(request, {"role" if isinstance(error, users.RoleError) else "email": str(error)})


def show_user(request: PageRequest) -> Response:
    """Show one user with the forms to change them."""
    return _render_user(request, {})


def _render_user(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show one user; ``problems`` are why a change is refused."""
    with reading(request.app.engine) as session:
        user = _get_user(request, session)
        account = users.list_user_accounts(session, [user.id or 0])[0]
        companies = request.companies(session)
        company_ids = users.build_current_user(session, user).companies
    submitted = bool(problems) and request.form_value("do") == "role"
    return request.render(
        "settings_user.html",
        409 if problems else 200,
        user=account,
        companies=companies,
        company_ids=chosen_companies(request) if submitted else company_ids,
        role=request.form_value("role") if submitted else account.role,
        roles=users.ROLES,
        problems=problems,
    )


def update_user(request: PageRequest) -> Response:
    """Change a user's role and companies, create a new sign-in link for them, or remove them."""
    try:
        return _update_user(request, request.form_value("do"))
    except users.UserError as error:
        return _render_user(request, {"role" if request.form_value("do") == "role" else "access": str(error)})


def _update_user(request: PageRequest, action: str) -> Response:
    companies, by = parse_company_access(request), request.actor.email
    with writing(request.app.engine) as session:
        user = _get_user(request, session)
        if action == "reset":
            return _render_link(request, user, sign_in.reset(session, user, by=by, at=request.now))
        if action == "role":
            role = request.form_value("role")
            companies = None if role == Role.OWNER else companies  # owners see all companies
            users.change_role(session, user.email, role, companies=companies, by=by, at=request.now)
        elif action == "remove":
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
    return request.render(
        "settings_secret.html",
        title=f"Sign-in link for {user.email}",
        secret=f"{request.app.settings.duewell_base_url}/welcome/{token}",
        text="The link works once, within a day. Send it through a channel that only this person reads.",
        back="/settings/users",
    )


ROUTES = (
    Route("GET", "/settings/users", list_users, Role.OWNER),
    Route("POST", "/settings/users", invite_user, Role.OWNER, sensitive=True),
    Route("POST", "/settings/users/passkeys", set_passkey_requirement, Role.OWNER, sensitive=True),
    Route("GET", "/settings/users/{user:int}", show_user, Role.OWNER),
    Route("POST", "/settings/users/{user:int}", update_user, Role.OWNER, sensitive=True),
)
