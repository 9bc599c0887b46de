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

from connector.access import sessions
from connector.access.consent import ConsentError
from connector.access.users import Person, UserError
from connector.installation import Installation
from connector.people.approvals import OutboxError
from connector.web import confirm
from connector.web.pages import render
from connector.web.visit import NotHere, NotPossible, Visit, form_token

log = logging.getLogger("duewell.web")
PASSKEY_PATH = "/account/passkeys"  # where who owes one adds it
FORM_BYTES_MAX = 256 * 1024
_FIELDS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Route:
    """A page. ``needs`` is the least role that may ask for it; "nobody" is open to everybody.

    A ``dangerous`` one is for those only who have shown within half an hour that it is they who sit there; the others
    are asked, and what they had filled in is kept. Connecting and ending, switching modes, policies, keys, tokens,
    people, and what takes data out are dangerous. An ``owing`` one is open also to who owes the passkey that everybody
    needs here; all others lead him to where he adds it.
    """

    method: str
    path: str
    handler: Callable[[Visit], Response]
    needs: str = "viewer"
    dangerous: bool = False
    owing: bool = False


def add_routes(app: FastAPI, installation: Installation, routes: Sequence[Route]) -> None:
    """Put the pages behind the gate."""
    for route in routes:
        app.add_route(route.path, _gate(installation, route), methods=[route.method], include_in_schema=False)


def cookie_name(installation: Installation) -> str:
    """Name the session's cookie: bound to host and https where there is https.

    Elsewhere it carries the port: browsers share cookies among the ports of a host, and the demo beside an installation
    of one's own would sign each other out.
    """
    port = urlsplit(installation.settings.duewell_base_url).port
    return "__Host-duewell" if is_https(installation) else f"duewell-{port or 80}"


def with_session(installation: Installation, response: Response, token: str) -> Response:
    """Give the browser a session's token; "" takes it back."""
    response.set_cookie(
        cookie_name(installation),
        token,
        max_age=int(sessions.SESSION_MAX.total_seconds()) if token else 0,
        path="/",
        secure=is_https(installation),
        httponly=True,
        samesite="lax",
    )
    return response


def _gate(installation: Installation, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _body(request) if route.method == "POST" else b""
        if body is None:
            return _refuse(413, "Too much", "This form is larger than any of ours.")
        return await run_in_threadpool(_answer, installation, route, request, body)

    return endpoint


async def _body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > FORM_BYTES_MAX:
            return None
        parts.append(chunk)
    return b"".join(parts)


def _answer(installation: Installation, route: Route, request: Request, body: bytes) -> Response:
    token = request.cookies.get(cookie_name(installation), "")
    person = sessions.find_person(installation, token)
    if route.needs == "nobody":
        person = None if person is not None and person.owes_passkey else person  # a way in is no page of his
    elif (refused := _turned_away(route, request, person)) is not None:
        return refused
    form = _fields(body)
    if route.method == "POST":
        known = form_token(token, request.url.path) if route.needs != "nobody" else ""
        if not _is_ours(installation, request) or not hmac.compare_digest(known, (form.get("csrf") or [""])[0]):
            log.warning("a form from elsewhere or of another session was refused at %s", route.path)
            return _refuse(403, "Not accepted", "This form is not one of ours, or is too old. Load the page again.")
    visit = Visit(
        installation,
        request.url.path,
        method=route.method,
        parameters=request.path_params,
        query=request.query_params,
        query_string=request.url.query,
        form=form,
        cookies=request.cookies,
        person=person,
        token=token if person else "",
        browser=sessions.Browser(_address(request), request.headers.get("user-agent", "")),
    )
    return _in_words(visit, route, partial(_dangerous, route) if route.dangerous else route.handler)


def _turned_away(route: Route, request: Request, person: Person | None) -> Response | None:
    """Answer those whom a page is not open to; None for whom it is."""
    if person is None:
        return _to_sign_in(route, request)
    if person.owes_passkey and not route.owing:
        return _to_passkey(route)
    if not person.may(route.needs):
        log.warning("user %s was refused %s %s", person.id, route.method, route.path)
        return _refuse(403, "Not for you", f"This is for those who are {route.needs} here.")
    return None


def _in_words(visit: Visit, route: Route, act: Callable[[Visit], Response]) -> Response:
    """Answer with what is done, or say in words why it is not."""
    try:
        return act(visit)
    except NotHere:
        return _refuse(404, "Not found", "There is nothing here.", visit)
    except (NotPossible, OutboxError, UserError, ConsentError) as problem:
        return _refuse(409, "Not possible", str(problem), visit)
    except Exception:  # the answer to a fault of ours has our headers too, and no details
        log.exception("the page %s %s broke", route.method, route.path)
        return _refuse(500, "Something broke", "A fault of duewell itself; its log says where.", visit)


def _dangerous(route: Route, visit: Visit) -> Response:
    """Do what is dangerous once it is shown who asks for it; the session then goes on under another token.

    Also where it cannot be done: the token before is nobody's any more.
    """
    shown = confirm.ask(visit)
    if isinstance(shown, Response):
        return shown
    answer, name = _in_words(replace(visit, token=shown), route, route.handler), cookie_name(visit.installation)
    given = any(each.startswith(f"{name}=") for each in answer.headers.getlist("set-cookie"))
    if shown == visit.token or given:  # what was done may have given it yet another token
        return answer
    return with_session(visit.installation, answer, shown)


def _fields(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        return {}


def _address(request: Request) -> str:
    """Where a request comes from, as far as that is an address: a proxy hands on what it was told."""
    try:
        return str(ip_address(request.client.host)) if request.client else ""
    except ValueError:
        return "unknown"


def _is_ours(installation: Installation, request: Request) -> bool:
    """Tell whether a form was sent from one of our own pages: the browser says where it stood."""
    given = urlsplit(request.headers.get("origin", ""))
    ours = urlsplit(installation.settings.duewell_base_url)
    here = (request.url.scheme, request.headers.get("host", ""))
    return (given.scheme, given.netloc) in {(ours.scheme, ours.netloc), here}


def _to_sign_in(route: Route, request: Request) -> Response:
    if route.method != "GET":
        return _refuse(401, "Not signed in", "Sign in and try again.")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/sign-in" + ("" if wanted == "/" else f"?{urlencode({'next': wanted})}"), 303)


def _to_passkey(route: Route) -> Response:
    if route.method != "GET":
        return _refuse(403, "A passkey first", "Everybody needs a passkey here. Add yours; then this is open to you.")
    return RedirectResponse(PASSKEY_PATH, 303)


def _refuse(code: int, title: str, text: str, visit: Visit | None = None) -> Response:
    return HTMLResponse(render("answer.html", visit=visit, title=title, lines=[text], first=True), status_code=code)


def is_https(installation: Installation) -> bool:
    """Tell whether browsers reach this installation over https."""
    return installation.settings.duewell_base_url.startswith("https://")
