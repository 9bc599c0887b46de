"""The search in the header of every page: GET /search?q=, which opens the invoice whose number was entered."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from connector.db.engine import reading
from connector.services.search import KIND_TITLES, PART_MIN, MatchKind, SearchMatch, find_everywhere
from connector.web.page_request import PageRequest, entity_url
from connector.web.routes import Route


def search(request: PageRequest) -> Response:
    """Show what was found over all companies of the user, grouped by kind."""
    with reading(request.app.engine) as session:
        companies = request.companies(session)
        result = find_everywhere(session, [row.id or 0 for row in companies], request.query.get("q", ""))
    only = result.only_exact_invoice
    if only is not None and request.query.get("all") != "yes":
        return RedirectResponse(match_url(only), status_code=303)
    groups = [(kind, title, result.of_kind(kind)) for kind, title in KIND_TITLES.items() if result.of_kind(kind)]
    return request.render(
        "search.html",
        result=result,
        groups=groups,
        show_company=len(companies) > 1,
        match_url=match_url,
        part_min=PART_MIN,
    )


def match_url(match: SearchMatch) -> str:
    """Return the page of what was found."""
    kind = "customers" if match.kind == MatchKind.CUSTOMER else "invoices"
    return entity_url(match.connection_id, kind, match.id)


ROUTES = (Route("GET", "/search", search),)
