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

from connector.commands.spreadsheet import csv_lines
from connector.database import reading
from connector.ids import as_id
from connector.people import chain_check, log_search
from connector.tables import Connection, SyncLogEntry
from connector.web.routes import Route
from connector.web.visit import NotHere, NotPossible, Visit

CSV_LINES_MAX = 100_000
KINDS = (
    "run_started", "run_ended", "pulled", "organisation", "malformed", "warning", "odd", "decided", "planned",
    "calling", "mailed", "told_owner", "noted", "charged", "waiving", "waived", "task", "task_owner", "task_outcome",
    "refused", "doubt", "asked", "undelivered", "suppressed", "unplanned", "would", "edited", "approved", "rejected",
    "resolved", "customer_set", "invoice_set", "mode", "paused", "resumed", "connected", "disconnected", "reconnect",
    "policy_set", "restored", "user_added", "user_changed", "user_disabled", "user_reset", "password_chosen",
    "passkey_added", "passkey_removed", "passkey_rule", "signed_out", "keys_rotated", "exception", "agreement", "team",
    "token_made", "token_revoked", "customer_link", "backup", "erased", "compared", "drift", "erased_again",
    "erasure_undone", "exported", "pruned", "retention", "webhook", "webhook_made", "webhook_removed",
    "webhook_stopped", "writeback",
)  # fmt: skip
_FILTERS = ("company", "customer", "invoice", "run", "kind", "text", "since", "until")


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter as a person filled it in, checked."""

    wanted: log_search.Wanted
    companies: list[Connection]
    names: dict[int | None, str]
    chosen: int | None
    zone: str
    fields: dict[str, str]

    def address(self, path: str, **more: object) -> str:
        """The same filter, elsewhere."""
        given = {name: value for name, value in self.fields.items() if value} | more
        return path + (f"?{urlencode(given)}" if given else "")


def lines(visit: Visit) -> Response:
    """Show a page of lines."""
    with reading(visit.installation.engine) as session:
        asked = read_filter(visit, session)
        found = log_search.lines(session, asked.wanted)
        named = log_search.named(session, found.rows)
        going_on = log_search.under_way(session, asked.companies, visit.now)
        checked = chain_check.last(session)
    return visit.page(
        "log.html", found=found, named=named, asked=asked, kinds=KINDS, going_on=going_on, checked=checked
    )


def line(visit: Visit) -> Response:
    """Show one line with its facts and its seal."""
    with reading(visit.installation.engine) as session:
        row = session.get(SyncLogEntry, visit.number("line"))
        if row is None or not visit.who.sees(row.connection_id):
            raise NotHere
        company = session.get(Connection, row.connection_id) if row.connection_id is not None else None
        customer, number = log_search.named(session, [row])[row.id or 0]
    facts = json.loads(row.facts)
    return visit.page("log_line.html", line=row, company=company, facts=facts, customer=customer, number=number)


def chain(visit: Visit) -> Response:
    """Check the chain, from the first line to the last."""
    verdict = chain_check.check(visit.installation)
    return visit.page("chain.html", verdict=verdict)


def as_csv(visit: Visit) -> Response:
    """Give the lines of a filter to a spreadsheet."""
    with reading(visit.installation.engine) as session:
        asked = read_filter(visit, session)
    name = f"duewell-log-{visit.now:%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_csv(visit, asked), media_type="text/csv; charset=utf-8", headers=headers)


def _csv(visit: Visit, asked: Asked) -> Iterator[str]:
    head = ("id", "at (UTC)", "company", "run", "kind", "text", "customer id", "invoice id", "hash")
    with reading(visit.installation.engine) as session:
        rows = (
            (
                row.id,
                f"{row.at:%Y-%m-%d %H:%M:%S}",
                asked.names.get(row.connection_id, ""),
                row.run_id,
                *(row.kind, row.text, row.customer_id, row.invoice_id, row.hash),
            )
            for row in log_search.every_line(session, asked.wanted, CSV_LINES_MAX)
        )
        yield from csv_lines([head])
        yield from csv_lines(rows)


def read_filter(visit: Visit, session: Session) -> Asked:
    """Read and check what a person filled in."""
    companies = visit.companies(session)
    fields = {name: visit.query.get(name, "").strip()[:200] for name in _FILTERS}
    chosen = None
    if fields["company"]:
        chosen = as_id(fields["company"])
        visit.company(session, chosen)
    zone = next((row.time_zone for row in companies if row.id == chosen), "UTC")
    if len(companies) == 1:
        zone = companies[0].time_zone
    seen = None if visit.who.companies is None else [row.id or 0 for row in companies]
    wanted = log_search.Wanted(
        companies=seen if chosen is None else [chosen],
        run=as_id(fields["run"]),
        kind=fields["kind"],
        customer=fields["customer"],
        invoice=fields["invoice"],
        text=fields["text"],
        since_at=_day(fields["since"], zone),
        until_at=_day(fields["until"], zone, more_days=1),
        before=as_id(visit.query.get("before", "")),
        after=as_id(visit.query.get("after", "")),
    )
    return Asked(wanted, companies, {row.id: row.name for row in companies}, chosen, zone, fields)


def _day(text: str, zone: str, *, more_days: int = 0) -> datetime | None:
    if not text:
        return None
    try:
        on = date.fromisoformat(text) + timedelta(days=more_days)
        return datetime.combine(on, time(), ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is not a day; write it like 2026-12-31."
        raise NotPossible(message) from None


ROUTES = (
    Route("GET", "/log", lines),
    Route("GET", "/log.csv", as_csv),
    Route("GET", "/log/chain", chain),
    Route("GET", "/log/{line:int}", line),
)
