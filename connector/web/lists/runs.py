"""The page of syncs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session

from connector.audit.run_summary import format_outcome
from connector.db.tables import Connection, SyncRun
from connector.services.lists import runs as listed
from connector.services.lists.engine import Key
from connector.vocabulary import RunOutcome
from connector.web.lists.page import list_routes
from connector.web.lists.view import Cell, Column, ListView, Narrow, Row
from connector.web.page_request import PageRequest
from connector.web.rendering import PageTime


def load_rows(_request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some syncs."""
    return [_row(run, company) for run, company in listed.load_lines(session, keys)]


def _row(run: SyncRun, company: Connection) -> Row:
    summary = format_outcome(run.outcome, run.reason, run.counts or {}) if run.outcome else "Under way."
    style = "bad" if run.outcome in {RunOutcome.FAILED, RunOutcome.ACTION_REQUIRED} else ""
    return Row(
        key=(run.id,),
        version="",
        title=f"sync {run.id}",
        cells=(
            Cell(PageTime(run.started_at, company.time_zone), f"/runs/{run.id}"),
            Cell(company.name),
            Cell(summary, note="dry run" if run.dry_run else "", style=style),
        ),
        exported=(
            *(
                run.id,
                f"{run.started_at:%Y-%m-%d %H:%M:%S}",
                f"{run.ended_at:%Y-%m-%d %H:%M:%S}" if run.ended_at else "",
            ),
            *(company.name, run.outcome or "", summary),
        ),
    )


VIEW = ListView(
    path="/runs",
    title="Syncs",
    singular="sync",
    plural="syncs",
    listing=listed.LISTING,
    columns=(
        Column("Started", "id"),
        Column("Company", "company", is_company=True, narrow=Narrow.SIDE),
        Column("Result", "outcome", narrow=Narrow.SECOND),
    ),
    load=load_rows,
    csv_headings=("id", "started at (UTC)", "ended at (UTC)", "company", "result", "summary"),
    empty="No syncs yet.",
    prominent=("state",),
    template="runs.html",
)
ROUTES = list_routes(VIEW, act=False)
