"""Operations for the bank accounts that customers pay into."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from connector.api import bodies
from connector.api.api_route import AdminCall, ApiRoute, ReadCall
from connector.api.call import Call, json_response
from connector.db.engine import reading
from connector.services import bank_details
from connector.services.bank_details import BankDetailsItem

router = APIRouter(route_class=ApiRoute, tags=["bank-details"])
_PATH = "/connections/{connection}/bank-details"
CurrencyPath = Annotated[str, Path(pattern="^[A-Z]{3}$", description="ISO 4217.")]


@router.get(_PATH, response_model=list[BankDetailsItem])
def list_bank_details(call: ReadCall, connection: str) -> Response:
    """List the accounts that customers of a connection pay into: those in use, and those that wait."""
    with reading(call.app.engine) as session:
        row = call.find_connection(session, connection)
        return json_response(bank_details.list_items(session, row, call.now))


@router.put(f"{_PATH}/{{currency}}", response_model=BankDetailsItem)
def set_bank_details(
    call: AdminCall, connection: str, currency: CurrencyPath, body: bodies.BankDetailsRequest
) -> Response:
    """Enter the account for payments in a currency; every owner is emailed, and it waits for 24 hours.

    The first one that a connection ever has is in use at once.
    """
    values = {name: str(value).lower() if value is True else str(value or "") for name, value in body}
    item = bank_details.set_bank_details(
        call.app, _connection_id(call, connection), values | {"currency": currency}, by=call.actor
    )
    return json_response(item)


@router.delete(f"{_PATH}/{{currency}}", status_code=204, response_class=Response)
def remove_bank_details(call: AdminCall, connection: str, currency: CurrencyPath) -> Response:
    """Stop giving customers the account for a currency; one that waits is cancelled. Every owner is emailed."""
    bank_details.remove_bank_details(call.app, _connection_id(call, connection), currency, by=call.actor)
    return Response(status_code=204)


def _connection_id(call: Call, name: str) -> int:
    with reading(call.app.engine) as session:
        return call.find_connection(session, name).id or 0
