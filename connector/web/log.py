"""The sync log: its lines found by a filter, each on a page of its own, as CSV, and its hash chain verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlmodel import Session
from starlette.responses import Response, StreamingResponse

from connector.audit import chain_check, log_search
from connector.db.engine import reading
from connector.db.ids import parse_id
from connector.db.tables import Connection, SyncLogEntry
from connector.errors import NotFound, NotPossible
from connector.reports.csv_export import csv_lines
from connector.vocabulary import LogKind
from connector.vocabulary.labels import label
from connector.web.page_request import CompanyFilter, PageRequest, build_url
from connector.web.routes import Route

CSV_LINES_MAX = 100_000
LOG_KINDS = tuple(LogKind)
_FILTER_FIELDS = ("company", "customer", "invoice", "run", "kind", "text", "since", "until")


@dataclass(frozen=True, slots=True)
class FilterForm:
    """A filter of the log as it was filled in, and the query it stands for."""

    query: log_search.LogFilter
    company_filter: CompanyFilter
    time_zone: str
    fields: dict[str, str]

    @property
    def company_names(self) -> dict[int | None, str]:
        """The names of the companies the user sees, by id."""
        return {row.id: row.name for row in self.company_filter.companies}

    def url(self, path: str, **more: object) -> str:
        """Return a path with this filter as its query parameters."""
        return build_url(path, **self.fields, **more)


def list_lines(request: PageRequest) -> Response:
    """Show a page of lines."""
    with reading(request.app.engine) as session:
        filter_form = parse_filter(request, session)
        page = log_search.find_log_page(session, filter_form.query)
        return request.render(
            "log.html",
            page=page,
            line_names=log_search.names_of(session, page.rows),
            filter_form=filter_form,
            kinds=LOG_KINDS,
            running=log_search.find_running(session, filter_form.company_filter.companies, request.now),
            verification=chain_check.last_verification(session),
        )


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


def export_csv(request: PageRequest) -> Response:
    """Return the lines that match a filter as CSV."""
    with reading(request.app.engine) as session:
        filter_form = parse_filter(request, session)
    headers = {"Content-Disposition": f'attachment; filename="duewell-log-{request.now:%Y-%m-%d}.csv"'}
    return StreamingResponse(_csv_rows(request, filter_form), media_type="text/csv; charset=utf-8", headers=headers)


def _csv_rows(request: PageRequest, filter_form: FilterForm) -> Iterator[str]:
    headings = ("id", "at (UTC)", "company", "run", "kind", "text", "customer id", "invoice id", "hash")
    names = filter_form.company_names
    with reading(request.app.engine) as session:
        rows = (
            (
                row.id,
                f"{row.at:%Y-%m-%d %H:%M:%S}",
                names.get(row.connection_id, ""),
                row.run_id,
                *(label(row.kind, "log_kind"), row.text, row.customer_id, row.invoice_id, row.hash),
            )
            for row in log_search.iter_entries(session, filter_form.query, CSV_LINES_MAX)
        )
        yield from csv_lines([headings])
        yield from csv_lines(rows)


def parse_filter(request: PageRequest, session: Session) -> FilterForm:
    """Return the filter in the query parameters; raises ``NotFound`` or ``NotPossible`` where it is not valid."""
    company_filter = request.company_filter(session)
    companies, selected_id = company_filter.companies, company_filter.selected_id
    fields = {name: request.query.get(name, "").strip()[:200] for name in _FILTER_FIELDS}
    time_zone = company_filter.shown[0].time_zone if len(company_filter.shown) == 1 else "UTC"
    visible_ids = None if request.actor.companies is None else [row.id or 0 for row in companies]
    query = log_search.LogFilter(
        company_ids=visible_ids if selected_id is None else [selected_id],
        run_id=parse_id(fields["run"]),
        kind=fields["kind"],
        customer=fields["customer"],
        invoice=fields["invoice"],
        text=fields["text"],
        since_at=_parse_date(fields["since"], time_zone),
        until_at=_parse_date(fields["until"], time_zone, extra_days=1),
        before_id=parse_id(request.query.get("before", "")),
        after_id=parse_id(request.query.get("after", "")),
    )
    return FilterForm(query, company_filter, time_zone, fields)


def _parse_date(text: str, time_zone: str, *, extra_days: int = 0) -> datetime | None:
    if not text:
        return None
    try:
        on = date.fromisoformat(text) + timedelta(days=extra_days)
        return datetime.combine(on, time(), ZoneInfo(time_zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotPossible(f"{text!r} is not a valid date. Enter it as 2026-12-31.") from None


ROUTES = (
    Route("GET", "/log", list_lines),
    Route("GET", "/log.csv", export_csv),
    Route("GET", "/log/chain", show_chain),
    Route("GET", "/log/{line:int}", show_line),
)
