"""The user's own account: password, passkeys, and the browsers they are signed in with."""

from __future__ import annotations

from starlette.responses import Response

from connector.auth import passkey_requirement, passkeys, sessions, sign_in
from connector.auth.oidc_discovery import service_host
from connector.auth.passwords import WeakPasswordError
from connector.auth.preferences import COMMON_TIME_ZONES, update_preferences
from connector.db.engine import reading, writing
from connector.db.tables import User
from connector.errors import NotFound, NotPossible
from connector.web.page_request import PageRequest
from connector.web.rendering import PASSKEY_CSP
from connector.web.routes import PASSKEY_PATH, Route, set_session_cookie

_CREDENTIAL_MAX = 20_000


def show_account(request: PageRequest) -> Response:
    """Show the user's ways of signing in, and their open sessions."""
    with reading(request.app.engine) as session:
        user = session.get_one(User, request.actor.id)
        keys = passkeys.list_passkeys(session, request.actor)
        open_sessions = sessions.list_sessions(session, request.actor, request.token, request.now)
        requirement = passkey_requirement.get_requirement(session)
    return _render_with_passkey(
        request,
        "account.html",
        user=user,
        passkeys=keys,
        sessions=open_sessions,
        passkey_requirement=requirement,
        time_zones=COMMON_TIME_ZONES,
    )


def show_required_passkey(request: PageRequest) -> Response:
    """Ask for the passkey that all users need; until they add it, no other page is open to them."""
    if not request.actor.needs_passkey:
        return request.redirect("/account")
    with reading(request.app.engine) as session:
        requirement = passkey_requirement.get_requirement(session)
    return _render_with_passkey(request, "passkey_required.html", passkey_requirement=requirement)


def _render_with_passkey(request: PageRequest, template: str, **values: object) -> Response:
    """Return a page on which the user can add a passkey, the only kind of page with a script."""
    options = passkeys.registration_options(request.app, request.actor)
    response = request.render(
        template,
        options=options,
        passkey_hint=passkey_requirement.SUPPORT_HINT,
        sso_host=service_host(request.app.settings),
        **values,
    )
    if options:
        response.headers["Content-Security-Policy"] = PASSKEY_CSP
    return response


def save_preferences(request: PageRequest) -> Response:
    """Save the time zone of pages, and when the morning digest is sent."""
    with writing(request.app.engine) as session:
        update_preferences(
            session,
            request.actor.id,
            time_zone=request.form_value("time_zone", 60),
            digest_at=request.form_value("digest_at", 5),
            digest_off=request.form_value("digest_off") == "yes",
        )
    return request.redirect("/account", notice="preferences_saved")


def change_password(request: PageRequest) -> Response:
    """Change the password and sign out all other browsers."""
    password, repeated = (next(iter(request.form.get(name, ())), "") for name in ("password", "repeat"))
    if password != repeated:
        raise NotPossible("The two passwords are different. Nothing was changed.")
    try:
        sign_in.change_password(request.app, request.actor, request.token, password)
    except WeakPasswordError as error:
        raise NotPossible(str(error)) from error
    return request.redirect("/account", notice="password_changed")


def add_passkey(request: PageRequest) -> Response:
    """Store the passkey that the user's device has just created."""
    credential, name = request.form_value("new_passkey", _CREDENTIAL_MAX), request.form_value("name", 80)
    challenge = request.form_value("new_challenge")
    try:
        token = passkeys.register(request.app, request.actor, request.token, challenge, credential, name)
    except sign_in.SignInError as error:
        raise NotPossible(str(error)) from error
    response = request.redirect("/" if request.actor.needs_passkey else "/account", notice="passkey_added")
    return set_session_cookie(request.app, response, token)


def update_passkeys(request: PageRequest) -> Response:
    """Remove a passkey, or switch signing in by password alone on or off."""
    if request.form_value("remove"):
        return _remove_passkey(request)
    try:
        passkeys.set_passkey_only(request.app, request.actor, passkey_only=request.form_value("passkey_only") == "yes")
    except sign_in.SignInError as error:
        raise NotPossible(str(error)) from error
    return request.redirect("/account", notice="sign_in_method_changed")


def _remove_passkey(request: PageRequest) -> Response:
    try:
        if not passkeys.remove(request.app, request.actor, request.form_value("remove")):
            raise NotFound
    except sign_in.SignInError as error:
        raise NotPossible(str(error)) from error
    return request.redirect("/account", notice="passkey_removed")


def end_sessions(request: PageRequest) -> Response:
    """Sign the user out in one other browser, or in all others."""
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
    Route("POST", "/account/preferences", save_preferences),
    Route("GET", PASSKEY_PATH, show_required_passkey, allowed_without_passkey=True),
    Route("POST", PASSKEY_PATH, add_passkey, sensitive=True, allowed_without_passkey=True),
    Route("POST", "/account/sign-in-methods", update_passkeys, sensitive=True),
    Route("POST", "/account/sessions", end_sessions, sensitive=True),
)
