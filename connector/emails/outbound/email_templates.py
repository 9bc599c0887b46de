"""A user's own texts for the email of a step: one TOML document per step and language, checked before it is saved.

Every line is a minijinja template with a budget that sees plain strings alone; nothing in it can call anything.
Versions are kept: saving an empty document restores the shipped text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import EmailTemplate, OutboxEntry
from connector.emails.layout import load_texts
from connector.emails.outbound import render
from connector.emails.outbound.email_facts import EmailFacts, FeeKind, FeeWarning, InvoiceLine, PaidLine
from connector.emails.outbound.email_sums import BEFORE_DUE_STEPS
from connector.languages import LANGUAGES, language_of
from connector.outbox.approvals import record_change
from connector.outbox.entries import UNSENT_STATES
from connector.results import Result, optional
from connector.vocabulary import OutboxKind, TemplateOrigin
from policies.bank_numbers import WHERE_TO_ENTER, find_bank_account
from policies.receivables import Discount, Step

LINE_NAMES = ("subject", "heading", "opening", "closing")
_LINE_LENGTH_MAX = 4000
_TODAY = date(2026, 11, 21)


class TemplateError(Exception):
    """A document that makes no email; ``str()`` says what is wrong, and in which line."""


def find_custom_lines(session: Session, connection_id: int | None, step: Step, language: str) -> dict[str, str]:
    """Return the user's own lines for an email, or {}.

    The company's template wins over the general one, one in the email's language over one for every language.
    """
    code = language_of(language).code
    for company in dict.fromkeys((connection_id, None)):
        for template_language in (code, ""):
            document = _latest_document(session, company, step, template_language)
            if document:
                return parse_document(document)
    return {}


class TemplateItem(Result):
    """A template in force: the shipped text or a custom one, for all companies or one."""

    id: str
    step: Step
    text: TemplateOrigin = TemplateOrigin.DEFAULT
    language: str = "all"
    connection: int | None = None
    set_by: str = optional("")
    set_at: datetime | None = optional()


def list_templates(session: Session) -> list[EmailTemplate]:
    """Return the templates in force; those that were reset are left out."""
    rows = session.scalars(select(EmailTemplate).order_by(col(EmailTemplate.id)))
    newest = {(row.connection_id, row.step, row.language): row for row in rows}
    return [row for row in newest.values() if row.document]


def list_steps(session: Session) -> list[TemplateItem]:
    """List the templates in force, and the shipped one for each email step without any."""
    own = list_templates(session)
    named = {row.step for row in own}
    return [
        *(
            TemplateItem(
                id=f"{row.connection_id or ''}:{row.step}:{row.language}",
                step=Step(row.step),
                text=TemplateOrigin.CUSTOM,
                language=row.language or "all",
                connection=row.connection_id,
                set_by=row.set_by,
                set_at=row.set_at,
            )
            for row in own
        ),
        *(TemplateItem(id=f":{step}:", step=step) for step in render.EMAIL_STEPS if step not in named),
    ]


def save_template(
    session: Session, document: str, *, step: Step, language: str, connection_id: int | None, by: str, at: datetime
) -> None:
    """Activate a template document; "" restores the shipped text. Raises ``TemplateError``.

    Unsent emails that it may word otherwise have changed: one that was approved awaits approval again.
    """
    if language and language not in LANGUAGES:
        message = f"There are no texts in {language!r}; choose one of {', '.join(LANGUAGES)}."
        raise TemplateError(message)
    if document:
        check_document(document, step)
    else:
        require_email_step(step)
    row = EmailTemplate(
        connection_id=connection_id, step=step.value, language=language, document=document, set_by=by, set_at=at
    )
    session.add(row)
    worded_by_it = (col(OutboxEntry.kind) == OutboxKind.EMAIL, col(OutboxEntry.step) == step.value)
    query = select(OutboxEntry).where(col(OutboxEntry.state).in_(UNSENT_STATES), *worded_by_it)
    if connection_id is not None:
        query = query.where(col(OutboxEntry.connection_id) == connection_id)
    for entry in session.scalars(query.order_by(col(OutboxEntry.id))):
        if not entry.custom_text:  # a user's own text replaces the template's
            record_change(session, entry, by=by, at=at)


def default_document(step: Step, language: str, tone: str) -> str:
    """Return the shipped text of a step as a document to edit and save. Raises ``TemplateError``."""
    require_email_step(step)
    return format_document(load_texts(language_of(language).code).step_lines(step, tone))


def format_document(lines: Mapping[str, str]) -> str:
    """Return lines as a document."""
    return "\n".join(f"{name} = {_toml_string(lines[name])}" for name in LINE_NAMES if name in lines) + "\n"


def parse_document(document: str) -> dict[str, str]:
    """Return the lines of a document. Raises ``TemplateError``."""
    try:
        table = tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        raise TemplateError(f"This is not valid TOML: {error}.") from error
    unknown = sorted(set(table) - set(LINE_NAMES))
    if unknown or not table:
        problem = f"There is no line called {', '.join(unknown)}" if unknown else "The document is empty"
        raise TemplateError(f"{problem}; it can have: {', '.join(LINE_NAMES)}.")
    for name, text in table.items():
        if not isinstance(text, str) or not text.strip() or len(text) > _LINE_LENGTH_MAX:
            raise TemplateError(f"{name} must be a text of 1 to {_LINE_LENGTH_MAX} characters.")
        if account := find_bank_account(text):
            raise TemplateError(f"{name} has a bank account, {account!r}. {WHERE_TO_ENTER}: emails then name it.")
    return dict(table)


def check_document(document: str, step: Step) -> None:
    """Compose example emails with this document, about one invoice and about many. Raises ``TemplateError``."""
    lines = parse_document(document)
    require_email_step(step)
    for count in (1, 3, 60):
        try:
            email = render.compose_email(replace(example_facts(step, count), template_lines=lines))
        except render.EmailError as error:
            raise TemplateError(str(error)) from error
        if not email.subject.strip():
            raise TemplateError(f"The subject is empty when the email is about {count} invoices.")


def require_email_step(step: Step) -> None:
    """Raise ``TemplateError`` for a step that is not an email."""
    if step not in render.EMAIL_STEPS:
        raise TemplateError(f"{step} is not an email; the emails are: {', '.join(render.EMAIL_STEPS)}.")


def _latest_document(session: Session, connection_id: int | None, step: Step, language: str) -> str:
    found = find_saved(session, connection_id, step, language)
    return found.document if found is not None else ""


def find_saved(session: Session, connection_id: int | None, step: Step, language: str) -> EmailTemplate | None:
    """Return what was last saved for exactly this company, step and language, also where that was a reset."""
    company = col(EmailTemplate.connection_id)
    query = select(EmailTemplate).where(
        company.is_(None) if connection_id is None else company == connection_id,
        col(EmailTemplate.step) == step.value,
        col(EmailTemplate.language) == language,
    )
    return session.scalars(query.order_by(col(EmailTemplate.id).desc()).limit(1)).first()


def example_facts(step: Step, count: int) -> EmailFacts:
    """Return invented facts with a value for every placeholder, for checks and previews."""
    overdue = 0 if step is Step.DUE_TODAY else 19
    days_late = -7 if step in BEFORE_DUE_STEPS else overdue
    amount = Decimal("1200.00")
    line = InvoiceLine("INV-1", date(2026, 10, 3), date(2026, 11, 2), amount, amount, days_late)
    numbers = [f"INV-{number}" for number in range(count)]
    return EmailFacts(
        key="example",
        attempt=1,
        step=step,
        to=("maria@blue.example",),
        company_name="Harbour Lights Ltd",
        customer_name="Blue & Sons",
        sender="billing@harbour.example",
        currency="EUR",
        contact_name="Maria Blue",
        invoices=[replace(line, number=number) for number in numbers] if step is not Step.THANK_YOU else (),
        fee=FeeWarning(FeeKind.PER_MONTH, Decimal("1.5"), _TODAY),
        discount=Discount(Decimal(16), _TODAY),
        suspension_on=_TODAY,
        promised_on=_TODAY,
        promised_amount=amount if count > 1 else None,
        thanked_on=_TODAY,
        paid=[PaidLine(number, amount, _TODAY) for number in numbers] if step is Step.THANK_YOU else (),
    )


def _toml_string(text: str) -> str:
    plain = text.strip().replace("\\", "\\\\").replace('"""', '\\"""')
    return f'"""\n{plain}"""' if "\n" in plain or '"' in plain or len(plain) > 80 else f'"{plain}"'
