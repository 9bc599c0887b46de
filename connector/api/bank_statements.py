"""Operations for bank statements: importing one, what its money pays, and decisions about it.

All need the scope `write`, also the lists: bank lines are not for everybody who may see invoices.
"""

from __future__ import annotations

import base64

from fastapi import APIRouter
from sqlmodel import Session
from starlette.responses import Response

from connector.api import bodies
from connector.api.api_route import ApiRoute, WriteCall
from connector.api.bodies import Id
from connector.api.call import Call, json_response
from connector.api.costly_calls import one_at_a_time
from connector.bank.csv_answers import CsvAnswers, apply_answers
from connector.bank.formats.bank_line import StatementError
from connector.bank.importing import ImportResult
from connector.db.engine import reading
from connector.errors import NotFound
from connector.services import bank_statements
from connector.services.bank_statements import DecidedMatch, MatchItem, ReceiptItem

router = APIRouter(route_class=ApiRoute, tags=["bank-statements"])
_MATCHES, _RECEIPTS = "/connections/{connection}/bank-matches", "/connections/{connection}/bank-receipts"


@router.post("/connections/{connection}/bank-statements", response_model=ImportResult)
def import_bank_statement(call: WriteCall, connection: str, body: bodies.BankStatementRequest) -> Response:
    """Import a bank statement (camt.053, camt.054, MT940, OFX, BAI2, CSV); one that was imported changes nothing."""
    connection_id = _connection_id(call, connection)
    try:
        content = base64.b64decode(body.content, validate=True)
    except ValueError:  # also for letters that no base64 has
        raise StatementError("The content is not base64.") from None
    answers = CsvAnswers(body.date_order, body.decimal_mark, body.currency, body.columns)
    with one_at_a_time(call.client):
        mapping = apply_answers(call.app, connection_id, content, answers) if answers.says_something else None
        result = bank_statements.import_file(
            call.app, connection_id, content, name=body.name, by=call.actor, mapping=mapping
        )
    return json_response(result)


@router.get(_MATCHES, response_model=list[MatchItem])
def list_bank_matches(call: WriteCall, connection: str) -> Response:
    """List money in the bank that is for an open invoice, or may be, and is not booked yet."""
    with reading(call.app.engine) as session:
        return json_response(bank_statements.list_matches(session, [_id(call, session, connection)]))


@router.get(_RECEIPTS, response_model=list[ReceiptItem])
def list_bank_receipts(call: WriteCall, connection: str) -> Response:
    """List payments in the bank that match no open invoice."""
    with reading(call.app.engine) as session:
        return json_response(bank_statements.list_unmatched(session, [_id(call, session, connection)]))


@router.post(f"{_MATCHES}/{{match}}/confirm", response_model=DecidedMatch)
def confirm_bank_match(call: WriteCall, connection: str, match: Id) -> Response:
    """Confirm a match; the payer is remembered."""
    _check_owner(call, connection, bank_statements.connection_of_match(call.app, match))
    return json_response(bank_statements.confirm_match(call.app, match, by=call.actor))


@router.post(f"{_MATCHES}/{{match}}/reject", response_model=DecidedMatch)
def reject_bank_match(call: WriteCall, connection: str, match: Id) -> Response:
    """Record that money is not for its invoice: nothing is held for it any more."""
    _check_owner(call, connection, bank_statements.connection_of_match(call.app, match))
    return json_response(bank_statements.reject_match(call.app, match, by=call.actor))


@router.post(f"{_RECEIPTS}/{{receipt}}/assign", response_model=DecidedMatch)
def assign_bank_receipt(call: WriteCall, connection: str, receipt: Id, body: bodies.AssignReceiptRequest) -> Response:
    """Record which invoice money is for, by its number."""
    _check_owner(call, connection, bank_statements.connection_of_receipt(call.app, receipt))
    return json_response(bank_statements.assign_receipt(call.app, receipt, body.invoice, by=call.actor))


@router.post(f"{_RECEIPTS}/{{receipt}}/set-aside", status_code=204, response_class=Response)
def set_aside_bank_receipt(call: WriteCall, connection: str, receipt: Id) -> Response:
    """Mark money as not a customer's payment."""
    _check_owner(call, connection, bank_statements.connection_of_receipt(call.app, receipt))
    bank_statements.set_aside(call.app, receipt, by=call.actor)
    return Response(status_code=204)


def _id(call: Call, session: Session, connection: str) -> int:
    return call.find_connection(session, connection).id or 0


def _connection_id(call: Call, connection: str) -> int:
    with reading(call.app.engine) as session:
        return _id(call, session, connection)


def _check_owner(call: Call, connection: str, owner_id: int) -> None:
    if _connection_id(call, connection) != owner_id:
        raise NotFound
