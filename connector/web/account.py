"""Pages for coming in and going out: the one-time link, signing in, signing out."""

from __future__ import annotations

from starlette.responses import Response

from connector.access import oidc, passkeys, second_factor, sessions, sign_in
from connector.access.passwords import WeakPasswordError
from connector.access.users import UserError, any_user
from connector.database import reading
from connector.web import confirm
from connector.web.pages import SCRIPT_POLICY
from connector.web.routes import Route, with_session
from connector.web.visit import Visit, is_ours


def ask(visit: Visit) -> Response:
    """Ask for address and password."""
    if visit.person is not None:
        return visit.go(_next(visit.query.get("next", "")))
    return _form(visit, 200)


def enter(visit: Visit) -> Response:
    """Let in who knows his password."""
    try:
        token = sign_in.sign_in(visit.installation, visit.sent("email"), _password(visit), visit.browser)
    except sign_in.TooManyTriesError as problem:
        return _form(visit, 429, str(problem))
    except sign_in.SignInError as problem:
        return _form(visit, 401, str(problem))
    return with_session(visit.installation, visit.go(_next(visit.sent("next"))), token)


def enter_by_passkey(visit: Visit) -> Response:
    """Let in whose device has checked that it is he."""
    try:
        token = passkeys.sign_in(
            visit.installation, visit.sent("challenge"), visit.sent("passkey", 20_000), visit.browser
        )
    except sign_in.TooManyTriesError as problem:
        return _form(visit, 429, str(problem))
    except sign_in.SignInError as problem:
        return _form(visit, 401, str(problem))
    return with_session(visit.installation, visit.go(_next(visit.sent("next"))), token)


def welcome(visit: Visit) -> Response:
    """Show what a one-time link leads to: the choice of a password; the demo's lets in at once."""
    try:
        token = sign_in.enter_by_link(visit.installation, str(visit.parameters["link"]), visit.browser)
    except sign_in.SignInError as problem:
        return visit.page("answer.html", 404, title="Not a link that counts", lines=[str(problem)])
    if token is not None:
        return with_session(visit.installation, visit.go("/"), token)
    return _choice(visit, 200)


def choose(visit: Visit) -> Response:
    """Take the password that was chosen, and let in."""
    link = str(visit.parameters["link"])
    if _password(visit) != _password(visit, "again"):
        return _choice(visit, 422, "The two passwords are not the same.")
    email, name = visit.sent("email"), visit.sent("name")
    try:
        token = sign_in.choose_password(
            visit.installation, link, _password(visit), visit.browser, email=email, name=name
        )
    except sign_in.SignInError as problem:
        return visit.page("answer.html", 404, title="Not a link that counts", lines=[str(problem)])
    except (WeakPasswordError, UserError) as problem:
        return _choice(visit, 422, str(problem))
    return with_session(visit.installation, visit.go("/"), token)


def leave(visit: Visit) -> Response:
    """End the session."""
    sessions.sign_out(visit.installation, visit.token)
    answer = with_session(visit.installation, visit.go("/sign-in", said="out"), "")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'  # pages of books do not stay behind in the browser
    return answer


def _form(visit: Visit, code: int, problem: str = "") -> Response:
    with reading(visit.installation.engine) as session:
        nobody_yet, demand = not any_user(session), second_factor.demanded(session)
    wanted = _next(visit.sent("next") or visit.query.get("next", ""))
    email = visit.sent("email")
    options = passkeys.sign_in_options(visit.installation, None)
    answer = visit.page(
        "sign_in.html",
        code,
        problem=problem,
        nobody_yet=nobody_yet,
        demand=demand,
        next=wanted,
        email=email,
        options=options,
        team=oidc.host(visit.installation.settings),
    )
    if options:
        answer.headers["Content-Security-Policy"] = SCRIPT_POLICY
    return answer


def _choice(visit: Visit, code: int, problem: str = "") -> Response:
    link = str(visit.parameters["link"])
    try:
        with reading(visit.installation.engine) as session:
            _link, user = sign_in.whose_link(session, link, visit.now)
    except sign_in.SignInError as gone:
        return visit.page("answer.html", 404, title="Not a link that counts", lines=[str(gone)])
    sent = {"email": visit.sent("email"), "name": visit.sent("name")}
    return visit.page("welcome.html", code, problem=problem, user=user, sent=sent)


def _password(visit: Visit, name: str = "password") -> str:
    return next(iter(visit.form.get(name, ())), "")


def _next(wanted: str) -> str:
    """Lead on to a page of ours, never to another host."""
    return wanted if is_ours(wanted) else "/"


ROUTES = (
    Route("GET", "/sign-in", ask, "nobody"),
    Route("POST", "/sign-in", enter, "nobody"),
    Route("POST", "/sign-in/passkey", enter_by_passkey, "nobody"),
    Route("POST", "/confirm", confirm.confirm, "viewer", dangerous=True),
    Route("GET", "/welcome/{link}", welcome, "nobody"),
    Route("POST", "/welcome/{link}", choose, "nobody"),
    Route("POST", "/sign-out", leave, "viewer", owing=True),
)
