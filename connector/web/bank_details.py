"""The bank accounts that customers of a company pay into: entered, checked with one's own banking app, removed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from starlette.responses import Response

from connector.bank_details.accounts import ADDRESS_FIELDS, BankDetailsError
from connector.bank_details.code_image import draw_code
from connector.bank_details.payment_codes import build_transfer
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.errors import NotFound
from connector.services import bank_details
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_FIELDS = ("currency", "payee", "iban", "bank_code", "account_number", "bic", *ADDRESS_FIELDS, "use_creditor_reference")
_TEST_AMOUNT, _TEST_REFERENCE = Decimal("1.00"), "TEST"


def show_bank_details(request: PageRequest) -> Response:
    """Show the accounts in use and those that wait, and the form for another one."""
    return _render(request, {})


def _render(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the page; ``problems`` are what is wrong with the form, whose values stay."""
    with reading(request.app.engine) as session:
        company = request.company(session, request.path_id("company"))
        return request.render(
            "bank_details.html",
            422 if problems else 200,
            company=company,
            accounts=bank_details.list_items(session, company, request.now),
            missing=bank_details.list_missing_currencies(session, company, request.now),
            seen=bank_details.newest_id(session, company.id or 0),
            values={name: request.form_value(name) for name in (*_FIELDS, "confirmed")},
            problems=problems,
            wait_hours=int(bank_details.WAIT.total_seconds() // 3600),
        )


def enter_bank_details(request: PageRequest) -> Response:
    """Enter an account, after comparing it with a bank statement; it is used after a day, the first one at once."""
    company = _get_company(request)
    if request.form_value("confirmed") != "yes":
        return _render(request, {"confirmed": "Compare the account with a statement from your bank, and confirm that."})
    if (problem := _stale(request, company)) is not None:
        return problem
    values = {name: request.form_value(name) for name in _FIELDS}
    try:
        bank_details.set_bank_details(request.app, company.id or 0, values, by=request.actor.email)
    except BankDetailsError as error:
        return _render(request, error.fields)
    return _done(request, company, "bank_details_entered")


def remove_bank_details(request: PageRequest) -> Response:
    """Stop giving customers an account."""
    company = _get_company(request)
    if (problem := _stale(request, company)) is not None:
        return problem
    bank_details.remove_bank_details(
        request.app, company.id or 0, request.form_value("currency", 3), by=request.actor.email
    )
    return _done(request, company, "bank_details_removed")


def confirm_bank_details(request: PageRequest) -> Response:
    """Use an account that another owner entered at once."""
    company = _get_company(request)
    bank_details.confirm_bank_details(request.app, company.id or 0, request.path_id("row"), by=request.actor.email)
    return _done(request, company, "bank_details_confirmed")


def cancel_bank_details(request: PageRequest) -> Response:
    """Cancel an account that waits."""
    company = _get_company(request)
    bank_details.cancel_bank_details(request.app, company.id or 0, request.path_id("row"), by=request.actor.email)
    return _done(request, company, "bank_details_cancelled")


def show_test_code(request: PageRequest) -> Response:
    """Show a code that pays one unit of the currency, for the owner's own banking app; it is not to be sent."""
    company = _get_company(request)
    with reading(request.app.engine) as session:
        details = bank_details.find_details(session, company.id or 0, request.path_id("row"), request.now)
    transfer = build_transfer(details, _TEST_AMOUNT, [_TEST_REFERENCE])
    if transfer is None or not transfer.code:
        raise NotFound
    return Response(draw_code(transfer), media_type="image/png")


def _get_company(request: PageRequest) -> Connection:
    with reading(request.app.engine) as session:
        return request.company(session, request.path_id("company"))


def _stale(request: PageRequest, company: Connection) -> Response | None:
    """Return the page again where somebody else changed the bank details since it was read."""
    with reading(request.app.engine) as session:
        newest = bank_details.newest_id(session, company.id or 0)
    if request.form_value("seen", 20) == str(newest):
        return None
    return _render(request, {"currency": "Somebody changed the bank details meanwhile. Look at them, and try again."})


def _done(request: PageRequest, company: Connection, notice: str) -> Response:
    return request.redirect(f"/companies/{company.id}/bank-details", notice=notice)


_PATH = "/companies/{company:int}/bank-details"
ROUTES = (
    Route("GET", _PATH, show_bank_details, Role.BOOKKEEPER),
    Route("POST", _PATH, enter_bank_details, Role.OWNER, sensitive=True),
    Route("POST", f"{_PATH}/remove", remove_bank_details, Role.OWNER, sensitive=True),
    Route("POST", f"{_PATH}/{{row:int}}/confirm", confirm_bank_details, Role.OWNER, sensitive=True),
    Route("POST", f"{_PATH}/{{row:int}}/cancel", cancel_bank_details, Role.OWNER, sensitive=True),
    Route("GET", f"{_PATH}/{{row:int}}.png", show_test_code, Role.BOOKKEEPER),
)
