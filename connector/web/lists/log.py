"""The page of the lines of the sync log."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from sqlmodel import Session
from starlette.responses import Response

from connector.audit import chain_check, log_search
from connector.db.engine import reading
from connector.services.lists import log as listed
from connector.services.lists.engine import Key
from connector.services.lists.log import LogLine
from connector.vocabulary.labels import label
from connector.web.lists.page import list_routes
from connector.web.lists.shown import load_list, render_list
from connector.web.lists.view import Cell, Column, ListView, Narrow, Row, utc_text
from connector.web.page_request import PageRequest, entity_url
from connector.web.rendering import PageTime

_LINK = Markup('<a href="{}">{}</a>')


def list_lines(request: PageRequest) -> Response:
    """Show a page of lines, below the syncs under way and whether the log was verified."""
    with reading(request.app.engine) as session:
        shown = load_list(VIEW, request, session, request.query)
        running = log_search.find_running(session, shown.company_filter.companies, request.now)
        verification = chain_check.last_verification(session)
    names = {row.id: row.name for row in shown.company_filter.companies}
    return render_list(shown, undo=None, running=running, company_names=names, verification=verification)


def load_rows(_request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some lines."""
    return [_row(line) for line in listed.load_lines(session, keys)]


def _row(line: LogLine) -> Row:
    row, company = line.row, line.company
    kind = label(row.kind, "log_kind")
    return Row(
        key=(row.id,),
        version="",
        title=f"line {row.id}",
        cells=(
            Cell(PageTime(row.at, company.time_zone if company else "UTC"), f"/log/{row.id}"),
            Cell(company.name if company else "–"),
            Cell(kind),
            Cell(row.text, note=_links(line)),
        ),
        exported=(
            *(row.id, utc_text(row.at), company.name if company else "", row.run_id, kind, row.text),
            *(row.customer_id, row.invoice_id, row.hash),
        ),
    )


def _links(line: LogLine) -> Markup:
    """Return the links to what a line is about."""
    row, found = line.row, []
    if line.customer and row.connection_id is not None:
        found.append(_LINK.format(entity_url(row.connection_id, "customers", row.customer_id), line.customer))
    if line.number and row.connection_id is not None:
        found.append(_LINK.format(entity_url(row.connection_id, "invoices", row.invoice_id), line.number))
    if row.run_id:
        found.append(_LINK.format(f"/runs/{row.run_id}", f"sync {row.run_id}"))
    return Markup(" · ").join(found)


VIEW = ListView(
    path="/log",
    title="Sync log",
    singular="line",
    plural="lines",
    listing=listed.LISTING,
    columns=(
        Column("Time", "id"),
        Column("Company", "company", is_company=True),
        Column("Kind", "kind", narrow=Narrow.SIDE),
        Column("Text", narrow=Narrow.SECOND),
    ),
    load=load_rows,
    csv_headings=("id", "at (UTC)", "company", "run", "kind", "text", "customer id", "invoice id", "hash"),
    empty="No lines yet. They appear with the first sync.",
    prominent=("customer", "invoice", "kind"),
    template="log.html",
    with_general=True,
)
ROUTES = list_routes(VIEW, act=False, show=list_lines)
