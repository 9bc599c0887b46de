"""The email templates: the four texts of each email, previewed with a real invoice, and whose template is in use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from sqlalchemy import not_, select
from sqlmodel import Session, col
from starlette.responses import HTMLResponse, Response

from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.invoice_names import name_of
from connector.db.money import from_e4
from connector.db.tables import CustomerRow, EmailTemplate, InvoiceRow
from connector.emails.outbound import email_templates, sent_emails
from connector.emails.outbound.email_templates import LINE_NAMES, TemplateError
from connector.emails.outbound.render import EMAIL_STEPS
from connector.errors import NotFound
from connector.languages import LANGUAGES
from connector.reports.scope import Scope
from connector.services.invoices import UnknownInvoiceError
from connector.services.lists.filters import Today, is_past
from connector.services.template_preview import preview_email
from connector.vocabulary import Role
from connector.web.outbox import EMAIL_PREVIEW_CSP, PREVIEW_FRAME_CSP
from connector.web.page_request import PageRequest
from connector.web.policy import PolicyContext, get_policy_context
from connector.web.rendering import format_date, format_money, render
from connector.web.routes import Route
from policies.receivables import Step

_INVOICES_SHOWN = 8  # overdue ones, and as many that are not due yet
_LINE_MAX = 4000


@dataclass(frozen=True, slots=True)
class _TemplateContext:
    """The template a page is about: of which step, in which language, for whom."""

    policy_context: PolicyContext
    step: Step
    language: str  # "": every language

    @property
    def preview_language(self) -> str:
        return self.language or "en"

    def default_template(self) -> dict[str, str]:
        """Return the texts that come with duewell, in the tone of the policy."""
        return email_templates.parse_document(
            email_templates.default_document(self.step, self.preview_language, self.policy_context.policy.tone)
        )


class _InvoiceOption(NamedTuple):
    """An invoice to preview an email with."""

    id: str  # "company id:invoice id"
    text: str


def list_templates(request: PageRequest) -> Response:
    """Show the emails, and whose template each uses."""
    with reading(request.app.engine) as session:
        context = get_policy_context(request, session, request.query.get("company", ""))
        own = [row for row in email_templates.list_templates(session) if row.connection_id in {None, context.id}]
    steps = [(step, [row for row in own if row.step == step.value]) for step in EMAIL_STEPS]
    return request.render("email_templates.html", policy_context=context, steps=steps)


def edit_template(request: PageRequest) -> Response:
    """Show the template of one email as a form."""
    return _render_editor(request, request.query.get("company", ""), request.query.get("language", ""))


def preview_saved(request: PageRequest) -> Response:
    """Return the email that the saved template makes of a real invoice, for the frame on the page."""
    with reading(request.app.engine) as session:
        template = _parse_context(request, session, request.query.get("company", ""), request.query.get("language", ""))
        option = next(iter(_sample_invoices(request, session, template.policy_context)), None)
    return _render_preview(request, template, option.id if option else "", "")


def preview_form(request: PageRequest) -> Response:
    """Return the email that the submitted form makes of the selected invoice; nothing is saved."""
    with reading(request.app.engine) as session:
        template = _parse_context(request, session, request.form_value("company"), request.form_value("language"))
    return _render_preview(request, template, request.form_value("invoice"), _changed_lines(request, template))


def save_template(request: PageRequest) -> Response:
    """Save the submitted template, or go back to the default."""
    with reading(request.app.engine) as session:
        template = _parse_context(request, session, request.form_value("company"), request.form_value("language"))
    document = "" if request.form_value("do") == "reset" else _changed_lines(request, template)
    try:
        with writing(request.app.engine) as session:
            saved = _find_saved(session, template)
            if request.form_value("version") != _version(saved):
                if saved is not None and (saved.document, saved.set_by) == (document, request.actor.email):
                    return _to_saved(request, template)  # the form was sent twice
                return _render_editor(
                    request, request.form_value("company"), request.form_value("language"), saved=saved
                )
            email_templates.save_template(
                session,
                document,
                step=template.step,
                language=template.language,
                connection_id=template.policy_context.id,
                by=request.actor.email,
                at=request.now,
            )
    except TemplateError as error:
        return _render_editor(
            request, request.form_value("company"), request.form_value("language"), problem=str(error)
        )
    return _to_saved(request, template)


def _to_saved(request: PageRequest, template: _TemplateContext) -> Response:
    query = {"company": request.form_value("company"), "language": template.language}
    return request.redirect(
        request.path, **{name: value for name, value in query.items() if value}, notice="template_saved"
    )


def _find_saved(session: Session, template: _TemplateContext) -> EmailTemplate | None:
    return email_templates.find_saved(session, template.policy_context.id, template.step, template.language)


def _version(saved: EmailTemplate | None) -> str:
    return "" if saved is None else str(saved.id)


def _render_editor(
    request: PageRequest, company: str, language: str, problem: str = "", saved: EmailTemplate | None = None
) -> Response:
    """Show the form; what was entered stays with a ``problem``, and where another text was ``saved`` meanwhile."""
    with reading(request.app.engine) as session:
        template = _parse_context(request, session, company, language)
        own_lines = email_templates.find_custom_lines(
            session, template.policy_context.id, template.step, template.preview_language
        )
        invoices = _sample_invoices(request, session, template.policy_context)
        newest = _find_saved(session, template)
    lines = {**template.default_template(), **own_lines}
    saved_lines = {name: text.strip() for name, text in lines.items()} if saved else {}
    if problem or saved:
        lines = {name: request.form_value(name, _LINE_MAX) for name in lines}
    response = request.render(
        "email_template_edit.html",
        409 if saved else 422 if problem else 200,
        saved=saved,
        saved_lines=saved_lines,
        version=_version(newest),
        policy_context=template.policy_context,
        step=template.step,
        language=template.language,
        languages=tuple(LANGUAGES),
        lines=lines,
        own_lines=own_lines,
        invoices=invoices,
        problem=problem,
    )
    response.headers["Content-Security-Policy"] = PREVIEW_FRAME_CSP
    return response


def _render_preview(request: PageRequest, template: _TemplateContext, invoice: str, document: str) -> Response:
    company, _, external_id = invoice.partition(":")
    headers = {"Content-Security-Policy": EMAIL_PREVIEW_CSP, "X-Frame-Options": "SAMEORIGIN"}
    try:
        with reading(request.app.engine) as session:
            row = request.company(session, parse_id(company))
        email = preview_email(
            request.app,
            template.step,
            external_id,
            connection_id=row.id,
            document=document,
            language=template.language,
        )
    except (TemplateError, UnknownInvoiceError) as error:
        page = render("message.html", title="No preview possible", lines=[str(error)])
        return HTMLResponse(page, status_code=422, headers=headers)
    subject = f'<p style="font:1rem sans-serif;padding:0 1rem"><strong>Subject:</strong> {escape(email.subject)}</p>'
    shown = sent_emails.embed_images(email.html, email.inline)
    html = re.sub(r"<body[^>]*>", lambda body: body[0] + subject, shown, count=1)
    return HTMLResponse(html, headers=headers)


def _changed_lines(request: PageRequest, template: _TemplateContext) -> str:
    """Return the submitted texts that differ from the default as a document; "" where none does."""
    submitted = {
        name: request.form_value(name, _LINE_MAX + 1).replace("\r\n", "\n")
        for name in LINE_NAMES
        if name in request.form
    }
    default = template.default_template()
    changed = {name: text for name, text in submitted.items() if text != default.get(name, "").strip()}
    return email_templates.format_document(changed) if changed else ""


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


def _sample_invoices(request: PageRequest, session: Session, context: PolicyContext) -> list[_InvoiceOption]:
    """List open invoices to preview an email with: overdue ones, the newest first, and some that are not due yet."""
    scope = Scope([context.company] if context.company else context.companies, request.now)
    due_on, company_id = col(InvoiceRow.due_on), col(InvoiceRow.connection_id)
    is_overdue = is_past(due_on, company_id)
    customer = (col(CustomerRow.connection_id) == company_id) & (
        col(CustomerRow.external_id) == col(InvoiceRow.customer_id)
    )
    query = (
        select(InvoiceRow, col(CustomerRow.name))
        .outerjoin(CustomerRow, customer)
        .where(company_id.in_(scope.ids), col(InvoiceRow.is_open))
        .params(**Today(company_id, scope.companies_by_date()).as_parameters())
        .limit(_INVOICES_SHOWN)
    )
    found = [
        *session.execute(query.where(is_overdue).order_by(due_on.desc())),
        *session.execute(query.where(due_on.is_not(None), not_(is_overdue)).order_by(due_on)),
    ]
    return [_invoice_option(session, row, name) for row, name in found]


def _invoice_option(session: Session, row: InvoiceRow, customer: str | None) -> _InvoiceOption:
    amount = format_money(from_e4(row.due_e4), row.currency)
    text = f"{name_of(session, row)}, {customer or row.customer_id}, {amount}, due {format_date(row.due_on)}"
    return _InvoiceOption(f"{row.connection_id}:{row.external_id}", text)


ROUTES = (
    Route("GET", "/policy/emails", list_templates),
    Route("GET", "/policy/emails/{step}", edit_template),
    Route("GET", "/policy/emails/{step}/email.html", preview_saved),
    Route("POST", "/policy/emails/{step}/email.html", preview_form, Role.BOOKKEEPER),
    Route("POST", "/policy/emails/{step}", save_template, Role.BOOKKEEPER, sensitive=True),
)
