"""The routes of the pages: each names the role it needs, and one endpoint checks that before any handler runs."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import FastAPI
from sqlalchemy.exc import DataError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.app_context import AppContext
from connector.auth import sessions
from connector.auth.users import CurrentUser, UserError
from connector.connections.consent import ConsentError
from connector.db.ids import parse_id
from connector.errors import Busy, NotFound, NotPossible
from connector.outbox.approvals import OutboxError
from connector.vocabulary import Role
from connector.vocabulary.labels import in_sentence, label
from connector.web import reauthentication
from connector.web.bodies import note_rejection
from connector.web.page_request import PageRequest, company_cookie, derive_csrf_token
from connector.web.rendering import render
from connector.web.uploads import UploadedFile, parse_upload

log = logging.getLogger("duewell.web")
PUBLIC: Final = None  # the role of a route that is open without signing in
PASSKEY_PATH = "/account/passkeys"  # where a user who needs a passkey adds it
_FREE_TEXTS = ("note", "reason", "disputed", "dispute_reason", "pause_reason")  # fields of what people write themselves
FORM_BYTES_MAX = 256 * 1024
_FIELDS_MAX = 2000

Handler = Callable[[PageRequest], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A page with its handler and the least role that may open it.

    A ``sensitive`` route asks for the password or a passkey again unless the user confirmed one within half an hour;
    the submitted form is kept meanwhile. Sensitive is whatever connects or disconnects a company, switches modes,
    changes policies, keys, tokens or users, or takes data out.

    A route that is ``allowed_without_passkey`` is open to users who still have to add the passkey that all users need;
    every other route redirects them to the page where they add it.

    ``upload_bytes_max`` is how large a file may be that the form carries; 0 for a form without files.
    """

    method: str
    path: str
    handler: Handler
    min_role: Role | None = Role.VIEWER
    sensitive: bool = False
    allowed_without_passkey: bool = False
    upload_bytes_max: int = 0


def add_routes(web_app: FastAPI, app: AppContext, routes: Sequence[Route]) -> None:
    """Add the routes to the web app, each behind its checks."""
    for route in routes:
        web_app.add_route(route.path, _make_endpoint(app, route), methods=[route.method], include_in_schema=False)


def cookie_name(app: AppContext) -> str:
    """Return the name of the session cookie: bound to host and HTTPS where there is HTTPS.

    Without HTTPS the name contains the port, because browsers share cookies among the ports of a host: the demo and an
    installation on one machine would sign each other out.
    """
    port = urlsplit(app.settings.duewell_base_url).port
    return "__Host-duewell" if is_https(app) else f"duewell-{port or 80}"


def set_session_cookie(app: AppContext, response: Response, token: str) -> Response:
    """Set the session cookie of a response; the empty token deletes it."""
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
        limit = FORM_BYTES_MAX
        if route.upload_bytes_max and await run_in_threadpool(_may_upload, app, route, request):
            limit += route.upload_bytes_max
        body = await _read_body(request, limit) if route.method == "POST" else b""
        if body is None:
            return _render_error(413, "Form too large", "This form is larger than any form of duewell.")
        form, files = (await parse_upload(request, body)) if route.upload_bytes_max else (_parse_form(body), {})
        return await run_in_threadpool(_handle, app, route, request, form, files)

    return endpoint


def _may_upload(app: AppContext, route: Route, request: Request) -> bool:
    """Return whether a file is read at all: only from those who may open the page."""
    user = sessions.find_current_user(app, request.cookies.get(cookie_name(app), ""))
    return route.min_role is not PUBLIC and _check_access(route, route.min_role, request, user) is None


async def _read_body(request: Request, limit: int) -> bytes | None:
    """Return the body, or None as soon as it is larger than any form."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _handle(
    app: AppContext, route: Route, request: Request, form: dict[str, list[str]], files: dict[str, UploadedFile]
) -> Response:
    token = request.cookies.get(cookie_name(app), "")
    user = sessions.find_current_user(app, token)
    if route.min_role is PUBLIC:
        user = None if user is not None and user.needs_passkey else user  # they are not signed in fully yet
    elif (denied := _check_access(route, route.min_role, request, user)) is not None:
        return denied
    if route.method == "POST":
        expected = derive_csrf_token(token, request.url.path) if route.min_role is not PUBLIC else ""
        submitted = (form.get("csrf") or [""])[0].encode("utf-8", "replace")
        if not _is_same_origin(app, request) or not hmac.compare_digest(expected.encode(), submitted):
            note_rejection(request, "rejected a form", f"from another site or session at {route.path}")
            return _render_error(
                403, "Form not accepted", "This form has expired or was not sent from duewell. Reload the page."
            )
    page_request = PageRequest(
        app,
        request.url.path,
        method=route.method,
        path_params=request.path_params,
        query=request.query_params,
        query_string=request.url.query,
        form=form,
        files=files,
        cookies=request.cookies,
        user=user,
        token=token if user else "",
        browser=sessions.Browser(_client_address(request), request.headers.get("user-agent", "")),
        came_from=_came_from(request) if route.method == "POST" else "",
    )
    response = _run_handler(page_request, route, partial(_run_sensitive, route) if route.sensitive else route.handler)
    return _keep_company(page_request, response)


def _keep_company(request: PageRequest, response: Response) -> Response:
    """Keep the company that a page was opened for, so that the next pages are about the same one."""
    if request.user is None or request.method != "GET" or "company" not in request.query or response.status_code != 200:
        return response
    company_id = parse_id(request.query["company"])
    response.set_cookie(
        company_cookie(request.app),
        str(company_id or ""),
        max_age=int(sessions.SESSION_MAX.total_seconds()) if company_id else 0,
        path="/",
        secure=is_https(request.app),
        httponly=True,
        samesite="lax",
    )
    return response


def _check_access(route: Route, min_role: Role, request: Request, user: CurrentUser | None) -> Response | None:
    """Return the response for a user who may not open the page, None for one who may."""
    if user is None:
        return _redirect_to_sign_in(route, request)
    if user.needs_passkey and not route.allowed_without_passkey:
        return _redirect_to_passkey(route)
    if not user.has_role(min_role):
        log.warning("user %s may not %s %s", user.id, route.method, route.path)
        return _render_error(403, "No access", f"You need the role {in_sentence(label(min_role))} for this page.")
    return None


def _run_handler(request: PageRequest, route: Route, handler: Handler) -> Response:
    """Return the handler's response, or an error page for what it raises."""
    try:
        return handler(request)
    except NotFound:
        return _render_error(404, "Not found", "There is nothing at this address.", request)
    except (NotPossible, OutboxError, UserError, ConsentError) as error:
        return _render_not_possible(str(error), request)
    except Busy as error:
        return _busy_response(error, request)
    except DataError:  # PostgreSQL stores no NUL, which no keyboard writes
        return _render_error(400, "Not possible", "A field contains a character that cannot be stored.", request)
    except Exception:  # a page with our headers and without details, instead of the server's own
        log.exception("%s %s failed", route.method, route.path)
        return _render_error(
            500, "Something went wrong", "This is a fault of duewell. Its log contains the details.", request
        )


def _busy_response(error: Busy, request: PageRequest) -> Response:
    response = _render_error(503, "Busy", str(error), request)
    response.headers["Retry-After"] = "5"
    return response


def _run_sensitive(route: Route, request: PageRequest) -> Response:
    """Run a sensitive route's handler once the user has confirmed who they are.

    Confirming replaces the session token. The new one is set on error responses too: the old one is no longer valid.
    """
    confirmed = reauthentication.require_reauthentication(request)
    if isinstance(confirmed, Response):
        return confirmed
    response, name = _run_handler(replace(request, token=confirmed), route, route.handler), cookie_name(request.app)
    has_cookie = any(each.startswith(f"{name}=") for each in response.headers.getlist("set-cookie"))
    if confirmed == request.token or has_cookie:  # the handler may have started yet another session
        return response
    return set_session_cookie(request.app, response, confirmed)


def _parse_form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        return {}


def _client_address(request: Request) -> str:
    """Return the client's IP address, "unknown" where a proxy passed on something else."""
    try:
        return str(ip_address(request.client.host)) if request.client else ""
    except ValueError:
        return "unknown"


def _is_same_origin(app: AppContext, request: Request) -> bool:
    """Return whether a form was sent from a page of this app, by the ``Origin`` header of the browser."""
    try:
        origin = urlsplit(request.headers.get("origin", ""))
    except ValueError:  # such as half an IPv6 address
        return False
    base = urlsplit(app.settings.duewell_base_url)
    here = (request.url.scheme, request.headers.get("host", ""))
    return (origin.scheme, origin.netloc) in {(base.scheme, base.netloc), here}


def _redirect_to_sign_in(route: Route, request: Request) -> Response:
    if route.method != "GET":
        return _render_error(401, "Not signed in", "Sign in and try again.")
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/sign-in" + ("" if target == "/" else f"?{urlencode({'next': target})}"), 303)


def _redirect_to_passkey(route: Route) -> Response:
    if route.method != "GET":
        return _render_error(403, "Passkey required", "All users need a passkey here. Add yours first.")
    return RedirectResponse(PASSKEY_PATH, 303)


def _render_not_possible(text: str, request: PageRequest) -> Response:
    """Render an error page with what was typed in vain, to be copied, and the way back to the form."""
    typed = [typed for name in _FREE_TEXTS if (typed := request.form_value(name, 5000))]
    lines = [text, *(f"You had typed: {each}" for each in typed)]
    back = {"link": request.came_from or "/", "link_text": "Back to the page" if request.came_from else "Go to Today"}
    return HTMLResponse(render("message.html", request=request, title="Not possible", lines=lines, **back), 409)


def _came_from(request: Request) -> str:
    """Return the page of a form, as a path here; "" where the browser does not say."""
    try:
        page, origin = urlsplit(request.headers.get("referer", "")), urlsplit(request.headers.get("origin", ""))
    except ValueError:  # such as half an IPv6 address
        return ""
    path = page._replace(scheme="", netloc="", fragment="").geturl()
    is_here = page.netloc == origin.netloc and path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_here else ""


def _render_error(status_code: int, title: str, text: str, request: PageRequest | None = None) -> Response:
    page = render("message.html", request=request, title=title, lines=[text], link="/", link_text="Go to Today")
    return HTMLResponse(page, status_code=status_code)


def is_https(app: AppContext) -> bool:
    """Return whether browsers reach this installation over HTTPS."""
    return app.settings.duewell_base_url.startswith("https://")
