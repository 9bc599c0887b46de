"""The customer portal over HTTP: whoever has the link from an email can view it and respond, without signing in.

Viewing changes nothing: programs that scan emails open every link. The token in the path is all the proof there is; no
cookie is read or set, so no other site can respond in a customer's name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.app_context import AppContext
from connector.bank_details.code_image import draw_code
from connector.bank_details.payment_codes import BankTransfer
from connector.branding import colours
from connector.branding.brand import load_brand
from connector.client_network import network_of
from connector.db.engine import reading
from connector.emails import portal_links
from connector.emails.layout import TransferText, load_texts, render_line
from connector.emails.outbound.bank_transfer import word_transfer
from connector.emails.portal_links import PortalVisitor
from connector.languages import LANGUAGES, browser_language, replace_nbsp
from connector.portal import documents, responses
from connector.portal.customer_page import (
    CustomerPage,
    OpenInvoice,
    build_customer_page,
    build_statement_pdf,
    select_to_pay,
)
from connector.portal.documents import LedgerUnavailable
from connector.portal.responses import CustomerResponse, ResponseKind, ResponseRejected
from connector.rate_limit import RateLimiter
from connector.web.rendering import render

_HEADERS = {
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BODY_BYTES_MAX = 32 * 1024
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_DONE_NOTICES = {"done_paid", "done_promise", "done_dispute", "done_contact", "done_language", "done_already"}
_NOTICES = {*_DONE_NOTICES, "no_pay_link"}
_TEXT_FIELDS = {
    ResponseKind.DISPUTE: "dispute_reason",
    ResponseKind.CONTACT: "contact_name",
    ResponseKind.LANGUAGE: "language",
}


class _PortalGuard:
    """The checks of every request: whose link it is, and whether the customer or the address sends too many."""

    def __init__(self, app: AppContext) -> None:
        self.app = app
        self.requests_by_address = RateLimiter(3000, _HOUR, app.now)  # a company, or many behind one proxy
        self.unknown_links = RateLimiter(30, _HOUR, app.now)
        self.page_views = RateLimiter(200, _HOUR, app.now)
        self.responses_per_hour = RateLimiter(20, _HOUR, app.now)
        self.responses_per_day = RateLimiter(50, _DAY, app.now)
        self.documents_by_customer = RateLimiter(40, _DAY, app.now)
        self.documents_by_company = RateLimiter(documents.DOCUMENTS_PER_DAY, _DAY, app.now)

    def admit(self, request: Request) -> PortalVisitor | Response:
        """Return whose portal it is, or the page that says why it does not open."""
        address = network_of(request.client.host if request.client else "")
        if not self.requests_by_address.try_acquire(address):
            return _error_page(request, 429, "error_too_many_requests", "")
        visitor = portal_links.open_link(self.app, str(request.path_params["token"]))
        if visitor is None:
            if self.unknown_links.try_acquire(address):
                return _error_page(request, 404, "unknown", "unknown_detail")
            return _error_page(request, 429, "unknown", "")
        if visitor.expired:
            return _error_page(request, 410, "expired", "expired_detail")
        if not self.page_views.try_acquire(_rate_limit_key(visitor)):
            return _error_page(request, 429, "error_too_many_requests", "")
        return visitor

    def can_respond(self, visitor: PortalVisitor) -> bool:
        """Return whether the customer may submit another response now, and count it."""
        key = _rate_limit_key(visitor)
        return self.responses_per_hour.try_acquire(key) and self.responses_per_day.try_acquire(key)

    def can_call_ledger(self, visitor: PortalVisitor) -> bool:
        """Return whether the customer may cause another call to the company's ledger now, and count it."""
        key, company = _rate_limit_key(visitor), str(visitor.connection_id)
        return self.documents_by_customer.try_acquire(key) and self.documents_by_company.try_acquire(company)


PageHandler = Callable[[_PortalGuard, PortalVisitor, Request, bytes], Response]


def add_portal(web_app: FastAPI, app: AppContext) -> None:
    """Register the routes."""
    guard = _PortalGuard(app)
    pages: tuple[tuple[str, str, PageHandler], ...] = (
        ("GET", "/c/{token}", _get_page),
        ("POST", "/c/{token}", _post_response),
        ("GET", "/c/{token}/statement/{currency}.pdf", _get_statement),
        ("GET", "/c/{token}/invoice/{invoice}.pdf", _get_invoice_pdf),
        ("GET", "/c/{token}/pay", _get_pay_page),
        ("GET", "/c/{token}/transfer/{currency}.png", _get_payment_code),
        ("GET", "/c/{token}/brand.css", _get_brand_style),
        ("GET", "/c/{token}/logo.png", _get_logo),
        ("POST", "/c/{token}/pay/{invoice}", _post_pay),
    )
    for method, path, handler in pages:
        web_app.add_route(path, _endpoint(guard, handler), methods=[method], include_in_schema=False)


def _endpoint(guard: _PortalGuard, handler: PageHandler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_BYTES_MAX:
                return _error_page(request, 413, "error_too_many_requests", "")
        return await run_in_threadpool(respond, request, body)

    def respond(request: Request, body: bytes) -> Response:
        visitor = guard.admit(request)
        response = handler(guard, visitor, request, body) if isinstance(visitor, PortalVisitor) else visitor
        response.headers.update(_HEADERS)
        return response

    return endpoint


def _get_page(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    notice = request.query_params.get("notice", "")
    return _render_page(guard, visitor, request, notice=notice if notice in _NOTICES else "")


def _post_response(guard: _PortalGuard, visitor: PortalVisitor, request: Request, body: bytes) -> Response:
    if not guard.can_respond(visitor):
        return _render_page(guard, visitor, request, problem="error_too_many_requests", code=429)
    form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1000)
    try:
        notice = responses.record_response(guard.app, visitor, _parse_response(form))
    except ResponseRejected as rejected:
        return _render_page(guard, visitor, request, problem=str(rejected), form=form, code=422)
    return _redirect(request, notice)


def _get_statement(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    currency = str(request.path_params["currency"])
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    statement = build_statement_pdf(guard.app, visitor, currency, page.language.code)
    if statement is None:
        return _error_page(request, 404, "nothing_open", "")
    return _pdf_response(statement.content, statement.filename)


def _get_invoice_pdf(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    if not guard.can_call_ledger(visitor):
        return _render_page(guard, visitor, request, problem="error_try_later", code=429)
    try:
        pdf = documents.get_invoice_pdf(guard.app, visitor, str(request.path_params["invoice"]))
    except LedgerUnavailable:
        return _render_page(guard, visitor, request, problem="error_try_later", code=503)
    if pdf is None:
        return _render_page(guard, visitor, request, problem="error_try_later", code=404)
    return _pdf_response(pdf.content, pdf.filename)


def _get_pay_page(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    """Show the invoices an email asks for, each with where it can be paid: behind its button "Pay all"."""
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    parts = select_to_pay(page, request.query_params.getlist("invoice"))
    base = f"/c/{request.path_params['token']}"
    chosen = urlencode([("invoice", each.id) for part in parts for each in part.invoices])
    values = {"page": page, "t": _PortalTexts(page), "parts": parts, "base": base, "chosen": chosen}
    return HTMLResponse(render("portal_pay.html", **values))


def _get_payment_code(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    """Return the code that pays the invoices of a page by bank, for banking apps."""
    page = build_customer_page(guard.app, visitor)
    ids = request.query_params.getlist("invoice")
    balances = select_to_pay(page, ids) if ids else page.balances
    currency = str(request.path_params["currency"])
    transfer = next((each.transfer for each in balances if each.currency == currency), None)
    if transfer is None or not transfer.code:
        return _error_page(request, 404, "nothing_open", "")
    return Response(draw_code(transfer), media_type="image/png")


def _get_brand_style(guard: _PortalGuard, visitor: PortalVisitor, _request: Request, _body: bytes) -> Response:
    """Return the company's colours for the pages of this link; those of duewell where it has none of its own."""
    with reading(guard.app.engine) as session:
        brand = load_brand(session, visitor.connection_id)
    own = colours.portal_css(brand.accent_colour) if brand.accent_colour != colours.DEFAULT_ACCENT else ""
    return Response(own, media_type="text/css")


def _get_logo(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    with reading(guard.app.engine) as session:
        logo = load_brand(session, visitor.connection_id).logo
    if logo is None:
        return _error_page(request, 404, "unknown", "")
    return Response(logo.content, media_type=logo.content_type, headers={"X-Content-Type-Options": "nosniff"})


def _post_pay(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    if not guard.can_call_ledger(visitor):
        return _render_page(guard, visitor, request, problem="error_try_later", code=429)
    try:
        link = documents.get_payment_link(guard.app, visitor, str(request.path_params["invoice"]))
    except LedgerUnavailable:
        return _render_page(guard, visitor, request, problem="error_try_later", code=503)
    return _redirect(request, "" if link else "no_pay_link")


def _parse_response(form: dict[str, list[str]]) -> CustomerResponse:
    """Parse the form; the button that was pressed says what it is about. Raises ``ResponseRejected``."""

    def field(name: str) -> str:
        return next(iter(form.get(name, ())), "").strip()

    try:
        kind = ResponseKind(field("action"))
    except ValueError as error:
        raise ResponseRejected("error_select") from error
    return CustomerResponse(
        kind=kind,
        invoices=tuple(form.get("invoice", ())),
        on=_parse_date(field(f"{kind}_on")),
        text=field(_TEXT_FIELDS.get(kind, "")),
        email=field("contact_email"),
    )


def _parse_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _render_page(
    guard: _PortalGuard,
    visitor: PortalVisitor,
    request: Request,
    *,
    notice: str = "",
    problem: str = "",
    form: dict[str, list[str]] | None = None,
    code: int = 200,
) -> Response:
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    html = render(
        "portal.html",
        page=page,
        t=_PortalTexts(page),
        notice=notice,
        problem=problem,
        form={name: values[0] for name, values in (form or {}).items()},
        selected=set(form["invoice"]) if form and "invoice" in form else _preselected_invoices(page),
        base=f"/c/{request.path_params['token']}",
        languages=LANGUAGES.values(),
        days={
            "earliest": page.today - timedelta(days=responses.PAID_DAYS_MAX),
            "latest": page.today + timedelta(days=responses.PROMISE_DAYS_MAX),
            "soon": page.today + timedelta(days=7),
        },
    )
    return HTMLResponse(html, status_code=code)


def _preselected_invoices(page: CustomerPage) -> set[str]:
    """Return the invoice where there is only one: of several, none, or a dispute would be about those ticked, too."""
    return {each.id for each in page.invoices} if len(page.invoices) == 1 else set()


class _PortalTexts:
    """The texts of the page in the customer's language, filled."""

    def __init__(self, page: CustomerPage) -> None:
        self._language = page.language
        texts = load_texts(page.language.code)
        self._tables = (texts.portal, texts.labels, texts.statement)
        self._values = {
            "company": page.company,
            "customer": page.customer,
            "reply_to": page.reply_to,
            "today": self.long_date(page.as_of),
            "latest": self.long_date(page.today + timedelta(days=responses.PROMISE_DAYS_MAX)),
        }

    def __call__(self, name: str, **more: str) -> str:
        """Fill a text of the portal, else one that it shares with emails or statements."""
        text = next(table[name] for table in self._tables if name in table)
        return render_line(text, {**self._values, **more})

    def transfer(self, transfer: BankTransfer) -> TransferText:
        """Return how to pay by bank."""
        return word_transfer(transfer, self._language)

    def money(self, amount: Decimal, currency: str) -> str:
        """Format an amount."""
        return self._language.format_money(amount, currency)

    def long_date(self, on: date) -> str:
        """Format a date in full."""
        return replace_nbsp(self._language.format_date(on))

    def short_date(self, on: date) -> str:
        """Format a date with a short month."""
        return self._language.format_date(on, short=True)

    def due_status(self, invoice: OpenInvoice) -> str:
        """Return when an invoice is due, and how long it is overdue."""
        line = invoice.line
        if line.due_on is None:
            return self("no_due_date")
        if line.days_late > 0:
            state = self("one_day_overdue" if line.days_late == 1 else "days_overdue", days=str(line.days_late))
            if line.counted_from_on is not None:
                state = self("counted_from", state=state, from_on=self.short_date(line.counted_from_on))
        else:
            state = self("due_soon" if line.days_late < 0 else "due_today")
        return self("falls_due", due_on=self.short_date(line.due_on), state=state)


def _error_page(request: Request, code: int, title: str, line: str) -> Response:
    """Render a page that names nobody, because the link does not open a portal."""
    language = browser_language(request.headers.get("accept-language", ""))
    texts = load_texts(language.code).portal
    lines = [texts[line]] if line else []
    html = render("link_page.html", lang=language.code, title=texts[title], lines=lines)
    headers = {**_HEADERS, **({"Retry-After": "3600"} if code == 429 else {})}
    return HTMLResponse(html, status_code=code, headers=headers)


def _redirect(request: Request, notice: str) -> Response:
    path = f"/c/{request.path_params['token']}"
    return RedirectResponse(path + (f"?notice={notice}" if notice else ""), status_code=303)


def _pdf_response(content: bytes, filename: str) -> Response:
    headers = {"Content-Disposition": f'inline; filename="{filename}"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _rate_limit_key(visitor: PortalVisitor) -> str:
    return f"{visitor.connection_id}:{visitor.customer_id}"
