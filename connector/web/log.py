"""The lines of the sync log, each on a page of its own, and its hash chain verified."""

from __future__ import annotations

import json

from starlette.responses import Response

from connector.audit import chain_check, log_search
from connector.db.engine import reading
from connector.db.tables import Connection, SyncLogEntry
from connector.errors import NotFound
from connector.web.page_request import PageRequest
from connector.web.routes import Route


def show_line(request: PageRequest) -> Response:
    """Show one line with its facts and hashes."""
    with reading(request.app.engine) as session:
        row = session.get(SyncLogEntry, request.path_id("line"))
        if row is None or not request.actor.can_see(row.connection_id):
            raise NotFound
        company = session.get(Connection, row.connection_id) if row.connection_id is not None else None
        customer, number = log_search.names_of(session, [row])[row.id or 0]
    facts = json.loads(row.facts)
    return request.render("log_line.html", line=row, company=company, facts=facts, customer=customer, number=number)


def show_chain(request: PageRequest) -> Response:
    """Verify the hash chain from the first line to the last, and show the result."""
    return request.render("log_chain.html", verdict=chain_check.verify_log(request.app))


ROUTES = (
    Route("GET", "/log/chain", show_chain),
    Route("GET", "/log/{line:int}", show_line),
)
