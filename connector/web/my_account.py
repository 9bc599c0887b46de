"""A person's own account: password, passkeys, where he is signed in, and ending that elsewhere."""

from __future__ import annotations

from starlette.responses import Response

from connector.auth import oidc, passkey_requirement, passkeys, sessions, sign_in
from connector.auth.passwords import WeakPasswordError
from connector.db.engine import reading, writing
from connector.db.tables import User
from connector.errors import NotFound, NotPossible
from connector.web.page_request import PageRequest
from connector.web.rendering import PASSKEY_CSP
from connector.web.routes import PASSKEY_PATH, Route, set_session_cookie

_CREDENTIAL_MAX = 20_000


def show_account(request: PageRequest) -> Response:
    """Show how this person signs in, and where he is signed in."""
    with reading(request.app.engine) as session:
        user = session.get_one(User, request.actor.id)
        keys = passkeys.list_passkeys(session, request.actor)
        open_ones = sessions.list_sessions(session, request.actor, request.token, request.now)
        demand = passkey_requirement.get_requirement(session)
    return _render_with_passkey(request, "account.html", user=user, keys=keys, sessions=open_ones, demand=demand)


def show_required_passkey(request: PageRequest) -> Response:
    """Ask for the passkey that everybody needs here; nothing else is open to who has none."""
    if not request.actor.needs_passkey:
        return request.redirect("/account")
    with reading(request.app.engine) as session:
        demand = passkey_requirement.get_requirement(session)
    return _render_with_passkey(request, "passkey_required.html", demand=demand)


def _render_with_passkey(request: PageRequest, template: str, **values: object) -> Response:
    """Give a page on which a passkey is made, by the one script there is."""
    options = passkeys.registration_options(request.app, request.actor)
    team = oidc.service_host(request.app.settings)
    answer = request.render(template, options=options, where=passkey_requirement.SUPPORT_HINT, team=team, **values)
    if options:
        answer.headers["Content-Security-Policy"] = PASSKEY_CSP
    return answer


def change_password(request: PageRequest) -> Response:
    """Take another password; every other browser is signed out."""
    password, again = (next(iter(request.form.get(name, ())), "") for name in ("password", "repeat"))
    if password != again:
        message = "The two passwords are not the same. Nothing was changed."
        raise NotPossible(message)
    try:
        sign_in.change_password(request.app, request.actor, request.token, password)
    except WeakPasswordError as problem:
        raise NotPossible(str(problem)) from problem
    return request.redirect("/account", notice="password_changed")


def add_passkey(request: PageRequest) -> Response:
    """Keep the passkey that the device has just made."""
    answer, name = request.form_value("new_passkey", _CREDENTIAL_MAX), request.form_value("name", 80)
    challenge = request.form_value("new_challenge")
    try:
        token = passkeys.register(request.app, request.actor, request.token, challenge, answer, name)
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    onward = request.redirect("/" if request.actor.needs_passkey else "/account", notice="passkey_added")
    return set_session_cookie(request.app, onward, token)


def update_passkeys(request: PageRequest) -> Response:
    """Remove a passkey; or say whether the password alone still lets in."""
    if request.form_value("remove"):
        return _remove_passkey(request)
    try:
        passkeys.set_passkey_only(request.app, request.actor, passkey_only=request.form_value("passkey_only") == "yes")
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    return request.redirect("/account", notice="sign_in_method_changed")


def _remove_passkey(request: PageRequest) -> Response:
    try:
        if not passkeys.remove(request.app, request.actor, request.form_value("remove")):
            raise NotFound
    except sign_in.SignInError as problem:
        raise NotPossible(str(problem)) from problem
    return request.redirect("/account", notice="passkey_removed")


def end_sessions(request: PageRequest) -> Response:
    """Sign this person out in one other browser, or in all others."""
    if request.form_value("session"):
        if not sessions.end_session(request.app, request.actor, request.form_value("session")):
            raise NotFound
        return request.redirect("/account", notice="session_ended")
    with writing(request.app.engine) as session:
        sessions.end_other_sessions(session, request.actor.id, request.token, by=request.actor.email, at=request.now)
    return request.redirect("/account", notice="other_sessions_ended")


ROUTES = (
    Route("GET", "/account", show_account),
    Route("POST", "/account/password", change_password, sensitive=True),
    Route("GET", PASSKEY_PATH, show_required_passkey, allowed_without_passkey=True),
    Route("POST", PASSKEY_PATH, add_passkey, sensitive=True, allowed_without_passkey=True),
    Route("POST", "/account/sign-in-methods", update_passkeys, sensitive=True),
    Route("POST", "/account/sessions", end_sessions, sensitive=True),
)
