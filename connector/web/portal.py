"""The customer's own page over HTTP: whoever holds the link in his mail may look and answer, without signing in.

Looking changes nothing: programs that scan mail open every link. The token in the path is all the proof there is, or
needs to be: no cookie is read or set, so no other site can answer in somebody's name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector.app_context import AppContext
from connector.emails import portal_links
from connector.emails.layout import load_texts, render_line
from connector.emails.portal_links import PortalVisitor
from connector.languages import Language, browser_language, replace_nbsp
from connector.portal import documents, responses
from connector.portal.customer_page import CustomerPage, OpenInvoice, build_customer_page, build_statement_pdf
from connector.portal.documents import LedgerUnavailable
from connector.portal.responses import CustomerResponse, ResponseRejected
from connector.web.rate_limit import RateLimiter
from connector.web.rendering import render

_HEADERS = {
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_BODY_BYTES_MAX = 32 * 1024
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
LANGUAGE_NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
_DONE_NOTICES = {"done_paid", "done_promise", "done_dispute", "done_contact", "done_language", "done_already"}
_NOTICES = {*_DONE_NOTICES, "no_pay_link"}


class _PortalGuard:
    """What every request passes: whose link it is, and whether he and his address ask too often."""

    def __init__(self, app: AppContext) -> None:
        self.app = app
        self.requests_by_address = RateLimiter(3000, _HOUR)  # a firm behind one address, or many behind one proxy
        self.unknown_links = RateLimiter(30, _HOUR)
        self.page_views = RateLimiter(200, _HOUR)
        self.responses_per_hour = RateLimiter(20, _HOUR)
        self.responses_per_day = RateLimiter(50, _DAY)
        self.documents_by_customer = RateLimiter(40, _DAY)
        self.documents_by_company = RateLimiter(documents.DOCUMENTS_PER_DAY, _DAY)

    def admit(self, request: Request) -> PortalVisitor | Response:
        """Find whose page it is, or answer why there is none."""
        now, address = self.app.now(), request.client.host if request.client else ""
        if not self.requests_by_address.try_acquire(address, now):
            return _error_page(request, 429, "error_too_many_requests", "")
        who = portal_links.open_link(self.app, str(request.path_params["token"]))
        if who is None:
            known = self.unknown_links.try_acquire(address, now)
            return (
                _error_page(request, 404, "unknown", "unknown_detail")
                if known
                else _error_page(request, 429, "unknown", "")
            )
        if who.expired:
            return _error_page(request, 410, "expired", "expired_detail")
        if not self.page_views.try_acquire(_rate_limit_key(who), now):
            return _error_page(request, 429, "error_too_many_requests", "")
        return who

    def can_call_ledger(self, visitor: PortalVisitor) -> bool:
        """Tell whether the customer's wish may cost a call to his company's ledger."""
        now = self.app.now()
        return self.documents_by_customer.try_acquire(
            _rate_limit_key(visitor), now
        ) and self.documents_by_company.try_acquire(str(visitor.connection_id), now)


def add_portal(web_app: FastAPI, app: AppContext) -> None:
    """Add the pages."""
    door = _PortalGuard(app)
    pages: tuple[tuple[str, str, Callable[[_PortalGuard, PortalVisitor, Request, bytes], Response]], ...] = (
        ("GET", "/c/{token}", _get_page),
        ("POST", "/c/{token}", _post_response),
        ("GET", "/c/{token}/statement/{currency}.pdf", _get_statement),
        ("GET", "/c/{token}/invoice/{invoice}.pdf", _get_invoice_pdf),
        ("POST", "/c/{token}/pay/{invoice}", _post_pay),
    )
    for method, path, page in pages:
        web_app.add_route(path, _endpoint(door, page), methods=[method], include_in_schema=False)


def _endpoint(
    guard: _PortalGuard, page: Callable[[_PortalGuard, PortalVisitor, Request, bytes], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_BYTES_MAX:
                return _error_page(request, 413, "error_too_many_requests", "")
        return await run_in_threadpool(answer, request, body)

    def answer(request: Request, body: bytes) -> Response:
        who = guard.admit(request)
        response = page(guard, who, request, body) if isinstance(who, PortalVisitor) else who
        response.headers.update(_HEADERS)
        return response

    return endpoint


def _get_page(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    said = request.query_params.get("notice", "")
    return _render_page(guard, visitor, request, notice=said if said in _NOTICES else "")


def _post_response(guard: _PortalGuard, visitor: PortalVisitor, request: Request, body: bytes) -> Response:
    now = guard.app.now()
    if not (
        guard.responses_per_hour.try_acquire(_rate_limit_key(visitor), now)
        and guard.responses_per_day.try_acquire(_rate_limit_key(visitor), now)
    ):
        return _render_page(guard, visitor, request, problem="error_too_many_requests", code=429)
    form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1000)
    try:
        said = responses.record_response(guard.app, visitor, _parse_response(form))
    except ResponseRejected as problem:
        return _render_page(guard, visitor, request, problem=str(problem), form=form, code=422)
    return _redirect(request, said)


def _get_statement(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    currency = str(request.path_params["currency"])
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    paper = build_statement_pdf(guard.app, visitor, currency, page.language.code)
    return (
        _pdf_response(paper.content, paper.filename)
        if paper is not None
        else _error_page(request, 404, "nothing_open", "")
    )


def _get_invoice_pdf(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    if not guard.can_call_ledger(visitor):
        return _render_page(guard, visitor, request, problem="error_try_later", code=429)
    try:
        paper = documents.get_invoice_pdf(guard.app, visitor, str(request.path_params["invoice"]))
    except LedgerUnavailable:
        return _render_page(guard, visitor, request, problem="error_try_later", code=503)
    if paper is None:
        return _render_page(guard, visitor, request, problem="error_try_later", code=404)
    return _pdf_response(paper.content, paper.filename)


def _post_pay(guard: _PortalGuard, visitor: PortalVisitor, request: Request, _body: bytes) -> Response:
    if not guard.can_call_ledger(visitor):
        return _render_page(guard, visitor, request, problem="error_try_later", code=429)
    try:
        link = documents.get_payment_link(guard.app, visitor, str(request.path_params["invoice"]))
    except LedgerUnavailable:
        return _render_page(guard, visitor, request, problem="error_try_later", code=503)
    return _redirect(request, "" if link else "no_pay_link")


def _parse_response(form: dict[str, list[str]]) -> CustomerResponse:
    """Read the form; the button that was pressed says what it is about."""

    def sent(name: str) -> str:
        return next(iter(form.get(name, ())), "").strip()

    kind = sent("action")
    texts = {"dispute": "dispute_reason", "contact": "contact_name", "language": "language"}
    return CustomerResponse(
        kind=kind,
        invoices=tuple(form.get("invoice", ())),
        on=_parse_date(sent(f"{kind}_on")),
        text=sent(texts.get(kind, "")),
        email=sent("contact_email"),
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
        chosen=set(form["invoice"]) if form and "invoice" in form else _preselected_invoices(page),
        base=f"/c/{request.path_params['token']}",
        languages=LANGUAGE_NAMES,
        days={
            "earliest": page.today - timedelta(days=responses.PAID_DAYS_MAX),
            "latest": page.today + timedelta(days=responses.PROMISE_DAYS_MAX),
            "soon": page.today + timedelta(days=7),
        },
    )
    return HTMLResponse(html, status_code=code)


def _preselected_invoices(page: CustomerPage) -> set[str]:
    """Choose beforehand what an answer is most likely about: what is late, else all there is."""
    late = {each.id for each in page.invoices if each.line.days_late > 0}
    return late or {each.id for each in page.invoices}


class _PortalTexts:
    """The page's words in the customer's language, filled."""

    def __init__(self, page: CustomerPage) -> None:
        self._language = page.language
        self._page, self._labels = load_texts(page.language.code)["portal"], load_texts(page.language.code)["labels"]
        self._statement = load_texts(page.language.code)["statement"]
        self._facts = {
            "company": page.company,
            "customer": page.customer,
            "reply_to": page.reply_to,
            "today": self.long_date(page.as_of),
            "latest": self.long_date(page.today + timedelta(days=responses.PROMISE_DAYS_MAX)),
        }

    def __call__(self, name: str, **more: str) -> str:
        """Say a line of the page, of the mails' labels or of the statement."""
        line = next(each[name] for each in (self._page, self._labels, self._statement) if name in each)
        return render_line(line, {**self._facts, **more})

    def money(self, amount: object, currency: str) -> str:
        """Write a sum."""
        return self._language.format_money(amount, currency)  # type: ignore[arg-type]  # the template gives Decimals

    def long_date(self, on: date) -> str:
        """Write a day."""
        return replace_nbsp(self._language.format_date(on))

    def short_date(self, on: date) -> str:
        """Write a day in few signs."""
        return self._language.format_date(on, short=True)

    def due_status(self, each: OpenInvoice) -> str:
        """Say when an invoice falls due, and how late it is."""
        line = each.line
        if line.due_on is None:
            return self("no_due_date")
        late = "one_day_overdue" if line.days_late == 1 else "days_overdue"
        state = late if line.days_late > 0 else "due_soon" if line.days_late < 0 else "due_today"
        return self("falls_due", due_on=self.short_date(line.due_on), state=self._overdue_status(state, line))

    def _overdue_status(self, name: str, line: object) -> str:
        return self(name, days=str(getattr(line, "days_late", 0)))


def _error_page(request: Request, code: int, title: str, line: str) -> Response:
    """Answer without a name: whoever asks has no link that is good."""
    language: Language = browser_language(request.headers.get("accept-language", ""))
    texts = load_texts(language.code)["portal"]
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
