"""The sync log for people: its lines, each line's own address, CSV, and whether the chain holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
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
from connector.web.page_request import PageRequest
from connector.web.routes import Route

CSV_LINES_MAX = 100_000
LOG_KINDS = tuple(LogKind)
_FILTER_FIELDS = ("company", "customer", "invoice", "run", "kind", "text", "since", "until")


@dataclass(frozen=True, slots=True)
class FilterForm:
    """The filter as a person filled it in, checked."""

    query: log_search.LogFilter
    companies: list[Connection]
    company_names: dict[int | None, str]
    company_id: int | None
    time_zone: str
    fields: dict[str, str]

    def url(self, path: str, **more: object) -> str:
        """The same filter, elsewhere."""
        given = {name: value for name, value in self.fields.items() if value} | more
        return path + (f"?{urlencode(given)}" if given else "")


def list_lines(request: PageRequest) -> Response:
    """Show a page of lines."""
    with reading(request.app.engine) as session:
        asked = parse_filter(request, session)
        found = log_search.find_log_page(session, asked.query)
        named = log_search.names_of(session, found.rows)
        going_on = log_search.find_running(session, asked.companies, request.now)
        checked = chain_check.last_verification(session)
    return request.render(
        "log.html", found=found, named=named, filter_form=asked, kinds=LOG_KINDS, going_on=going_on, checked=checked
    )


def show_line(request: PageRequest) -> Response:
    """Show one line with its facts and its seal."""
    with reading(request.app.engine) as session:
        row = session.get(SyncLogEntry, request.path_id("line"))
        if row is None or not request.actor.can_see(row.connection_id):
            raise NotFound
        company = session.get(Connection, row.connection_id) if row.connection_id is not None else None
        customer, number = log_search.names_of(session, [row])[row.id or 0]
    facts = json.loads(row.facts)
    return request.render("log_line.html", line=row, company=company, facts=facts, customer=customer, number=number)


def show_chain(request: PageRequest) -> Response:
    """Check the chain, from the first line to the last."""
    verdict = chain_check.verify_log(request.app)
    return request.render("log_chain.html", verdict=verdict)


def export_csv(request: PageRequest) -> Response:
    """Give the lines of a filter to a spreadsheet."""
    with reading(request.app.engine) as session:
        asked = parse_filter(request, session)
    name = f"duewell-log-{request.now:%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_csv_rows(request, asked), media_type="text/csv; charset=utf-8", headers=headers)


def _csv_rows(request: PageRequest, filter_form: FilterForm) -> Iterator[str]:
    head = ("id", "at (UTC)", "company", "run", "kind", "text", "customer id", "invoice id", "hash")
    with reading(request.app.engine) as session:
        rows = (
            (
                row.id,
                f"{row.at:%Y-%m-%d %H:%M:%S}",
                filter_form.company_names.get(row.connection_id, ""),
                row.run_id,
                *(row.kind, row.text, row.customer_id, row.invoice_id, row.hash),
            )
            for row in log_search.iter_entries(session, filter_form.query, CSV_LINES_MAX)
        )
        yield from csv_lines([head])
        yield from csv_lines(rows)


def parse_filter(request: PageRequest, session: Session) -> FilterForm:
    """Read and check what a person filled in."""
    companies = request.companies(session)
    fields = {name: request.query.get(name, "").strip()[:200] for name in _FILTER_FIELDS}
    chosen = None
    if fields["company"]:
        chosen = parse_id(fields["company"])
        request.company(session, chosen)
    zone = next((row.time_zone for row in companies if row.id == chosen), "UTC")
    if len(companies) == 1:
        zone = companies[0].time_zone
    seen = None if request.actor.companies is None else [row.id or 0 for row in companies]
    wanted = log_search.LogFilter(
        company_ids=seen if chosen is None else [chosen],
        run_id=parse_id(fields["run"]),
        kind=fields["kind"],
        customer=fields["customer"],
        invoice=fields["invoice"],
        text=fields["text"],
        since_at=_parse_date(fields["since"], zone),
        until_at=_parse_date(fields["until"], zone, extra_days=1),
        before_id=parse_id(request.query.get("before", "")),
        after_id=parse_id(request.query.get("after", "")),
    )
    return FilterForm(wanted, companies, {row.id: row.name for row in companies}, chosen, zone, fields)


def _parse_date(text: str, time_zone: str, *, extra_days: int = 0) -> datetime | None:
    if not text:
        return None
    try:
        on = date.fromisoformat(text) + timedelta(days=extra_days)
        return datetime.combine(on, time(), ZoneInfo(time_zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is not a day; write it like 2026-12-31."
        raise NotPossible(message) from None


ROUTES = (
    Route("GET", "/log", list_lines),
    Route("GET", "/log.csv", export_csv),
    Route("GET", "/log/chain", show_chain),
    Route("GET", "/log/{line:int}", show_line),
)
