"""The sync runs: a list, and each with what it read, decided and sent, and the calls it made."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.audit import log_search
from connector.audit.run_summary import format_calls, format_outcome, format_scope
from connector.db.engine import reading
from connector.db.tables import Budget, SyncLogEntry, SyncRun
from connector.errors import NotFound
from connector.services.run_progress import describe_progress
from connector.vocabulary import LogKind, RunOutcome
from connector.vocabulary.labels import in_sentence, label, vocabularies
from connector.web.page_request import PageRequest
from connector.web.routes import Route
from policies.decisions import DecisionKind

_LINES_SHOWN = 60
NOTES = "Notes on invoices"  # each repeats what was sent: folded up
_SECTIONS = (
    ("Data read", (LogKind.ORGANISATION, LogKind.PULLED, LogKind.MALFORMED, LogKind.WARNING)),
    (
        "Sent, and the responses",
        (
            LogKind.EMAILED,
            LogKind.OWNER_NOTIFIED,
            LogKind.CHARGED,
            LogKind.WAIVED,
            LogKind.PROVIDER_REJECTED,
            LogKind.UNCONFIRMED,
            LogKind.APPROVAL_REQUESTED,
            LogKind.UNDELIVERED,
            LogKind.SUPPRESSED,
        ),
    ),
    (NOTES, (LogKind.NOTED,)),
    ("Tasks", (LogKind.TASK, LogKind.TASK_OUTCOME, LogKind.TASK_REOPENED)),
    (
        "Decisions, and their reasons",
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
_COUNT_LABELS = {
    **vocabularies()["log_kind"],
    "changed": "Changed records",
    "customers": "Customers decided about",
    "decisions": "Invoices decided about",
    "drift": "Differences corrected",
    "exceptions": "Exceptions found",
    "reads_skipped": "Syncs that needed no reading",
    "reconciled": "Records compared",
    "records": "Records read",
    "rejected": "Rejected by a connected service",
    "tasks": "Tasks created",
    "unannounced": "Changes without a notification",
    "unchanged": "Evaluations skipped, nothing had changed",
}
_COUNT_PREFIXES = (
    ("calls_", "call_kind", "Calls"),
    ("planned_", "upcoming_kind", "Planned"),
    *((f"{each}_", "decision_code", label(each)) for each in (DecisionKind.HOLD, DecisionKind.WAITING)),
)
_BOUNDARY_KINDS = (LogKind.RUN_STARTED, LogKind.RUN_ENDED)


@dataclass(frozen=True, slots=True)
class RunSection:
    """Log lines of a run on one subject, in order; ``count`` includes those that are not shown."""

    title: str
    count: int
    lines: list[tuple[SyncLogEntry, int | None]]  # with the id of the outbox entry that a line is about
    is_folded: bool = False


def show_run(request: PageRequest) -> Response:
    """Show one run; the page can refresh automatically while it is under way."""
    with reading(request.app.engine) as session:
        row = session.get(SyncRun, request.path_id("run"))
        if row is None:
            raise NotFound
        company = request.company(session, row.connection_id)
        sections = _build_sections(session, row, company.id or 0)
        names = log_search.names_of(session, [line for section in sections for line, _entry in section.lines])
        budgets = select(Budget).where(col(Budget.connection_id) == company.id).order_by(col(Budget.limit_name))
        return request.render(
            "run.html",
            run=row,
            progress=describe_progress(row),
            summary=_describe(row),
            scope=format_scope(row.counts or {}),
            company=company,
            sections=sections,
            line_names=names,
            calls=format_calls(row.counts or {}) or "none",
            budgets=list(session.scalars(budgets)),
            counts=[(_count_label(name), count) for name, count in sorted((row.counts or {}).items())],
        )


def _build_sections(session: Session, row: SyncRun, company_id: int) -> list[RunSection]:
    counts = log_search.count_entries_by_kind(session, row.id or 0)
    grouped = {LogKind.SENDING, *_BOUNDARY_KINDS, *(kind for _title, kinds in _SECTIONS for kind in kinds)}
    rest = tuple(kind for kind in counts if kind not in grouped)
    # After a run that ended as it should, what became of each call says enough
    started = () if row.outcome in {RunOutcome.OK, RunOutcome.DEFERRED} else (LogKind.SENDING,)
    sections = []
    for title, kinds in (*_SECTIONS, ("Other", (*rest, *started))):
        query = log_search.LogFilter(
            company_ids=[company_id], run_id=row.id, kinds=[kind for kind in kinds if kind in counts], after_id=0
        )
        if query.kinds:
            page = log_search.find_log_page(session, query, size=_LINES_SHOWN)
            lines = [(line, json.loads(line.facts).get("entry")) for line in reversed(page.rows)]
            count = sum(counts[kind] for kind in query.kinds)
            sections.append(RunSection(title, count, lines, is_folded=title == NOTES))
    return sections


def _count_label(name: str) -> str:
    """Return the label of a figure in a run's counts."""
    for prefix, vocabulary, text in _COUNT_PREFIXES:
        value = name.removeprefix(prefix)
        if value != name and value in vocabularies()[vocabulary]:
            return f"{text}: {in_sentence(label(value, vocabulary))}"
    return _COUNT_LABELS.get(name) or name.replace("_", " ").capitalize()


def _describe(run: SyncRun) -> str:
    return format_outcome(run.outcome, run.reason, run.counts or {}) if run.outcome else "Under way."


ROUTES = (Route("GET", "/runs/{run:int}", show_run),)
