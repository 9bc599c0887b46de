"""The way in through a team's sign-in service: off to it, and back."""

from __future__ import annotations

from starlette.responses import Response

from connector.auth import oidc
from connector.auth.sign_in import SignInError
from connector.web.page_request import PageRequest, is_local_path
from connector.web.routes import Route, is_https, set_session_cookie


def start_sign_in(request: PageRequest) -> Response:
    """Send the browser to the sign-in service; who is signed in already goes on to what he wanted."""
    wanted = request.query.get("next", "")
    wanted = wanted if is_local_path(wanted) else "/"
    if request.user is not None:
        return request.redirect(wanted)
    try:
        begun = oidc.begin_sign_in(request.app, wanted, None)
    except SignInError as problem:
        return _render_error(request, problem)
    return _set_state_cookie(request, request.redirect(begun.url), begun.cookie)


def link_account(request: PageRequest) -> Response:
    """Begin to tie the account of who sits there to the service's: from then on it lets him in."""
    try:
        begun = oidc.begin_sign_in(request.app, "/account", request.actor)
    except SignInError as problem:
        return _render_error(request, problem)
    words = "Sign in there. You come back here by yourself, within 10 minutes."
    # Not a redirect: a form's answer may lead to no other host (form-action). The page goes on by itself.
    answer = request.render(
        "continue_to.html", url=begun.url, title=oidc.service_host(request.app.settings), words=words
    )
    return _set_state_cookie(request, answer, begun.cookie)


def finish_sign_in(request: PageRequest) -> Response:
    """Let in whom the sign-in service vouches for."""
    cookie = request.cookies.get(_cookie_name(request), "")
    try:
        arrived = oidc.finish_sign_in(request.app, request.query_string, cookie, request.user, request.browser)
    except SignInError as problem:
        return _set_state_cookie(request, _render_error(request, problem), "")
    answer = _set_state_cookie(request, request.redirect(arrived.next), "")
    return set_session_cookie(request.app, answer, arrived.token) if arrived.token else answer


def _render_error(request: PageRequest, problem: SignInError) -> Response:
    return request.render("message.html", 401, title="Not signed in", lines=[str(problem)], link="/sign-in")


def _set_state_cookie(request: PageRequest, response: Response, value: str) -> Response:
    response.set_cookie(
        _cookie_name(request),
        value,
        max_age=int(oidc.LIFETIME.total_seconds()) if value else 0,
        path="/",
        secure=is_https(request.app),
        httponly=True,
        samesite="lax",  # it must come along when the service sends the browser back
    )
    return response


def _cookie_name(request: PageRequest) -> str:
    return "__Host-duewell-sso" if is_https(request.app) else "duewell-sso"


ROUTES = (
    Route("GET", "/sign-in/sso", start_sign_in, "public"),
    Route("POST", "/account/sso", link_account, sensitive=True),
    Route("GET", oidc.CALLBACK_PATH, finish_sign_in, "public"),
)
