"""The way in through a team's sign-in service: off to it, and back."""

from __future__ import annotations

from starlette.responses import Response

from connector.access import oidc
from connector.access.sign_in import SignInError
from connector.web.routes import Route, is_https, with_session
from connector.web.visit import Visit, is_ours


def leave(visit: Visit) -> Response:
    """Send the browser to the sign-in service; who is signed in already goes on to what he wanted."""
    wanted = visit.query.get("next", "")
    wanted = wanted if is_ours(wanted) else "/"
    if visit.person is not None:
        return visit.go(wanted)
    try:
        begun = oidc.begin(visit.installation, wanted, None)
    except SignInError as problem:
        return _refused(visit, problem)
    return _with_cookie(visit, visit.go(begun.url), begun.cookie)


def tie(visit: Visit) -> Response:
    """Begin to tie the account of who sits there to the service's: from then on it lets him in."""
    try:
        begun = oidc.begin(visit.installation, "/account", visit.who)
    except SignInError as problem:
        return _refused(visit, problem)
    words = "Sign in there. You come back here by yourself, within 10 minutes."
    # Not a redirect: a form's answer may lead to no other host (form-action). The page goes on by itself.
    answer = visit.page("connect.html", url=begun.url, title=oidc.host(visit.installation.settings), words=words)
    return _with_cookie(visit, answer, begun.cookie)


def come_back(visit: Visit) -> Response:
    """Let in whom the sign-in service vouches for."""
    cookie = visit.cookies.get(_name(visit), "")
    try:
        arrived = oidc.finish(visit.installation, visit.query_string, cookie, visit.person, visit.browser)
    except SignInError as problem:
        return _with_cookie(visit, _refused(visit, problem), "")
    answer = _with_cookie(visit, visit.go(arrived.next), "")
    return with_session(visit.installation, answer, arrived.token) if arrived.token else answer


def _refused(visit: Visit, problem: SignInError) -> Response:
    return visit.page("answer.html", 401, title="Not signed in", lines=[str(problem)], link="/sign-in")


def _with_cookie(visit: Visit, response: Response, value: str) -> Response:
    response.set_cookie(
        _name(visit),
        value,
        max_age=int(oidc.LIFETIME.total_seconds()) if value else 0,
        path="/",
        secure=is_https(visit.installation),
        httponly=True,
        samesite="lax",  # it must come along when the service sends the browser back
    )
    return response


def _name(visit: Visit) -> str:
    return "__Host-duewell-team" if is_https(visit.installation) else "duewell-team"


ROUTES = (
    Route("GET", "/sign-in/team", leave, "nobody"),
    Route("POST", "/account/team", tie, dangerous=True),
    Route("GET", oidc.BACK_PATH, come_back, "nobody"),
)
