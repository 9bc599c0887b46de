"""Pages for coming in and going out: the one-time link, signing in, signing out."""

from __future__ import annotations

from starlette.responses import Response

from connector.auth import oidc, passkey_requirement, passkeys, sessions, sign_in
from connector.auth.passwords import WeakPasswordError
from connector.auth.users import UserError, has_users
from connector.db.engine import reading
from connector.web import reauthentication
from connector.web.page_request import PageRequest, is_local_path
from connector.web.rendering import PASSKEY_CSP
from connector.web.routes import Route, set_session_cookie


def show_sign_in(request: PageRequest) -> Response:
    """Ask for address and password."""
    if request.user is not None:
        return request.redirect(_safe_next(request.query.get("next", "")))
    return _render_sign_in(request, 200)


def sign_in_with_password(request: PageRequest) -> Response:
    """Let in who knows his password."""
    try:
        token = sign_in.sign_in(request.app, request.form_value("email"), _password(request), request.browser)
    except sign_in.TooManyAttemptsError as problem:
        return _render_sign_in(request, 429, str(problem))
    except sign_in.SignInError as problem:
        return _render_sign_in(request, 401, str(problem))
    return set_session_cookie(request.app, request.redirect(_safe_next(request.form_value("next"))), token)


def sign_in_with_passkey(request: PageRequest) -> Response:
    """Let in whose device has checked that it is he."""
    try:
        token = passkeys.sign_in(
            request.app, request.form_value("challenge"), request.form_value("passkey", 20_000), request.browser
        )
    except sign_in.TooManyAttemptsError as problem:
        return _render_sign_in(request, 429, str(problem))
    except sign_in.SignInError as problem:
        return _render_sign_in(request, 401, str(problem))
    return set_session_cookie(request.app, request.redirect(_safe_next(request.form_value("next"))), token)


def open_invitation(request: PageRequest) -> Response:
    """Show what a one-time link leads to: the choice of a password; the demo's lets in at once."""
    try:
        token = sign_in.sign_in_by_link(request.app, str(request.path_params["link"]), request.browser)
    except sign_in.SignInError as problem:
        return request.render("message.html", 404, title="Not a link that counts", lines=[str(problem)])
    if token is not None:
        return set_session_cookie(request.app, request.redirect("/"), token)
    return _render_invitation(request, 200)


def choose_password(request: PageRequest) -> Response:
    """Take the password that was chosen, and let in."""
    link = str(request.path_params["link"])
    if _password(request) != _password(request, "repeat"):
        return _render_invitation(request, 422, "The two passwords are not the same.")
    email, name = request.form_value("email"), request.form_value("name")
    try:
        token = sign_in.set_password(request.app, link, _password(request), request.browser, email=email, name=name)
    except sign_in.SignInError as problem:
        return request.render("message.html", 404, title="Not a link that counts", lines=[str(problem)])
    except (WeakPasswordError, UserError) as problem:
        return _render_invitation(request, 422, str(problem))
    return set_session_cookie(request.app, request.redirect("/"), token)


def sign_out(request: PageRequest) -> Response:
    """End the session."""
    sessions.sign_out(request.app, request.token)
    answer = set_session_cookie(request.app, request.redirect("/sign-in", notice="signed_out"), "")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'  # pages of books do not stay behind in the browser
    return answer


def _render_sign_in(request: PageRequest, status_code: int, problem: str = "") -> Response:
    with reading(request.app.engine) as session:
        nobody_yet, demand = not has_users(session), passkey_requirement.get_requirement(session)
    wanted = _safe_next(request.form_value("next") or request.query.get("next", ""))
    email = request.form_value("email")
    options = passkeys.authentication_options(request.app, None)
    answer = request.render(
        "sign_in.html",
        status_code,
        problem=problem,
        nobody_yet=nobody_yet,
        demand=demand,
        next=wanted,
        email=email,
        options=options,
        team=oidc.service_host(request.app.settings),
    )
    if options:
        answer.headers["Content-Security-Policy"] = PASSKEY_CSP
    return answer


def _render_invitation(request: PageRequest, status_code: int, problem: str = "") -> Response:
    link = str(request.path_params["link"])
    try:
        with reading(request.app.engine) as session:
            _link, user = sign_in.find_link(session, link, request.now)
    except sign_in.SignInError as gone:
        return request.render("message.html", 404, title="Not a link that counts", lines=[str(gone)])
    sent = {"email": request.form_value("email"), "name": request.form_value("name")}
    return request.render("welcome.html", status_code, problem=problem, user=user, sent=sent)


def _password(request: PageRequest, name: str = "password") -> str:
    return next(iter(request.form.get(name, ())), "")


def _safe_next(wanted: str) -> str:
    """Lead on to a page of ours, never to another host."""
    return wanted if is_local_path(wanted) else "/"


ROUTES = (
    Route("GET", "/sign-in", show_sign_in, "public"),
    Route("POST", "/sign-in", sign_in_with_password, "public"),
    Route("POST", "/sign-in/passkey", sign_in_with_passkey, "public"),
    Route("POST", "/confirm", reauthentication.continue_after, "viewer", sensitive=True),
    Route("GET", "/welcome/{link}", open_invitation, "public"),
    Route("POST", "/welcome/{link}", choose_password, "public"),
    Route("POST", "/sign-out", sign_out, "viewer", allowed_without_passkey=True),
)
