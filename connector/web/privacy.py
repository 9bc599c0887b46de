"""A customer's personal data, for owners: exported as a file, erased, and the erasure undone."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import Response

from connector.db.engine import reading
from connector.errors import InvalidField, NotPossible
from connector.privacy import export
from connector.privacy.erase import EraseError, ReasonNamesCustomerError, erase, format_result, undo_erasure
from connector.services.pending_work import load_pending_work
from connector.vocabulary import Role
from connector.web.customers import get_customer
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_CUSTOMER_PATH = "/companies/{company:int}/customers/{customer}"
_NAME_MAX = 1000


def export_customer(request: PageRequest) -> Response:
    """Return everything stored about a customer as a JSON file."""
    with reading(request.app.engine) as session:
        _company, row = get_customer(request, session)
    document = export.build_document(request.app, row.connection_id, row.external_id, by=request.actor.email)
    name = quote(f"{row.name or row.external_id} {request.now:%Y-%m-%d}.json", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return Response(export.to_json(document), media_type="application/json", headers=headers)


def confirm_erase(request: PageRequest) -> Response:
    """Show what is erased and what is kept, and ask for a reason and the customer's name."""
    return _render_erase(request)


def erase_customer(request: PageRequest) -> Response:
    """Erase the customer if the typed name is theirs, and show what remains to be done."""
    with reading(request.app.engine) as session:
        _company, row = get_customer(request, session)
    reason = request.form_value("reason", 300)
    try:
        if not reason:
            raise InvalidField("reason", "Enter why it is erased.")
        if _normalise_name(request.form_value("name", _NAME_MAX)) != _normalise_name(row.name or row.external_id):
            raise InvalidField("name", "That is not the name of this customer.")
        result = erase(request.app, row.connection_id, row.external_id, by=request.actor.email, reason=reason)
    except InvalidField as error:
        return _render_erase(request, problems={error.field: str(error)})
    except ReasonNamesCustomerError as error:
        return _render_erase(request, problems={"reason": str(error)})
    except EraseError as error:
        return _render_erase(request, str(error))
    return request.render(
        "message.html", title="Erased", lines=format_result(result), link=request.path.removesuffix("/erase")
    )


def undo_erase(request: PageRequest) -> Response:
    """Undo the erasure of a customer: the next sync reads their data again."""
    with reading(request.app.engine) as session:
        _company, row = get_customer(request, session)
    try:
        undo_erasure(request.app, row.connection_id, row.external_id, by=request.actor.email)
    except EraseError as error:
        raise NotPossible(str(error)) from error
    return request.redirect(request.path.removesuffix("/erase/undo"), notice="erasure_undone")


def _render_erase(request: PageRequest, problem: str = "", problems: Mapping[str, str] | None = None) -> Response:
    """Show the form; ``problems`` are what is wrong with its fields, ``problem`` what else prevents the erasure."""
    with reading(request.app.engine) as session:
        company, row = get_customer(request, session)
        pending = load_pending_work(session, row.connection_id, row.external_id)
    return request.render(
        "customer_erase.html",
        422 if problems else 409 if problem else 200,
        company=company,
        customer=row,
        pending=pending,
        problem=problem,
        problems=problems or {},
        values={name: request.form_value(name, _NAME_MAX) for name in ("reason", "name")},
    )


def _normalise_name(name: str) -> str:
    """Return a name without differences in case and spacing."""
    return " ".join(name.split()).casefold()


ROUTES = (
    Route("POST", f"{_CUSTOMER_PATH}/export", export_customer, Role.OWNER, sensitive=True),
    Route("GET", f"{_CUSTOMER_PATH}/erase", confirm_erase, Role.OWNER),
    Route("POST", f"{_CUSTOMER_PATH}/erase", erase_customer, Role.OWNER, sensitive=True),
    Route("POST", f"{_CUSTOMER_PATH}/erase/undo", undo_erase, Role.OWNER, sensitive=True),
)
