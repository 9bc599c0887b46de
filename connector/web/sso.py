"""Single sign-on: redirects to the OpenID Connect provider, and its callback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.responses import Response

from connector.auth import oidc
from connector.auth.oidc_discovery import service_host
from connector.auth.sign_in import SignInError
from connector.errors import Busy
from connector.web.page_request import PageRequest, is_local_path
from connector.web.routes import PUBLIC, Route, is_https, set_session_cookie

CALLS_MAX = 4  # at the same time: a slow identity provider must not take every thread that serves pages
_calls = threading.BoundedSemaphore(CALLS_MAX)


@contextmanager
def identity_provider_turn() -> Iterator[None]:
    """Take a place among the requests that wait for the identity provider; raise ``Busy`` where all are taken."""
    if not _calls.acquire(blocking=False):
        raise Busy("Too many people are signing in by single sign-on at this moment. Try again in a few seconds.")
    try:
        yield
    finally:
        _calls.release()


def start_sign_in(request: PageRequest) -> Response:
    """Redirect to the identity provider; a signed-in user goes straight to the page they asked for."""
    target = request.query.get("next", "")
    target = target if is_local_path(target) else "/"
    if request.user is not None:
        return request.redirect(target)
    try:
        with identity_provider_turn():
            started = oidc.begin_sign_in(request.app, target, None)
    except SignInError as error:
        return _render_error(request, error)
    return _set_state_cookie(request, request.redirect(started.url), started.cookie)


def link_account(request: PageRequest) -> Response:
    """Start linking the user's account to their account at the identity provider."""
    try:
        started = oidc.begin_sign_in(request.app, "/account", request.actor)
    except SignInError as error:
        return _render_error(request, error)
    # A page that redirects, because a form must not redirect to another host (form-action).
    response = request.render(
        "continue_to.html",
        url=started.url,
        title=service_host(request.app.settings),
        text="Sign in there within 10 minutes. You will be returned to this page automatically.",
    )
    return _set_state_cookie(request, response, started.cookie)


def finish_sign_in(request: PageRequest) -> Response:
    """Sign in, or link the account of, the user whom the identity provider vouches for."""
    cookie = request.cookies.get(_cookie_name(request), "")
    try:
        with identity_provider_turn():
            signed_in = oidc.finish_sign_in(request.app, request.query_string, cookie, request.user, request.browser)
    except SignInError as error:
        return _set_state_cookie(request, _render_error(request, error), "")
    response = _set_state_cookie(request, request.redirect(signed_in.next), "")
    return set_session_cookie(request.app, response, signed_in.token) if signed_in.token else response


def _render_error(request: PageRequest, error: SignInError) -> Response:
    return request.render("message.html", 401, title="Not signed in", lines=[str(error)], link="/sign-in")


def _set_state_cookie(request: PageRequest, response: Response, value: str) -> Response:
    response.set_cookie(
        _cookie_name(request),
        value,
        max_age=int(oidc.LIFETIME.total_seconds()) if value else 0,
        path="/",
        secure=is_https(request.app),
        httponly=True,
        samesite="lax",  # the redirect back from the identity provider must carry it
    )
    return response


def _cookie_name(request: PageRequest) -> str:
    return "__Host-duewell-sso" if is_https(request.app) else "duewell-sso"


ROUTES = (
    Route("GET", "/sign-in/sso", start_sign_in, PUBLIC),
    Route("POST", "/account/sso", link_account, sensitive=True),
    Route("GET", oidc.CALLBACK_PATH, finish_sign_in, PUBLIC),
)
