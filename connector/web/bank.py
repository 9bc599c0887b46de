"""The page of a company's bank statements: drop a file, see what its money may be for, and decide."""

from __future__ import annotations

import base64
from collections.abc import Callable

from sqlmodel import Session
from starlette.responses import Response

from connector.bank.csv_answers import CsvAnswers, apply_answers
from connector.bank.deciding import MatchDecisionError
from connector.bank.formats.bank_line import StatementError
from connector.bank.formats.csv_mapping import CsvField, CsvQuestion
from connector.connections import registry
from connector.db.engine import reading
from connector.db.ids import parse_id
from connector.db.tables import Connection
from connector.errors import InvalidField, NotFound, NotPossible
from connector.services import bank_statements
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route

UPLOAD_BYTES_MAX = 16 * 2**20
_SHOWN_MAX = 50
_KEPT_BYTES_MAX = 2**20  # of a file that comes back in the form of a question
_ASKED_COLUMNS = (CsvField.BOOKED_ON, CsvField.AMOUNT, CsvField.CREDIT, CsvField.DEBIT, CsvField.PAYER, CsvField.TEXT)


def show_bank(request: PageRequest) -> Response:
    """Show what money in the bank is for, what needs a decision, and the statements of late."""
    return _render(request, "")


def import_statement(request: PageRequest) -> Response:
    """Import a file; a CSV file may come back with a question, and the file in its form."""
    with reading(request.app.engine) as session:
        company = _get_company(request, session)
    try:
        name, content = _uploaded(request)
        answers = _answers(request)
        mapping = apply_answers(request.app, company.id or 0, content, answers) if answers.says_something else None
        result = bank_statements.import_file(
            request.app, company.id or 0, content, name=name, by=request.actor.email, mapping=mapping
        )
    except CsvQuestion as question:
        return _render(request, "", question=question, name=name, content=content)
    except StatementError as error:
        return _render(request, f"{error} Nothing was imported.")
    notice = "statement_known" if result.known else "statement_imported"
    return request.redirect(request.path, notice=notice, file=str(result.file))


def decide(request: PageRequest) -> Response:
    """Confirm or reject a match, set money aside, or say which invoice it is for."""
    with reading(request.app.engine) as session:
        company = _get_company(request, session)
    action, _colon, text = request.form_value("do").partition(":")
    number = parse_id(text)
    if number is None or action not in _ACTIONS:
        raise NotFound
    owner = bank_statements.connection_of_match if action in _OF_MATCHES else bank_statements.connection_of_receipt
    if owner(request.app, number) != company.id:
        raise NotFound
    try:
        notice = _ACTIONS[action](request, number)
    except InvalidField as error:
        return _render(request, str(error))
    return request.redirect(f"/companies/{company.id}/bank", notice=notice)


def _confirm(request: PageRequest, number: int) -> str:
    bank_statements.confirm_match(request.app, number, by=request.actor.email)
    return "match_confirmed"


def _reject(request: PageRequest, number: int) -> str:
    bank_statements.reject_match(request.app, number, by=request.actor.email)
    return "match_rejected"


def _set_aside(request: PageRequest, number: int) -> str:
    bank_statements.set_aside(request.app, number, by=request.actor.email)
    return "money_set_aside"


def _assign(request: PageRequest, number: int) -> str:
    invoice = request.form_value(f"invoice-{number}", 80)
    if not invoice:
        raise InvalidField("invoice", "Enter the number of the invoice that this money pays.")
    try:
        bank_statements.assign_receipt(request.app, number, invoice, by=request.actor.email)
    except MatchDecisionError as error:
        raise InvalidField("invoice", str(error)) from error
    return "match_confirmed"


_OF_MATCHES = ("confirm", "reject")
_ACTIONS: dict[str, Callable[[PageRequest, int], str]] = {
    "confirm": _confirm,
    "reject": _reject,
    "aside": _set_aside,
    "assign": _assign,
}


def _render(
    request: PageRequest,
    problem: str,
    *,
    question: CsvQuestion | None = None,
    name: str = "",
    content: bytes = b"",
) -> Response:
    with reading(request.app.engine) as session:
        company = _get_company(request, session)
        ids = [company.id or 0]
        sure = bank_statements.list_matches(session, ids, is_sure=True, limit=_SHOWN_MAX)
        probable = bank_statements.list_matches(session, ids, is_sure=False, limit=_SHOWN_MAX)
        sums = bank_statements.summarise_matches(session, ids)
        unmatched = bank_statements.list_unmatched(session, ids, limit=_SHOWN_MAX + 1)
        files = bank_statements.list_files(session, ids, limit=10)
    latest = next((each for each in files if str(each.id) == request.query.get("file", "")), None)
    return request.render(
        "bank.html",
        422 if problem or question else 200,
        company=company,
        can_import=company.health != registry.DISCONNECTED,
        problem=problem,
        question=question,
        asked_columns=_ASKED_COLUMNS,
        said_columns=_said_columns(request) if question and question.setting != "columns" else {},
        kept_name=name,
        kept_content=base64.b64encode(content).decode() if 0 < len(content) <= _KEPT_BYTES_MAX else "",
        sure=sure,
        probable=probable,
        sums=sums,
        unmatched=unmatched[:_SHOWN_MAX],
        has_more=len(unmatched) > _SHOWN_MAX,
        files=files,
        latest=latest,
        email_address=bank_statements.statement_address(request.app, company.id or 0),
        bank_page_url=bank_statements.bank_page_url(request.app, company.provider),
        provider_title=request.app.providers[company.provider].title
        if company.provider in request.app.providers
        else company.provider,
    )


def _uploaded(request: PageRequest) -> tuple[str, bytes]:
    """Return the file of the form: chosen now, or the one that a question was about."""
    file = request.files.get("statement")
    if file is not None and file.content:
        return file.name.replace("\\", "/").rpartition("/")[2] or "statement", file.content
    kept = next(iter(request.form.get("content", ())), "")
    if kept:
        try:
            return request.form_value("name", 200) or "statement", base64.b64decode(kept, validate=True)
        except ValueError:  # also for letters that no base64 has
            raise NotPossible("The file did not come back whole. Choose it again.") from None
    raise StatementError("Choose a file first.")


def _answers(request: PageRequest) -> CsvAnswers:
    return CsvAnswers(
        date_order=request.form_value("date_order", 10),
        decimal_mark=request.form_value("decimal_mark", 10),
        currency=request.form_value("currency", 10).upper(),
        columns=_said_columns(request),
    )


def _said_columns(request: PageRequest) -> dict[str, str]:
    """Return the columns that were chosen, which the form of the next question repeats."""
    columns = {each.value: request.form_value(f"column-{each.value}", 200) for each in _ASKED_COLUMNS}
    return {field: column for field, column in columns.items() if column}


def _get_company(request: PageRequest, session: Session) -> Connection:
    return request.company(session, request.path_id("company"))


ROUTES = (
    Route("GET", "/companies/{company:int}/bank", show_bank, Role.BOOKKEEPER),
    Route(
        "POST",
        "/companies/{company:int}/bank",
        import_statement,
        Role.BOOKKEEPER,
        upload_bytes_max=UPLOAD_BYTES_MAX,
    ),
    Route("POST", "/companies/{company:int}/bank/decide", decide, Role.BOOKKEEPER),
)
