"""What stands before every page of the customer portal: whose link it is, and how much may be asked through it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.app_context import AppContext
from connector.client_network import network_of
from connector.emails import portal_links
from connector.emails.layout import load_texts
from connector.emails.portal_links import PortalVisitor
from connector.languages import browser_language
from connector.portal import documents, files
from connector.rate_limit import RateLimiter
from connector.web.bodies import BodyTooLarge, read_whole
from connector.web.rendering import render

HEADERS = {
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
BODY_BYTES_MAX = 32 * 1024
UPLOAD_BYTES_MAX = files.FILE_BYTES_MAX + BODY_BYTES_MAX
_FIELDS_MAX = 1000
_PART_BYTES_MAX = 8 * 1024
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PortalForm:
    """A form that was posted; ``file`` is b"" where none was chosen, or an empty one."""

    values: dict[str, list[str]] = field(default_factory=dict)
    file: bytes = b""
    too_large: bool = False
    has_empty_file: bool = False

    def value(self, name: str) -> str:
        """Return the first value of a field, stripped; "" where it is missing."""
        return next(iter(self.values.get(name, ())), "").strip()


class PortalGuard:
    """The checks of every request: whose link it is, and whether the customer or the address sends too many."""

    def __init__(self, app: AppContext) -> None:
        self.app = app
        self.requests_by_address = RateLimiter(3000, _HOUR, app.now)  # a company, or many behind one proxy
        self.unknown_links = RateLimiter(30, _HOUR, app.now)
        self.page_views = RateLimiter(600, _HOUR, app.now)  # a page is three requests, with its colours and its logo
        self.responses_per_hour = RateLimiter(20, _HOUR, app.now)
        self.responses_per_day = RateLimiter(50, _DAY, app.now)
        self.documents_by_customer = RateLimiter(40, _DAY, app.now)
        self.documents_by_company = RateLimiter(documents.DOCUMENTS_PER_DAY, _DAY, app.now)

    def admit(self, request: Request) -> PortalVisitor | Response:
        """Return whose portal it is, or the page that says why it does not open."""
        address = network_of(request.client.host if request.client else "")
        if not self.requests_by_address.try_acquire(address):
            return error_page(request, 429, "error_too_many_requests", "")
        visitor = portal_links.open_link(self.app, str(request.path_params["token"]))
        if visitor is None:
            if self.unknown_links.try_acquire(address):
                return error_page(request, 404, "unknown", "unknown_detail")
            return error_page(request, 429, "unknown", "")
        if visitor.expired:
            return error_page(request, 410, "expired", "expired_detail")
        if not self.page_views.try_acquire(_rate_limit_key(visitor)):
            return error_page(request, 429, "error_too_many_requests", "")
        return visitor

    def can_respond(self, visitor: PortalVisitor) -> bool:
        """Return whether the customer may submit another response now, and count it."""
        key = _rate_limit_key(visitor)
        return self.responses_per_hour.try_acquire(key) and self.responses_per_day.try_acquire(key)

    def can_call_ledger(self, visitor: PortalVisitor) -> bool:
        """Return whether the customer may cause another call to the company's ledger now, and count it."""
        key, company = _rate_limit_key(visitor), str(visitor.connection_id)
        return self.documents_by_customer.try_acquire(key) and self.documents_by_company.try_acquire(company)


PageHandler = Callable[[PortalGuard, PortalVisitor, Request, PortalForm], Response]


def make_endpoint(
    guard: PortalGuard, handler: PageHandler, body_bytes_max: int
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page: nothing of a body is read before the link is known."""

    async def endpoint(request: Request) -> Response:
        visitor = await run_in_threadpool(guard.admit, request)
        response = visitor if isinstance(visitor, Response) else await answer(visitor, request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    async def answer(visitor: PortalVisitor, request: Request) -> Response:
        try:
            form = await _read_form(request, body_bytes_max)
        except (MultiPartException, ClientDisconnect):
            return error_page(request, 400, "unknown", "")
        return await run_in_threadpool(handler, guard, visitor, request, form)

    return endpoint


async def _read_form(request: Request, body_bytes_max: int) -> PortalForm:
    if request.method != "POST":
        return PortalForm()
    try:
        body = await read_whole(request, body_bytes_max)
    except BodyTooLarge:
        return PortalForm(too_large=True)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    headers: Headers = request.headers
    if headers.get("content-type", "").lower().startswith("multipart/form-data"):
        parser = MultiPartParser(headers, stream(), max_files=1, max_fields=_FIELDS_MAX, max_part_size=_PART_BYTES_MAX)
        parsed = await parser.parse()
    else:
        parsed = await FormParser(headers, stream()).parse()
    values: dict[str, list[str]] = {}
    content, has_empty_file = b"", False
    for name, value in parsed.multi_items()[:_FIELDS_MAX]:
        if isinstance(value, UploadFile):
            content = await value.read()
            has_empty_file = bool(value.filename) and not content
        else:
            values.setdefault(name, []).append(value[:_PART_BYTES_MAX])
    await parsed.close()
    return PortalForm(values, content, has_empty_file=has_empty_file)


def error_page(request: Request, code: int, title: str, line: str) -> Response:
    """Render a page that names nobody, because the link does not open a portal."""
    language = browser_language(request.headers.get("accept-language", ""))
    texts = load_texts(language.code).portal
    lines = [texts[line]] if line else []
    html = render("link_page.html", lang=language.code, title=texts[title], lines=lines)
    headers = {**HEADERS, **({"Retry-After": "3600"} if code == 429 else {})}
    return HTMLResponse(html, status_code=code, headers=headers)


def redirect(request: Request, path: str = "") -> Response:
    """Return a redirect to another page of the same portal."""
    return RedirectResponse(f"/c/{request.path_params['token']}{path}", status_code=303)


def pdf_response(content: bytes, filename: str) -> Response:
    """Return a PDF of ours or of the ledger, to be shown in the browser."""
    headers = {"Content-Disposition": f'inline; filename="{filename}"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _rate_limit_key(visitor: PortalVisitor) -> str:
    return f"{visitor.connection_id}:{visitor.customer_id}"
