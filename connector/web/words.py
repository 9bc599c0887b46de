"""The words of mails for people: the four lines of each, what they make of a real invoice, and whose words are used."""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import HTMLResponse, Response

from connector.database import reading, writing
from connector.ids import as_id
from connector.letters import mail_words
from connector.letters.languages import LANGUAGES
from connector.letters.mail_preview import preview
from connector.letters.mail_words import LINES, TemplateError
from connector.letters.mails import MAILED
from connector.money import from_e4
from connector.people.invoices import UnknownInvoiceError
from connector.tables import CustomerRow, InvoiceRow
from connector.web.outbox import LETTER_POLICY, WITH_FRAME
from connector.web.pages import money, render
from connector.web.policy import Scope, scope_of
from connector.web.routes import Route
from connector.web.visit import NotHere, Visit
from policies.receivables import Step

_INVOICES_SHOWN = 8  # overdue ones, and as many that fall due
_LINE_MAX = 4000


class _Asked(NamedTuple):
    """Which mail is looked at: of which step, in which language, for whom."""

    scope: Scope
    step: Step
    language: str  # "": every language

    @property
    def read_in(self) -> str:
        return self.language or "en"

    def shipped(self) -> dict[str, str]:
        """The words that come with duewell, in the tone of the policy."""
        return mail_words.parse(mail_words.shipped(self.step, self.read_in, self.scope.policy.tone))


def listing(visit: Visit) -> Response:
    """List the mails there are, and whose words each uses."""
    with reading(visit.installation.engine) as session:
        scope = scope_of(visit, session, visit.query.get("company", ""))
        own = [row for row in mail_words.listing(session) if row.connection_id in {None, scope.id}]
    steps = [(step.value, [row for row in own if row.step == step.value]) for step in MAILED]
    return visit.page("words.html", scope=scope, steps=steps)


def edit(visit: Visit) -> Response:
    """Show the words of one mail, to be altered."""
    return _page(visit, visit.query.get("company", ""), visit.query.get("language", ""))


def letter(visit: Visit) -> Response:
    """Show what the words in force make of a real invoice, for the frame on the page."""
    with reading(visit.installation.engine) as session:
        asked = _asked(visit, session, visit.query.get("company", ""), visit.query.get("language", ""))
        chosen = next(iter(_invoices(visit, session, asked.scope)), None)
    return _letter(visit, asked, chosen["id"] if chosen else "", "")


def look(visit: Visit) -> Response:
    """Show in the frame what the words in the form make of the chosen invoice; nothing is kept."""
    with reading(visit.installation.engine) as session:
        asked = _asked(visit, session, visit.sent("company"), visit.sent("language"))
    return _letter(visit, asked, visit.sent("invoice"), _document(visit, asked))


def act(visit: Visit) -> Response:
    """Use the words in the form from now on, or the shipped ones again."""
    with reading(visit.installation.engine) as session:
        asked = _asked(visit, session, visit.sent("company"), visit.sent("language"))
    document = "" if visit.sent("do") == "reset" else _document(visit, asked)
    step, language, here = asked.step, asked.language, asked.scope.id
    by, at = visit.who.email, visit.now
    try:
        with writing(visit.installation.engine) as session:
            mail_words.set_words(session, document, step=step, language=language, connection_id=here, by=by, at=at)
    except TemplateError as problem:
        return _page(visit, visit.sent("company"), visit.sent("language"), problem=str(problem))
    kept = {"company": visit.sent("company"), "language": asked.language}
    return visit.go(visit.path, **{name: value for name, value in kept.items() if value}, said="words")


def _page(visit: Visit, company: str, language: str, problem: str = "") -> Response:
    with reading(visit.installation.engine) as session:
        asked = _asked(visit, session, company, language)
        own = mail_words.own(session, asked.scope.id, asked.step, asked.read_in)
        invoices = _invoices(visit, session, asked.scope)
    lines = {**asked.shipped(), **own}
    if problem:
        lines = {name: visit.sent(name, _LINE_MAX) for name in lines}
    answer = visit.page(
        "words_edit.html",
        422 if problem else 200,
        scope=asked.scope,
        step=asked.step.value,
        language=asked.language,
        languages=tuple(LANGUAGES),
        lines=lines,
        own=own,
        invoices=invoices,
        problem=problem,
    )
    answer.headers["Content-Security-Policy"] = WITH_FRAME
    return answer


def _letter(visit: Visit, asked: _Asked, invoice: str, document: str) -> Response:
    company, _, external_id = invoice.partition(":")
    headers = {"Content-Security-Policy": LETTER_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    try:
        with reading(visit.installation.engine) as session:
            row = visit.company(session, as_id(company))
        how = {"document": document, "language": asked.language}
        mail = preview(visit.installation, asked.step, external_id, connection_id=row.id, **how)
    except (TemplateError, UnknownInvoiceError) as problem:
        page = render("answer.html", title="No mail comes of this", lines=[str(problem)])
        return HTMLResponse(page, status_code=422, headers=headers)
    subject = f'<p style="font:1rem sans-serif;padding:0 1rem"><strong>Subject:</strong> {escape(mail.subject)}</p>'
    return HTMLResponse(re.sub(r"(<body[^>]*>)", rf"\g<1>{_literal(subject)}", mail.html, count=1), headers=headers)


def _literal(text: str) -> str:
    return text.replace("\\", r"\\")


def _document(visit: Visit, asked: _Asked) -> str:
    """Write down the lines that say something else than the shipped ones; none: "", the shipped ones are used."""
    sent = {name: visit.sent(name, _LINE_MAX + 1).replace("\r\n", "\n") for name in LINES if name in visit.form}
    different = {name: text for name, text in sent.items() if text != asked.shipped().get(name, "").strip()}
    return mail_words.written(different) if different else ""


def _asked(visit: Visit, session: Session, company: str, language: str) -> _Asked:
    if language and language not in LANGUAGES:
        raise NotHere
    try:
        step = Step(str(visit.parameters["step"]))
    except ValueError:
        raise NotHere from None
    if step not in MAILED:
        raise NotHere
    return _Asked(scope_of(visit, session, company), step, language)


def _invoices(visit: Visit, session: Session, scope: Scope) -> list[dict[str, str]]:
    """Offer real invoices to look at the mail with: overdue ones, the newest first, and some that fall due."""
    ids = [scope.id] if scope.company else [row.id for row in scope.companies]
    today, due_on = visit.now.date(), col(InvoiceRow.due_on)
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
    return [_offered(row, name) for row, name in found]


def _offered(row: InvoiceRow, name: str | None) -> dict[str, str]:
    words = f"{row.number}, {name or row.customer_id}, {money(from_e4(row.due_e4), row.currency)}, due {row.due_on}"
    return {"id": f"{row.connection_id}:{row.external_id}", "words": words}


ROUTES = (
    Route("GET", "/policy/mails", listing),
    Route("GET", "/policy/mails/{step}", edit),
    Route("GET", "/policy/mails/{step}/letter.html", letter),
    Route("POST", "/policy/mails/{step}/letter.html", look, "bookkeeper"),
    Route("POST", "/policy/mails/{step}", act, "bookkeeper", dangerous=True),
)
