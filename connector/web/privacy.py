"""One customer's data, for owners: everything held about him as a file, erased by name, and taken back."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from connector.database import reading
from connector.privacy import export
from connector.privacy.erase import EraseError, erase, in_words, undo
from connector.web.customers import customer_of
from connector.web.routes import Route
from connector.web.visit import NotPossible, Visit

_PAGE = "/companies/{company:int}/customers/{customer}"
_NAME_MAX = 1000


def download(visit: Visit) -> Response:
    """Send everything held about a customer as one document, which opens in any browser or editor."""
    with reading(visit.installation.engine) as session:
        _company, row = customer_of(visit, session)
    told = export.document(visit.installation, row.connection_id, row.external_id, by=visit.who.email)
    name = quote(f"{row.name or row.external_id} {visit.now:%Y-%m-%d}.json", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return Response(export.as_json(told), media_type="application/json", headers=headers)


def ask(visit: Visit) -> Response:
    """Say what goes and what stays, and ask for the customer's name."""
    return _page(visit)


def erase_him(visit: Visit) -> Response:
    """Erase the customer whose name was typed, and say what is left to do."""
    with reading(visit.installation.engine) as session:
        _company, row = customer_of(visit, session)
    if _plain(visit.sent("name", _NAME_MAX)) != _plain(row.name or row.external_id):
        return _page(visit, "That is not the name of this customer.")
    try:
        told = erase(visit.installation, row.connection_id, row.external_id, by=visit.who.email)
    except EraseError as problem:
        return _page(visit, str(problem))
    return visit.page("answer.html", title="Erased", lines=in_words(told), link=visit.path.removesuffix("/erase"))


def take_back(visit: Visit) -> Response:
    """Take an erased customer back."""
    with reading(visit.installation.engine) as session:
        _company, row = customer_of(visit, session)
    try:
        undo(visit.installation, row.connection_id, row.external_id, by=visit.who.email)
    except EraseError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go(visit.path.removesuffix("/erase/undo"), said="taken_back")


def _page(visit: Visit, problem: str = "") -> Response:
    with reading(visit.installation.engine) as session:
        company, row = customer_of(visit, session)
    return visit.page("customer_erase.html", 409 if problem else 200, company=company, customer=row, problem=problem)


def _plain(name: str) -> str:
    """Make of a name what counts when it is typed: not its capitals, nor how wide its blanks are."""
    return " ".join(name.split()).casefold()


ROUTES = (
    Route("POST", f"{_PAGE}/export", download, "owner", dangerous=True),
    Route("GET", f"{_PAGE}/erase", ask, "owner"),
    Route("POST", f"{_PAGE}/erase", erase_him, "owner", dangerous=True),
    Route("POST", f"{_PAGE}/erase/undo", take_back, "owner", dangerous=True),
)
