"""Runs for people: each opens to what it read, decided and did, with the vendors' answers and the calls it took."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.database import reading
from connector.people import log_search
from connector.story import calls_made, summary
from connector.tables import Budget, SyncLogEntry, SyncRun
from connector.web.log import read_filter
from connector.web.routes import Route
from connector.web.visit import NotHere, Visit

_SHOWN_MAX = 60
_PARTS = (
    ("What was read", ("organisation", "pulled", "malformed", "warning")),
    (
        "What left, and what was answered",
        (
            "mailed",
            "told_owner",
            "noted",
            "charged",
            "waived",
            "refused",
            "doubt",
            "asked",
            "undelivered",
            "suppressed",
        ),
    ),
    ("Tasks for people", ("task", "task_outcome")),
    ("What was decided, and why", ("decided", "planned", "would", "unplanned", "edited", "agreement", "exception")),
)
_ENDS = ("run_started", "run_ended")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a run's story, in the order it happened; ``count`` is of all its lines."""

    title: str
    count: int
    lines: list[tuple[SyncLogEntry, int | None]]  # with the outbox entry a line is about


def runs(visit: Visit) -> Response:
    """Show a page of runs."""
    with reading(visit.installation.engine) as session:
        asked = read_filter(visit, session)
        found = log_search.runs(session, asked.wanted)
    told = [(run, _told(run)) for run in found.rows]
    return visit.page("runs.html", found=found, asked=asked, told=told)


def run(visit: Visit) -> Response:
    """Show one run; while it is under way the page can load itself anew."""
    with reading(visit.installation.engine) as session:
        row = session.get(SyncRun, visit.number("run"))
        if row is None:
            raise NotHere
        company = visit.company(session, row.connection_id)
        parts = _parts(session, row, company.id or 0)
        named = log_search.named(session, [line for part in parts for line, _entry in part.lines])
        budget = select(Budget).where(col(Budget.connection_id) == company.id).order_by(col(Budget.limit_name))
        left = list(session.scalars(budget))
    return visit.page(
        "run.html",
        run=row,
        told=_told(row),
        company=company,
        parts=parts,
        named=named,
        calls=calls_made(row.numbers or {}) or "none",
        left=left,
    )


def _parts(session: Session, row: SyncRun, company_id: int) -> list[Part]:
    counts = log_search.run_kinds(session, row.id or 0)
    grouped = {kind for _title, kinds in _PARTS for kind in kinds}
    rest = tuple(kind for kind in counts if kind not in grouped and kind not in _ENDS and kind != "calling")
    begun = () if row.outcome in {"ok", "later"} else ("calling",)  # what was begun is told by its end
    parts = []
    for title, kinds in (*_PARTS, ("Besides", (*rest, *begun))):
        wanted = log_search.Wanted(companies=[company_id], run=row.id, kinds=[k for k in kinds if k in counts], after=0)
        if wanted.kinds:
            found = log_search.lines(session, wanted, size=_SHOWN_MAX)
            lines = [(line, json.loads(line.facts).get("entry")) for line in reversed(found.rows)]
            parts.append(Part(title, sum(counts[kind] for kind in wanted.kinds), lines))
    return parts


def _told(run: SyncRun) -> str:
    return summary(run.outcome, run.why, run.numbers or {}) if run.outcome else "Under way."


ROUTES = (
    Route("GET", "/runs", runs),
    Route("GET", "/runs/{run:int}", run),
)
