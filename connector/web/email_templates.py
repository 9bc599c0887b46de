"""The words of mails for people: the four lines of each, what they make of a real invoice, and whose words are used."""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import HTMLResponse, Response

from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.money import from_e4
from connector.db.tables import CustomerRow, InvoiceRow
from connector.emails.outbound import email_templates
from connector.emails.outbound.email_templates import LINE_NAMES, TemplateError
from connector.emails.outbound.render import EMAIL_STEPS
from connector.errors import NotFound
from connector.languages import LANGUAGES
from connector.services.invoices import UnknownInvoiceError
from connector.services.template_preview import preview_email
from connector.web.outbox import EMAIL_PREVIEW_CSP, PREVIEW_FRAME_CSP
from connector.web.page_request import PageRequest
from connector.web.policy import PolicyContext, get_policy_context
from connector.web.rendering import format_money, render
from connector.web.routes import Route
from policies.receivables import Step

_INVOICES_SHOWN = 8  # overdue ones, and as many that fall due
_LINE_MAX = 4000


class _TemplateContext(NamedTuple):
    """Which mail is looked at: of which step, in which language, for whom."""

    policy_context: PolicyContext
    step: Step
    language: str  # "": every language

    @property
    def preview_language(self) -> str:
        return self.language or "en"

    def default_template(self) -> dict[str, str]:
        """The words that come with duewell, in the tone of the policy."""
        return email_templates.parse_document(
            email_templates.default_document(self.step, self.preview_language, self.policy_context.policy.tone)
        )


def list_templates(request: PageRequest) -> Response:
    """List the mails there are, and whose words each uses."""
    with reading(request.app.engine) as session:
        scope = get_policy_context(request, session, request.query.get("company", ""))
        own = [row for row in email_templates.list_templates(session) if row.connection_id in {None, scope.id}]
    steps = [(step.value, [row for row in own if row.step == step.value]) for step in EMAIL_STEPS]
    return request.render("email_templates.html", policy_context=scope, steps=steps)


def edit_template(request: PageRequest) -> Response:
    """Show the words of one mail, to be altered."""
    return _render_editor(request, request.query.get("company", ""), request.query.get("language", ""))


def preview_saved(request: PageRequest) -> Response:
    """Show what the words in force make of a real invoice, for the frame on the page."""
    with reading(request.app.engine) as session:
        asked = _parse_context(request, session, request.query.get("company", ""), request.query.get("language", ""))
        chosen = next(iter(_sample_invoices(request, session, asked.policy_context)), None)
    return _render_preview(request, asked, chosen["id"] if chosen else "", "")


def preview_form(request: PageRequest) -> Response:
    """Show in the frame what the words in the form make of the chosen invoice; nothing is kept."""
    with reading(request.app.engine) as session:
        asked = _parse_context(request, session, request.form_value("company"), request.form_value("language"))
    return _render_preview(request, asked, request.form_value("invoice"), _changed_lines(request, asked))


def save_template(request: PageRequest) -> Response:
    """Use the words in the form from now on, or the shipped ones again."""
    with reading(request.app.engine) as session:
        asked = _parse_context(request, session, request.form_value("company"), request.form_value("language"))
    document = "" if request.form_value("do") == "reset" else _changed_lines(request, asked)
    step, language, here = asked.step, asked.language, asked.policy_context.id
    by, at = request.actor.email, request.now
    try:
        with writing(request.app.engine) as session:
            email_templates.save_template(
                session, document, step=step, language=language, connection_id=here, by=by, at=at
            )
    except TemplateError as problem:
        return _render_editor(
            request, request.form_value("company"), request.form_value("language"), problem=str(problem)
        )
    kept = {"company": request.form_value("company"), "language": asked.language}
    return request.redirect(request.path, **{name: value for name, value in kept.items() if value}, notice="words")


def _render_editor(request: PageRequest, company: str, language: str, problem: str = "") -> Response:
    with reading(request.app.engine) as session:
        asked = _parse_context(request, session, company, language)
        own = email_templates.find_custom_lines(session, asked.policy_context.id, asked.step, asked.preview_language)
        invoices = _sample_invoices(request, session, asked.policy_context)
    lines = {**asked.default_template(), **own}
    if problem:
        lines = {name: request.form_value(name, _LINE_MAX) for name in lines}
    answer = request.render(
        "email_template_edit.html",
        422 if problem else 200,
        policy_context=asked.policy_context,
        step=asked.step.value,
        language=asked.language,
        languages=tuple(LANGUAGES),
        lines=lines,
        own=own,
        invoices=invoices,
        problem=problem,
    )
    answer.headers["Content-Security-Policy"] = PREVIEW_FRAME_CSP
    return answer


def _render_preview(request: PageRequest, template: _TemplateContext, invoice: str, document: str) -> Response:
    company, _, external_id = invoice.partition(":")
    headers = {"Content-Security-Policy": EMAIL_PREVIEW_CSP, "X-Frame-Options": "SAMEORIGIN"}
    try:
        with reading(request.app.engine) as session:
            row = request.company(session, parse_id(company))
        how = {"document": document, "language": template.language}
        mail = preview_email(request.app, template.step, external_id, connection_id=row.id, **how)
    except (TemplateError, UnknownInvoiceError) as problem:
        page = render("message.html", title="No mail comes of this", lines=[str(problem)])
        return HTMLResponse(page, status_code=422, headers=headers)
    subject = f'<p style="font:1rem sans-serif;padding:0 1rem"><strong>Subject:</strong> {escape(mail.subject)}</p>'
    return HTMLResponse(
        re.sub(r"(<body[^>]*>)", rf"\g<1>{_escape_replacement(subject)}", mail.html, count=1), headers=headers
    )


def _escape_replacement(text: str) -> str:
    return text.replace("\\", r"\\")


def _changed_lines(request: PageRequest, template: _TemplateContext) -> str:
    """Write down the lines that say something else than the shipped ones; none: "", the shipped ones are used."""
    sent = {
        name: request.form_value(name, _LINE_MAX + 1).replace("\r\n", "\n")
        for name in LINE_NAMES
        if name in request.form
    }
    different = {name: text for name, text in sent.items() if text != template.default_template().get(name, "").strip()}
    return email_templates.format_document(different) if different else ""


def _parse_context(request: PageRequest, session: Session, company: str, language: str) -> _TemplateContext:
    if language and language not in LANGUAGES:
        raise NotFound
    try:
        step = Step(str(request.path_params["step"]))
    except ValueError:
        raise NotFound from None
    if step not in EMAIL_STEPS:
        raise NotFound
    return _TemplateContext(get_policy_context(request, session, company), step, language)


def _sample_invoices(request: PageRequest, session: Session, policy_context: PolicyContext) -> list[dict[str, str]]:
    """Offer real invoices to look at the mail with: overdue ones, the newest first, and some that fall due."""
    ids = [policy_context.id] if policy_context.company else [row.id for row in policy_context.companies]
    today, due_on = request.now.date(), col(InvoiceRow.due_on)
    joined = (col(CustomerRow.connection_id) == col(InvoiceRow.connection_id)) & (
        col(CustomerRow.external_id) == col(InvoiceRow.customer_id)
    )
    open_ones = (
        select(InvoiceRow, col(CustomerRow.name))
        .outerjoin(CustomerRow, joined)
        .where(col(InvoiceRow.connection_id).in_(ids), col(InvoiceRow.is_open))
        .limit(_INVOICES_SHOWN)
    )
    found = [
        *session.execute(open_ones.where(due_on < today).order_by(due_on.desc())),
        *session.execute(open_ones.where(due_on >= today).order_by(due_on)),
    ]
    return [_invoice_option(row, name) for row, name in found]


def _invoice_option(row: InvoiceRow, name: str | None) -> dict[str, str]:
    words = (
        f"{row.number}, {name or row.customer_id}, {format_money(from_e4(row.due_e4), row.currency)}, due {row.due_on}"
    )
    return {"id": f"{row.connection_id}:{row.external_id}", "words": words}


ROUTES = (
    Route("GET", "/policy/emails", list_templates),
    Route("GET", "/policy/emails/{step}", edit_template),
    Route("GET", "/policy/emails/{step}/email.html", preview_saved),
    Route("POST", "/policy/emails/{step}/email.html", preview_form, "bookkeeper"),
    Route("POST", "/policy/emails/{step}", save_template, "bookkeeper", sensitive=True),
)
