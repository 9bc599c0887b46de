"""Runs for people: each opens to what it read, decided and did, with the vendors' answers and the calls it took."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.audit import log_search
from connector.audit.run_summary import format_calls, format_outcome
from connector.db.engine import reading
from connector.db.tables import Budget, SyncLogEntry, SyncRun
from connector.errors import NotFound
from connector.vocabulary import LogKind
from connector.web.log import parse_filter
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_LINES_SHOWN = 60
_SECTIONS = (
    ("What was read", (LogKind.ORGANISATION, LogKind.PULLED, LogKind.MALFORMED, LogKind.WARNING)),
    (
        "What left, and what was answered",
        (
            LogKind.EMAILED,
            LogKind.OWNER_NOTIFIED,
            LogKind.NOTED,
            LogKind.CHARGED,
            LogKind.WAIVED,
            LogKind.PROVIDER_REJECTED,
            LogKind.UNCONFIRMED,
            LogKind.APPROVAL_REQUESTED,
            LogKind.UNDELIVERED,
            LogKind.SUPPRESSED,
        ),
    ),
    ("Tasks for people", (LogKind.TASK, LogKind.TASK_OUTCOME)),
    (
        "What was decided, and why",
        (
            LogKind.DECIDED,
            LogKind.PLANNED,
            LogKind.DRY_RUN,
            LogKind.CANCELLED,
            LogKind.EMAIL_EDITED,
            LogKind.AGREEMENT,
            LogKind.EXCEPTION,
        ),
    ),
)
_BOUNDARY_KINDS = (LogKind.RUN_STARTED, LogKind.RUN_ENDED)


@dataclass(frozen=True, slots=True)
class RunSection:
    """One part of a run's story, in the order it happened; ``count`` is of all its lines."""

    title: str
    count: int
    lines: list[tuple[SyncLogEntry, int | None]]  # with the outbox entry a line is about


def list_runs(request: PageRequest) -> Response:
    """Show a page of runs."""
    with reading(request.app.engine) as session:
        asked = parse_filter(request, session)
        found = log_search.find_run_page(session, asked.query)
    told = [(run, _describe(run)) for run in found.rows]
    return request.render("runs.html", found=found, filter_form=asked, told=told)


def show_run(request: PageRequest) -> Response:
    """Show one run; while it is under way the page can load itself anew."""
    with reading(request.app.engine) as session:
        row = session.get(SyncRun, request.path_id("run"))
        if row is None:
            raise NotFound
        company = request.company(session, row.connection_id)
        parts = _build_sections(session, row, company.id or 0)
        named = log_search.names_of(session, [line for part in parts for line, _entry in part.lines])
        budget = select(Budget).where(col(Budget.connection_id) == company.id).order_by(col(Budget.limit_name))
        left = list(session.scalars(budget))
    return request.render(
        "run.html",
        run=row,
        told=_describe(row),
        company=company,
        parts=parts,
        named=named,
        calls=format_calls(row.counts or {}) or "none",
        left=left,
    )


def _build_sections(session: Session, row: SyncRun, company_id: int) -> list[RunSection]:
    counts = log_search.count_entries_by_kind(session, row.id or 0)
    grouped = {kind for _title, kinds in _SECTIONS for kind in kinds}
    rest = tuple(kind for kind in counts if kind not in grouped and kind not in _BOUNDARY_KINDS and kind != "sending")
    begun = () if row.outcome in {"ok", "deferred"} else (LogKind.SENDING,)  # what was begun is told by its end
    parts = []
    for title, kinds in (*_SECTIONS, ("Besides", (*rest, *begun))):
        wanted = log_search.LogFilter(
            company_ids=[company_id], run_id=row.id, kinds=[k for k in kinds if k in counts], after_id=0
        )
        if wanted.kinds:
            found = log_search.find_log_page(session, wanted, size=_LINES_SHOWN)
            lines = [(line, json.loads(line.facts).get("entry")) for line in reversed(found.rows)]
            parts.append(RunSection(title, sum(counts[kind] for kind in wanted.kinds), lines))
    return parts


def _describe(run: SyncRun) -> str:
    return format_outcome(run.outcome, run.reason, run.counts or {}) if run.outcome else "Under way."


ROUTES = (
    Route("GET", "/runs", list_runs),
    Route("GET", "/runs/{run:int}", show_run),
)
