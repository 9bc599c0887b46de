"""The way in through a team's sign-in service: off to it, and back."""

from __future__ import annotations

from starlette.responses import Response

from connector.access import oidc
from connector.access.sign_in import SignInError
from connector.web.routes import Route, is_https, with_session
from connector.web.visit import Visit, is_ours


def leave(visit: Visit) -> Response:
    """Send the browser to the sign-in service."""
    wanted = visit.query.get("next", "")
    try:
        begun = oidc.begin(visit.installation, wanted if is_ours(wanted) else "/", visit.person)
    except SignInError as problem:
        return _refused(visit, problem)
    return _with_cookie(visit, visit.go(begun.url), begun.cookie)


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
    Route("GET", oidc.BACK_PATH, come_back, "nobody"),
)
