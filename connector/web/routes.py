"""The table of pages: each says who may ask for it, and one gate checks that before any of them runs."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.app_context import AppContext
from connector.auth import sessions
from connector.auth.users import CurrentUser, UserError
from connector.connections.consent import ConsentError
from connector.errors import NotFound, NotPossible
from connector.outbox.approvals import OutboxError
from connector.vocabulary import Role
from connector.web import reauthentication
from connector.web.page_request import PageRequest, derive_csrf_token
from connector.web.rendering import render

log = logging.getLogger("duewell.web")
PASSKEY_PATH = "/account/passkeys"  # where who owes one adds it
FORM_BYTES_MAX = 256 * 1024
_FIELDS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Route:
    """A page. ``needs`` is the least role that may ask for it; "public" is open to everybody.

    A ``dangerous`` one is for those only who have shown within half an hour that it is they who sit there; the others
    are asked, and what they had filled in is kept. Connecting and ending, switching modes, policies, keys, tokens,
    people, and what takes data out are dangerous. An ``owing`` one is open also to who owes the passkey that everybody
    needs here; all others lead him to where he adds it.
    """

    method: str
    path: str
    handler: Callable[[PageRequest], Response]
    min_role: str = "viewer"
    sensitive: bool = False
    allowed_without_passkey: bool = False


def add_routes(web_app: FastAPI, app: AppContext, routes: Sequence[Route]) -> None:
    """Put the pages behind the gate."""
    for route in routes:
        web_app.add_route(route.path, _make_endpoint(app, route), methods=[route.method], include_in_schema=False)


def cookie_name(app: AppContext) -> str:
    """Name the session's cookie: bound to host and https where there is https.

    Elsewhere it carries the port: browsers share cookies among the ports of a host, and the demo beside an installation
    of one's own would sign each other out.
    """
    port = urlsplit(app.settings.duewell_base_url).port
    return "__Host-duewell" if is_https(app) else f"duewell-{port or 80}"


def set_session_cookie(app: AppContext, response: Response, token: str) -> Response:
    """Give the browser a session's token; "" takes it back."""
    response.set_cookie(
        cookie_name(app),
        token,
        max_age=int(sessions.SESSION_MAX.total_seconds()) if token else 0,
        path="/",
        secure=is_https(app),
        httponly=True,
        samesite="lax",
    )
    return response


def _make_endpoint(app: AppContext, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _read_body(request) if route.method == "POST" else b""
        if body is None:
            return _render_error(413, "Too much", "This form is larger than any of ours.")
        return await run_in_threadpool(_handle, app, route, request, body)

    return endpoint


async def _read_body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > FORM_BYTES_MAX:
            return None
        parts.append(chunk)
    return b"".join(parts)


def _handle(app: AppContext, route: Route, request: Request, body: bytes) -> Response:
    token = request.cookies.get(cookie_name(app), "")
    person = sessions.find_current_user(app, token)
    if route.min_role == "public":
        person = None if person is not None and person.needs_passkey else person  # a way in is no page of his
    elif (refused := _check_access(route, request, person)) is not None:
        return refused
    form = _parse_form(body)
    if route.method == "POST":
        known = derive_csrf_token(token, request.url.path) if route.min_role != "public" else ""
        if not _is_same_origin(app, request) or not hmac.compare_digest(known, (form.get("csrf") or [""])[0]):
            log.warning("a form from elsewhere or of another session was refused at %s", route.path)
            return _render_error(
                403, "Not accepted", "This form is not one of ours, or is too old. Load the page again."
            )
    visit = PageRequest(
        app,
        request.url.path,
        method=route.method,
        path_params=request.path_params,
        query=request.query_params,
        query_string=request.url.query,
        form=form,
        cookies=request.cookies,
        user=person,
        token=token if person else "",
        browser=sessions.Browser(_client_address(request), request.headers.get("user-agent", "")),
    )
    return _run_handler(visit, route, partial(_run_sensitive, route) if route.sensitive else route.handler)


def _check_access(route: Route, request: Request, person: CurrentUser | None) -> Response | None:
    """Answer those whom a page is not open to; None for whom it is."""
    if person is None:
        return _redirect_to_sign_in(route, request)
    if person.needs_passkey and not route.allowed_without_passkey:
        return _redirect_to_passkey(route)
    if not person.has_role(Role(route.min_role)):
        log.warning("user %s was refused %s %s", person.id, route.method, route.path)
        return _render_error(403, "Not for you", f"This is for those who are {route.min_role} here.")
    return None


def _run_handler(request: PageRequest, route: Route, handler: Callable[[PageRequest], Response]) -> Response:
    """Answer with what is done, or say in words why it is not."""
    try:
        return handler(request)
    except NotFound:
        return _render_error(404, "Not found", "There is nothing here.", request)
    except (NotPossible, OutboxError, UserError, ConsentError) as problem:
        return _render_error(409, "Not possible", str(problem), request)
    except Exception:  # the answer to a fault of ours has our headers too, and no details
        log.exception("the page %s %s broke", route.method, route.path)
        return _render_error(500, "Something broke", "A fault of duewell itself; its log says where.", request)


def _run_sensitive(route: Route, request: PageRequest) -> Response:
    """Do what is dangerous once it is shown who asks for it; the session then goes on under another token.

    Also where it cannot be done: the token before is nobody's any more.
    """
    shown = reauthentication.require_reauthentication(request)
    if isinstance(shown, Response):
        return shown
    answer, name = _run_handler(replace(request, token=shown), route, route.handler), cookie_name(request.app)
    given = any(each.startswith(f"{name}=") for each in answer.headers.getlist("set-cookie"))
    if shown == request.token or given:  # what was done may have given it yet another token
        return answer
    return set_session_cookie(request.app, answer, shown)


def _parse_form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        return {}


def _client_address(request: Request) -> str:
    """Where a request comes from, as far as that is an address: a proxy hands on what it was told."""
    try:
        return str(ip_address(request.client.host)) if request.client else ""
    except ValueError:
        return "unknown"


def _is_same_origin(app: AppContext, request: Request) -> bool:
    """Tell whether a form was sent from one of our own pages: the browser says where it stood."""
    given = urlsplit(request.headers.get("origin", ""))
    ours = urlsplit(app.settings.duewell_base_url)
    here = (request.url.scheme, request.headers.get("host", ""))
    return (given.scheme, given.netloc) in {(ours.scheme, ours.netloc), here}


def _redirect_to_sign_in(route: Route, request: Request) -> Response:
    if route.method != "GET":
        return _render_error(401, "Not signed in", "Sign in and try again.")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/sign-in" + ("" if wanted == "/" else f"?{urlencode({'next': wanted})}"), 303)


def _redirect_to_passkey(route: Route) -> Response:
    if route.method != "GET":
        return _render_error(
            403, "A passkey first", "Everybody needs a passkey here. Add yours; then this is open to you."
        )
    return RedirectResponse(PASSKEY_PATH, 303)


def _render_error(status_code: int, title: str, text: str, request: PageRequest | None = None) -> Response:
    return HTMLResponse(
        render("message.html", request=request, title=title, lines=[text], first=True), status_code=status_code
    )


def is_https(app: AppContext) -> bool:
    """Tell whether browsers reach this installation over https."""
    return app.settings.duewell_base_url.startswith("https://")
