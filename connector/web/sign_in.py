"""Pages for signing in and out: password, passkey, and the one-time link of an invitation."""

from __future__ import annotations

from starlette.responses import Response

from connector.auth import passkey_requirement, passkeys, sessions, sign_in
from connector.auth.oidc_discovery import service_host
from connector.auth.passwords import WeakPasswordError
from connector.auth.users import UserError, has_users
from connector.db.engine import reading
from connector.web import reauthentication
from connector.web.page_request import PageRequest, is_local_path
from connector.web.rendering import PASSKEY_CSP
from connector.web.routes import PUBLIC, Route, set_session_cookie


def show_sign_in(request: PageRequest) -> Response:
    """Show the sign-in form."""
    if request.user is not None:
        return request.redirect(_safe_next(request.query.get("next", "")))
    return _render_sign_in(request, 200)


def sign_in_with_password(request: PageRequest) -> Response:
    """Sign in by email address and password."""
    try:
        token = sign_in.sign_in(request.app, request.form_value("email"), _password(request), request.browser)
    except sign_in.TooManyAttemptsError as error:
        return _render_sign_in(request, 429, str(error))
    except sign_in.SignInError as error:
        return _render_sign_in(request, 401, str(error))
    return set_session_cookie(request.app, request.redirect(_safe_next(request.form_value("next"))), token)


def sign_in_with_passkey(request: PageRequest) -> Response:
    """Sign in by passkey."""
    try:
        token = passkeys.sign_in(
            request.app, request.form_value("challenge"), request.form_value("passkey", 20_000), request.browser
        )
    except sign_in.TooManyAttemptsError as error:
        return _render_sign_in(request, 429, str(error))
    except sign_in.SignInError as error:
        return _render_sign_in(request, 401, str(error))
    return set_session_cookie(request.app, request.redirect(_safe_next(request.form_value("next"))), token)


def open_invitation(request: PageRequest) -> Response:
    """Show the form to choose a password; a link of the demo signs in directly."""
    try:
        token = sign_in.sign_in_by_link(request.app, str(request.path_params["link"]), request.browser)
    except sign_in.SignInError as error:
        return _render_invalid_link(request, error)
    if token is not None:
        return set_session_cookie(request.app, request.redirect("/"), token)
    return _render_invitation(request, 200)


def choose_password(request: PageRequest) -> Response:
    """Set the chosen password and sign in."""
    link = str(request.path_params["link"])
    if _password(request) != _password(request, "repeat"):
        return _render_invitation(request, 422, "The two passwords are different.")
    email, name = request.form_value("email"), request.form_value("name")
    try:
        token = sign_in.set_password(request.app, link, _password(request), request.browser, email=email, name=name)
    except sign_in.SignInError as error:
        return _render_invalid_link(request, error)
    except (WeakPasswordError, UserError) as error:
        return _render_invitation(request, 422, str(error))
    return set_session_cookie(request.app, request.redirect("/"), token)


def sign_out(request: PageRequest) -> Response:
    """End the session."""
    sessions.sign_out(request.app, request.token)
    response = set_session_cookie(request.app, request.redirect("/sign-in", notice="signed_out"), "")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'  # no page with accounting data stays in the browser
    return response


def _render_sign_in(request: PageRequest, status_code: int, problem: str = "") -> Response:
    with reading(request.app.engine) as session:
        no_users, requirement = not has_users(session), passkey_requirement.get_requirement(session)
    options = passkeys.authentication_options(request.app, None)
    response = request.render(
        "sign_in.html",
        status_code,
        problem=problem,
        no_users=no_users,
        passkey_requirement=requirement,
        next=_safe_next(request.form_value("next") or request.query.get("next", "")),
        email=request.form_value("email"),
        options=options,
        sso_host=service_host(request.app.settings),
    )
    if options:
        response.headers["Content-Security-Policy"] = PASSKEY_CSP
    return response


def _render_invitation(request: PageRequest, status_code: int, problem: str = "") -> Response:
    link = str(request.path_params["link"])
    try:
        with reading(request.app.engine) as session:
            _link, user = sign_in.find_link(session, link, request.now)
    except sign_in.SignInError as error:
        return _render_invalid_link(request, error)
    submitted = {"email": request.form_value("email"), "name": request.form_value("name")}
    return request.render("welcome.html", status_code, problem=problem, user=user, submitted=submitted)


def _render_invalid_link(request: PageRequest, error: sign_in.SignInError) -> Response:
    return request.render("message.html", 404, title="Link not valid", lines=[str(error)])


def _password(request: PageRequest, name: str = "password") -> str:
    return next(iter(request.form.get(name, ())), "")


def _safe_next(target: str) -> str:
    """Return a redirect target if it is a page of this app, else the first page."""
    return target if is_local_path(target) else "/"


ROUTES = (
    Route("GET", "/sign-in", show_sign_in, PUBLIC),
    Route("POST", "/sign-in", sign_in_with_password, PUBLIC),
    Route("POST", "/sign-in/passkey", sign_in_with_passkey, PUBLIC),
    Route("POST", "/confirm", reauthentication.continue_after, sensitive=True),
    Route("GET", "/welcome/{link}", open_invitation, PUBLIC),
    Route("POST", "/welcome/{link}", choose_password, PUBLIC),
    Route("POST", "/sign-out", sign_out, allowed_without_passkey=True),
)
