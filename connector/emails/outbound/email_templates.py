"""A user's own words for a step's mail: one TOML document per step (and language), checked before it counts.

Every line is a minijinja template that runs on a budget and sees plain strings alone; nothing in it can call anything.
Versions are kept: an empty document brings the shipped words back.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import EmailTemplate
from connector.emails.layout import load_step_lines
from connector.emails.outbound import render
from connector.emails.outbound.email_facts import EmailFacts, FeeWarning, InvoiceLine, PaidLine
from connector.languages import LANGUAGES, language_of
from policies.receivables import Discount, Step

LINE_NAMES = ("subject", "heading", "opening", "closing")
_LINE_LENGTH_MAX = 4000
_TODAY = date(2026, 11, 21)


class TemplateError(Exception):
    """A document that makes no mail; ``str()`` says what is wrong, and in which line of the mail."""


def find_custom_lines(session: Session, connection_id: int | None, step: Step, language: str) -> dict[str, str]:
    """Give the user's words for a mail: the company's before the general, its language's before every language's."""
    code = language_of(language).code
    for where in dict.fromkeys((connection_id, None)):
        for tongue in (code, ""):
            document = _latest_document(session, where, step, tongue)
            if document:
                return parse_document(document)
    return {}


def list_templates(session: Session) -> list[EmailTemplate]:
    """List what is in force, the newest of each; those that were taken back are left out."""
    rows = session.scalars(select(EmailTemplate).order_by(col(EmailTemplate.id)))
    newest = {(row.connection_id, row.step, row.language): row for row in rows}
    return [row for row in newest.values() if row.document]


def save_template(
    session: Session, document: str, *, step: Step, language: str, connection_id: int | None, by: str, at: datetime
) -> None:
    """Put a document in force from now on; "" brings the shipped words back. Raises ``TemplateError``."""
    if language and language not in LANGUAGES:
        message = f"There are no texts in {language!r}; there are: {', '.join(LANGUAGES)}."
        raise TemplateError(message)
    if document:
        check_document(document, step)
    elif step not in render.EMAIL_STEPS:
        raise TemplateError(_not_an_email_step(step))
    row = EmailTemplate(
        connection_id=connection_id, step=step.value, language=language, document=document, set_by=by, set_at=at
    )
    session.add(row)


def default_document(step: Step, language: str, tone: str) -> str:
    """Write the shipped words of a step as a document that can be edited and set."""
    if step not in render.EMAIL_STEPS:
        raise TemplateError(_not_an_email_step(step))
    said = load_step_lines(language_of(language).code, step, tone)
    return format_document(said)


def format_document(lines: Mapping[str, str]) -> str:
    """Write words as a document."""
    return "\n".join(f"{name} = {_toml_string(lines[name])}" for name in LINE_NAMES if name in lines) + "\n"


def parse_document(document: str) -> dict[str, str]:
    """Read a document; raises ``TemplateError``."""
    try:
        table = tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        raise TemplateError(f"This is no TOML: {error}.") from error
    unknown = sorted(set(table) - set(LINE_NAMES))
    if unknown or not table:
        what = f"There is no line called {', '.join(unknown)}" if unknown else "It says nothing"
        raise TemplateError(f"{what}; a document has some of: {', '.join(LINE_NAMES)}.")
    for name, text in table.items():
        if not isinstance(text, str) or not text.strip() or len(text) > _LINE_LENGTH_MAX:
            raise TemplateError(f"{name} must be a text of up to {_LINE_LENGTH_MAX} signs, and not empty.")
    return dict(table)


def check_document(document: str, step: Step) -> None:
    """Write the mails of this step with these words, about one invoice and about many; raises ``TemplateError``."""
    words = parse_document(document)
    if step not in render.EMAIL_STEPS:
        raise TemplateError(_not_an_email_step(step))
    for count in (1, 3, 60):
        try:
            mail = render.compose_email(replace(_example_facts(step, count), template_lines=words))
        except render.EmailError as error:
            raise TemplateError(str(error)) from error
        if not mail.subject.strip():
            raise TemplateError(f"The subject is empty where the mail is about {count} invoices.")


def _latest_document(session: Session, connection_id: int | None, step: Step, language: str) -> str:
    where = col(EmailTemplate.connection_id)
    query = select(EmailTemplate).where(
        where.is_(None) if connection_id is None else where == connection_id,
        col(EmailTemplate.step) == step.value,
        col(EmailTemplate.language) == language,
    )
    found = session.scalars(query.order_by(col(EmailTemplate.id).desc()).limit(1)).first()
    return found.document if found is not None else ""


def _example_facts(step: Step, count: int) -> EmailFacts:
    """Tell a story that has everything words may name."""
    late = 0 if step is Step.DUE_TODAY else 19
    early = step in {Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING, Step.BEFORE_DUE}
    sums = Decimal("1200.00")
    line = InvoiceLine("INV-1", date(2026, 10, 3), date(2026, 11, 2), sums, sums, -7 if early else late)
    numbers: Mapping[int, str] = {place: f"INV-{place}" for place in range(count)}
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
        invoices=[replace(line, number=number) for number in numbers.values()] if step is not Step.THANK_YOU else (),
        fee=FeeWarning("per_month", Decimal("1.5"), _TODAY),
        discount=Discount(Decimal(16), _TODAY),
        suspension_on=_TODAY,
        promised_on=_TODAY,
        paid=[PaidLine(number, sums, _TODAY) for number in numbers.values()] if step is Step.THANK_YOU else (),
    )


def _toml_string(text: str) -> str:
    plain = text.strip().replace("\\", "\\\\").replace('"""', '\\"""')
    return f'"""\n{plain}"""' if "\n" in plain or '"' in plain or len(plain) > 80 else f'"{plain}"'


def _not_an_email_step(step: Step) -> str:
    return f"{step.value} is no mail; mails are: {', '.join(each.value for each in render.EMAIL_STEPS)}."
