"""Asks once more who sits there, before something dangerous is done; what was filled in waits meanwhile."""

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
    """Give the page that asks; or the session's token, another one where it was shown by what came with this form."""
    if sessions.is_recently_authenticated(request.app, request.token):
        return request.token
    given = {name: next(iter(request.form.get(name, ())), "") for name in (PASSWORD_FIELD, PASSKEY_FIELD)}
    if not any(given.values()):
        return _render_form(request, 403)
    try:
        if given[PASSKEY_FIELD]:
            sealed = request.form_value("challenge", 500)
            return passkeys.reauthenticate(request.app, request.actor, request.token, sealed, given[PASSKEY_FIELD])
        return sign_in.reauthenticate(
            request.app, request.actor, request.token, given[PASSWORD_FIELD], request.browser.address
        )
    except sign_in.TooManyAttemptsError as problem:
        return _render_form(request, 429, str(problem))
    except sign_in.SignInError:
        return _render_form(request, 403, "That was not it. Nothing was changed.")


def continue_after(request: PageRequest) -> Response:
    """Lead on to the page that was wanted, now that it is known who asks for it."""
    wanted = request.form_value("next")
    return request.redirect(wanted if is_local_path(wanted) else "/")


def _render_form(request: PageRequest, status_code: int, problem: str = "") -> Response:
    """Ask. A form goes on to where it was sent; a page that was opened is come back to."""
    with reading(request.app.engine) as session:
        has_password = bool(session.get_one(User, request.actor.id).password_hash)
    kept = [(name, value) for name, values in request.form.items() if name not in _OWN_FIELDS for value in values]
    action = request.path
    if request.method == "GET":
        query = f"?{urlencode(list(request.query.items()))}" if request.query else ""
        action, kept = "/confirm", [("next", request.path + query)]
    options = passkeys.authentication_options(request.app, request.actor)
    answer = request.render(
        "reauthenticate.html",
        status_code,
        problem=problem,
        kept=kept,
        action=action,
        has_password=has_password,
        options=options,
    )
    if options:
        answer.headers["Content-Security-Policy"] = PASSKEY_CSP
    return answer
