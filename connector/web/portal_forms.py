"""What customers report through the portal: a form, its summary, the button that sends it, and the one that undoes it.

A form that was filled in is kept as a draft, and the summary has an address of its own. So the back button works, a
second tap finds what the first one did, and two tabs do not disturb each other. Nothing needs a script.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from connector.db.engine import reading
from connector.emails.portal_links import PortalVisitor
from connector.plain_text import one_line
from connector.portal import files, handlers, responses
from connector.portal.customer_page import CustomerPage, OpenInvoice, build_customer_page
from connector.portal.customer_response import (
    ABOUT_INVOICES,
    ABOUT_ONE,
    REFERENCE_MAX,
    TEXT_MAX,
    CustomerResponse,
    ResponseRejected,
    parse_amount,
)
from connector.portal.responses import StoredResponse
from connector.vocabulary import PaymentMethod, ResponseKind, ResponseState
from connector.web.portal_guard import PageHandler, PortalForm, PortalGuard, error_page, redirect
from connector.web.portal_texts import PortalTexts
from connector.web.rendering import render
from policies.currencies import plain_amount

FORM_PATH = "/c/{token}/tell/{kind}"
WITH_FILE = frozenset({ResponseKind.PAID, ResponseKind.DISPUTE, ResponseKind.FILE})
_INVOICES_MAX = 200
# The field that a problem is about, to lead a screen reader to it
_FIELD_OF = {
    "error_select": "invoice",
    "error_not_open": "invoice",
    "error_paid_on": "on",
    "error_promise_on": "on",
    "error_plan_first": "on",
    "error_amount": "amount",
    "error_promise_amount": "amount",
    "error_one_currency": "amount",
    "error_plan": "instalments",
    "error_dispute_reason": "text",
    "error_contact_email": "email",
    "error_stop_address": "email",
    "error_file_missing": "file",
    "error_file_size": "file",
    "error_file_type": "file",
    "error_file_count": "file",
}
_EMPTY = dict.fromkeys(("on", "text", "email", "amount", "method", "reference", "instalments", "interval", "draft"), "")


def _get_form(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    kind, page = _kind(request), _build_page(guard, visitor, request)
    if kind is None or kind is ResponseKind.LANGUAGE:
        return error_page(request, 404, "unknown", "")
    draft = responses.find_response(guard.app, visitor, request.query_params.get("draft", ""))
    said = draft.content if draft is not None and draft.content.kind is kind else None
    invoices = said.invoices if said else tuple(request.query_params.getlist("invoice"))[:_INVOICES_MAX]
    values = _values_of(said) if said else {}
    if said and draft is not None and kind in WITH_FILE and _count_files(guard, draft.key):
        values["draft"] = draft.key
    return _render_form(request, page, kind, invoices, values)


def _post_form(guard: PortalGuard, visitor: PortalVisitor, request: Request, form: PortalForm) -> Response:
    kind, page = _kind(request), _build_page(guard, visitor, request)
    if kind is None or kind is ResponseKind.LANGUAGE:
        return error_page(request, 404, "unknown", "")
    invoices = tuple(form.values.get("invoice", ()))[:_INVOICES_MAX]
    values = {name: given[0] for name, given in form.values.items() if given}
    if form.too_large:
        return _render_form(request, page, kind, (), values, "error_file_size", 413)
    if not guard.can_respond(visitor):
        return _render_form(request, page, kind, invoices, values, "error_too_many_requests", 429)
    try:
        said = _parse(page, kind, invoices, form)
        key = _save_draft(guard, visitor, said, form)
    except ResponseRejected as rejected:
        return _render_form(request, page, kind, invoices, values, str(rejected), 422)
    return redirect(request, f"/check/{key}")


def _save_draft(guard: PortalGuard, visitor: PortalVisitor, said: CustomerResponse, form: PortalForm) -> str:
    if said.kind not in WITH_FILE:
        return responses.save_draft(guard.app, visitor, said)
    if form.has_empty_file:
        raise ResponseRejected("error_file_type")
    return responses.save_draft(guard.app, visitor, said, form.file, form.value("draft"))


def _get_check(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    return _render_check(guard, visitor, request)


def _post_check(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    try:
        sent = responses.send_draft(guard.app, visitor, str(request.path_params["key"]))
    except ResponseRejected as rejected:
        return _render_check(guard, visitor, request, str(rejected), 409)
    return redirect(request, f"?{urlencode({'done': sent.key})}")


def _post_undo(guard: PortalGuard, visitor: PortalVisitor, request: Request, _form: PortalForm) -> Response:
    key = str(request.path_params["key"])
    try:
        responses.undo_response(guard.app, visitor, key)
    except ResponseRejected as rejected:
        return _render_check(guard, visitor, request, str(rejected), 409)
    return redirect(request, f"?{urlencode({'done': key})}")


def _post_language(guard: PortalGuard, visitor: PortalVisitor, request: Request, form: PortalForm) -> Response:
    """Change the language at once: it is told to nobody, and changed back as easily."""
    if not guard.can_respond(visitor):
        return error_page(request, 429, "error_too_many_requests", "")
    try:
        said = CustomerResponse(ResponseKind.LANGUAGE, text=form.value("language"))
        responses.record_response(guard.app, visitor, said)
    except ResponseRejected:
        return redirect(request)
    return redirect(request, "?notice=done_language")


PAGES: tuple[tuple[str, str, PageHandler], ...] = (
    ("GET", FORM_PATH, _get_form),
    ("POST", FORM_PATH, _post_form),
    ("GET", "/c/{token}/check/{key}", _get_check),
    ("POST", "/c/{token}/check/{key}", _post_check),
    ("POST", "/c/{token}/undo/{key}", _post_undo),
    ("POST", "/c/{token}/language", _post_language),
)


def _kind(request: Request) -> ResponseKind | None:
    asked = str(request.path_params["kind"])
    return ResponseKind(asked) if asked in list(ResponseKind) else None


def _build_page(guard: PortalGuard, visitor: PortalVisitor, request: Request) -> CustomerPage:
    return build_customer_page(guard.app, visitor, request.headers.get("accept-language", ""))


def _parse(page: CustomerPage, kind: ResponseKind, invoices: Sequence[str], form: PortalForm) -> CustomerResponse:
    """Read a form. Raises ``ResponseRejected``."""
    currencies = {balance.currency for balance in page.balances for each in balance.invoices if each.id in invoices}
    if form.value("amount") and len(currencies) > 1:
        raise ResponseRejected("error_one_currency")
    currency = next(iter(currencies), "")
    method, count = form.value("method"), form.value("instalments")
    return CustomerResponse(
        kind=kind,
        invoices=tuple(invoices) if kind in ABOUT_INVOICES else (),
        on=_parse_date(form.value("on")),
        text=one_line(form.value("text"), TEXT_MAX),
        email=form.value("email")[:TEXT_MAX],
        amount=parse_amount(form.value("amount"), currency) if currency else None,
        currency=currency,
        method=PaymentMethod(method) if method in list(PaymentMethod) else PaymentMethod.NONE,
        reference=one_line(form.value("reference"), REFERENCE_MAX),
        instalments=int(count) if kind is ResponseKind.PLAN and count.isdecimal() and len(count) < 3 else 0,
        interval=form.value("interval") or "month",
    )


def _parse_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _values_of(said: CustomerResponse) -> dict[str, str]:
    """Return what was entered, for the form that changes it."""
    return {
        "on": said.on.isoformat() if said.on else "",
        "text": said.text,
        "email": said.email,
        "amount": plain_amount(said.amount, said.currency) if said.amount is not None else "",
        "method": said.method,
        "reference": said.reference,
        "instalments": str(said.instalments or ""),
        "interval": said.interval,
    }


def _render_form(
    request: Request,
    page: CustomerPage,
    kind: ResponseKind,
    selected: Sequence[str],
    values: dict[str, str],
    problem: str = "",
    code: int = 200,
) -> Response:
    """Show a form about the invoices in its address; without any, all of them are offered, and none is ticked."""
    asked = request.query_params.getlist("invoice")
    named = [each for each in page.invoices if each.id in (asked or (selected if kind in ABOUT_ONE else ()))]
    offered = page.invoices if kind in ABOUT_INVOICES - ABOUT_ONE and not named else []
    if kind in ABOUT_INVOICES and not named and not offered:
        problem, code = problem or "error_not_open", code if code != 200 else 404
    elif kind in ABOUT_INVOICES and len(named) < len(set(asked)):
        problem = problem or "error_not_open"
    html = render(
        "portal_form.html",
        page=page,
        t=PortalTexts(page),
        kind=kind,
        kinds=ResponseKind,
        is_about_invoices=kind in ABOUT_INVOICES,
        named=named,
        offered=offered[:_INVOICES_MAX],
        selected=set(selected),
        currencies={each.id: balance.currency for balance in page.balances for each in balance.invoices},
        values={**_EMPTY, **values},
        problem=problem,
        wrong=_FIELD_OF.get(problem, ""),
        limits=_date_limits(page, kind, named),
        methods=[each for each in PaymentMethod if each],
        with_file=kind in WITH_FILE,
        plan=named[0].plan_limits if named else None,
        base=f"/c/{request.path_params['token']}",
        query=f"?{request.url.query}" if request.url.query else "",
    )
    return HTMLResponse(html, status_code=code)


def _date_limits(page: CustomerPage, kind: ResponseKind, named: Sequence[OpenInvoice]) -> tuple[date, date, date]:
    """Return the first and the last date that a form takes, and the one it suggests."""
    today = page.today
    if kind is ResponseKind.PAID:
        return today - timedelta(days=handlers.PAID_DAYS_MAX), today, today
    plan = named[0].plan_limits if named else None
    last = plan.first_until_on if kind is ResponseKind.PLAN and plan else None
    last = last or today + timedelta(days=handlers.PROMISE_DAYS_MAX)
    return today, last, min(today + timedelta(days=7), last)


def _count_files(guard: PortalGuard, key: str) -> int:
    with reading(guard.app.engine) as session:
        return files.count_files(session, key)


def _render_check(
    guard: PortalGuard, visitor: PortalVisitor, request: Request, problem: str = "", code: int = 200
) -> Response:
    key = str(request.path_params["key"])
    page = _build_page(guard, visitor, request)
    draft: StoredResponse | None = responses.find_response(guard.app, visitor, key)
    if draft is None:
        return error_page(request, 404, "draft_gone", "error_draft_gone")
    texts = PortalTexts(page)
    html = render(
        "portal_check.html",
        page=page,
        t=texts,
        draft=draft,
        is_draft=draft.state is ResponseState.DRAFT,
        is_undone=draft.state is ResponseState.UNDONE,
        lines=texts.summary(draft.content, _count_files(guard, key)),
        problem=problem,
        base=f"/c/{request.path_params['token']}",
    )
    return HTMLResponse(html, status_code=code)
