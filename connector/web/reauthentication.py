"""Asks users for their password or a passkey again before a sensitive action; the submitted form is kept meanwhile."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from connector.auth import passkeys, sessions, sign_in
from connector.db.engine import reading
from connector.db.tables import User
from connector.web.page_request import PageRequest, is_local_path
from connector.web.rendering import PASSKEY_CSP

PASSWORD_FIELD, PASSKEY_FIELD = "confirm_password", "confirm_passkey"
_OWN_FIELDS = {"csrf", "username", PASSWORD_FIELD, PASSKEY_FIELD, "challenge"}


def require_reauthentication(request: PageRequest) -> Response | str:
    """Return the session token of a user who confirmed who they are, or the page that asks them to.

    Where this request contains the password or passkey, the token is a new one.
    """
    if sessions.is_recently_authenticated(request.app, request.token):
        return request.token
    submitted = {name: next(iter(request.form.get(name, ())), "") for name in (PASSWORD_FIELD, PASSKEY_FIELD)}
    if not any(submitted.values()):
        return _render_form(request, 403)
    try:
        if submitted[PASSKEY_FIELD]:
            challenge = request.form_value("challenge", 500)
            return passkeys.reauthenticate(
                request.app, request.actor, request.token, challenge, submitted[PASSKEY_FIELD]
            )
        return sign_in.reauthenticate(request.app, request.actor, request.token, submitted[PASSWORD_FIELD])
    except sign_in.TooManyAttemptsError as error:
        return _render_form(request, 429, str(error))
    except sign_in.SignInError:
        return _render_form(request, 403, "That is not correct. Nothing was changed.")


def continue_after(request: PageRequest) -> Response:
    """Redirect to the page that asked for confirmation."""
    target = request.form_value("next")
    return request.redirect(target if is_local_path(target) else "/")


def _render_form(request: PageRequest, status_code: int, problem: str = "") -> Response:
    """Return the page that asks; it posts a form to where that was sent, and redirects back to a page."""
    with reading(request.app.engine) as session:
        has_password = bool(session.get_one(User, request.actor.id).password_hash)
    hidden = [(name, value) for name, values in request.form.items() if name not in _OWN_FIELDS for value in values]
    action = request.path
    if request.method == "GET":
        query = f"?{urlencode(list(request.query.items()))}" if request.query else ""
        action, hidden = "/confirm", [("next", request.path + query)]
    options = passkeys.authentication_options(request.app, request.actor)
    response = request.render(
        "reauthenticate.html",
        status_code,
        problem=problem,
        hidden_fields=hidden,
        action=action,
        has_password=has_password,
        options=options,
    )
    if options:
        response.headers["Content-Security-Policy"] = PASSKEY_CSP
    return response
