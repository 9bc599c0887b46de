"""The customer portal over HTTP: whoever has the link from an email can view it and respond, without signing in.

Viewing changes nothing: programs that scan emails open every link. The token in the path is all the proof there is; no
cookie is read or set, so no other site can respond in a customer's name.
"""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from connector.app_context import AppContext
from connector.bank_details.code_image import draw_code
from connector.branding import colours
from connector.branding.brand import load_brand
from connector.db.engine import reading
from connector.db.invoice_names import names_of
from connector.emails.portal_links import PortalVisitor
from connector.languages import LANGUAGES
from connector.portal import documents, responses
from connector.portal.customer_page import CustomerPage, build_customer_page, build_statement_pdf, select_to_pay
from connector.portal.documents import LedgerUnavailable
from connector.portal.responses import StoredResponse
from connector.vocabulary import ResponseKind, ResponseState
from connector.web import portal_account, portal_forms
from connector.web.portal_guard import (
    BODY_BYTES_MAX,
    UPLOAD_BYTES_MAX,
    PageHandler,
    PortalForm,
    PortalGuard,
    error_page,
    make_endpoint,
    pdf_response,
    redirect,
)
from connector.web.portal_texts import PortalTexts
from connector.web.rendering import render

INVOICES_PER_PAGE = 25  # a page stays below 60 kB
_KEPT_A_WHILE = {"Cache-Control": "private, max-age=300", "X-Content-Type-Options": "nosniff"}  # each page shows it
_NOTICES = {"no_pay_link", "done_language"}


def add_portal(web_app: FastAPI, app: AppContext) -> None:
    """Register the routes."""
    guard = PortalGuard(app)
    pages: tuple[tuple[str, str, PageHandler], ...] = (
        ("GET", "/c/{token}", _get_page),
        ("GET", "/c/{token}/statement/{currency}.pdf", _get_statement),
        ("GET", "/c/{token}/invoice/{invoice}.pdf", _get_invoice_pdf),
        ("GET", "/c/{token}/pay", _get_pay_page),
        ("GET", "/c/{token}/transfer/{currency}.png", _get_payment_code),
        ("GET", "/c/{token}/brand.css", _get_brand_style),
        ("GET", "/c/{token}/logo.png", _get_logo),
        ("POST", "/c/{token}/pay/{invoice}", _post_pay),
        *portal_forms.PAGES,
        *portal_account.PAGES,
    )
    for method, path, handler in pages:
        limit = UPLOAD_BYTES_MAX if path == portal_forms.FORM_PATH else BODY_BYTES_MAX
        web_app.add_route(path, make_endpoint(guard, handler, limit), methods=[method], include_in_schema=False)


def _get_page(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    notice = request.query_params.get("notice", "")
    key = request.query_params.get("done", "")
    done = responses.find_response(guard.app, visitor, key) if key else None
    done = None if done is None or done.state is ResponseState.DRAFT else done
    return _render_page(guard, visitor, request, notice=notice if notice in _NOTICES else "", done=done)


def _get_statement(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    currency = str(request.path_params["currency"])
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    statement = build_statement_pdf(guard.app, visitor, currency, page.language.code)
    if statement is None:
        return error_page(request, 404, "nothing_open", "")
    return pdf_response(statement.content, statement.filename)


def _get_invoice_pdf(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    if not guard.can_call_ledger(visitor):
        return _render_page(guard, visitor, request, problem="error_try_later", code=429)
    try:
        pdf = documents.get_invoice_pdf(guard.app, visitor, str(request.path_params["invoice"]))
    except LedgerUnavailable:
        return _render_page(guard, visitor, request, problem="error_try_later", code=503)
    if pdf is None:
        return _render_page(guard, visitor, request, problem="error_try_later", code=404)
    return pdf_response(pdf.content, pdf.filename)


def _get_pay_page(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    """Show the invoices an email asks for, each with where it can be paid: behind its button "Pay all"."""
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    parts = select_to_pay(page, request.query_params.getlist("invoice"))
    base = f"/c/{request.path_params['token']}"
    chosen = urlencode([("invoice", each.id) for part in parts for each in part.invoices])
    values = {"page": page, "t": PortalTexts(page), "parts": parts, "base": base, "chosen": chosen}
    return HTMLResponse(render("portal_pay.html", **values))


def _get_payment_code(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    """Return the code that pays the invoices of a page by bank, for banking apps."""
    page = build_customer_page(guard.app, visitor)
    ids = request.query_params.getlist("invoice")
    balances = select_to_pay(page, ids) if ids else page.balances
    currency = str(request.path_params["currency"])
    transfer = next((each.transfer for each in balances if each.currency == currency), None)
    if transfer is None or not transfer.code:
        return error_page(request, 404, "nothing_open", "")
    return Response(draw_code(transfer), media_type="image/png")


def _get_brand_style(guard: PortalGuard, visitor: PortalVisitor, _request: Request, _form: PortalForm) -> Response:
    """Return the company's colours for the pages of this link; those of duewell where it has none of its own."""
    with reading(guard.app.engine) as session:
        brand = load_brand(session, visitor.connection_id)
    own = colours.portal_css(brand.accent_colour) if brand.accent_colour != colours.DEFAULT_ACCENT else ""
    return Response(own, media_type="text/css", headers=_KEPT_A_WHILE)


def _get_logo(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    with reading(guard.app.engine) as session:
        logo = load_brand(session, visitor.connection_id).logo
    if logo is None:
        return error_page(request, 404, "unknown", "")
    return Response(logo.content, media_type=logo.content_type, headers=_KEPT_A_WHILE)


def _post_pay(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    if not guard.can_call_ledger(visitor):
        return _render_page(guard, visitor, request, problem="error_try_later", code=429)
    try:
        link = documents.get_payment_link(guard.app, visitor, str(request.path_params["invoice"]))
    except LedgerUnavailable:
        return _render_page(guard, visitor, request, problem="error_try_later", code=503)
    return redirect(request, "" if link else "?notice=no_pay_link")


def _render_page(
    guard: PortalGuard,
    visitor: PortalVisitor,
    request: Request,
    *,
    notice: str = "",
    problem: str = "",
    done: StoredResponse | None = None,
    code: int = 200,
) -> Response:
    page = build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))
    html = render(
        "portal.html",
        page=page,
        t=PortalTexts(page, _numbers(guard, visitor, page, done)),
        notice=notice,
        problem=problem,
        done=done,
        is_undone=done is not None and done.state is ResponseState.UNDONE,
        base=f"/c/{request.path_params['token']}",
        languages=LANGUAGES.values(),
        kinds=ResponseKind,
        first=_first_invoice(request, len(page.invoices)),
        shown_max=INVOICES_PER_PAGE,
        chosen="",
    )
    return HTMLResponse(html, status_code=code)


def _numbers(
    guard: PortalGuard, visitor: PortalVisitor, page: CustomerPage, done: StoredResponse | None
) -> dict[str, str]:
    """Return the names of the invoices that were talked about: many are closed by now."""
    said = [each.response.content for each in page.history if each.response is not None]
    said += [done.content] if done is not None else []
    ids = {invoice for each in said for invoice in each.invoices}
    with reading(guard.app.engine) as session:
        return names_of(session, visitor.connection_id, ids) if ids else {}


def _first_invoice(request: Request, count: int) -> int:
    """Return the position of the first invoice on the page that is asked for."""
    asked = request.query_params.get("page", "1")
    number = int(asked) if asked.isdecimal() and len(asked) < 5 else 1
    last = max(1, -(-count // INVOICES_PER_PAGE))
    return (min(max(number, 1), last) - 1) * INVOICES_PER_PAGE
