"""How far a run has come, for whoever watches it: stored with the run, because another process may be running it."""

from __future__ import annotations

from sqlmodel import Session

from connector.audit.run_summary import format_outcome
from connector.db.tables import SyncRun
from connector.results import Result


class RunProgress(Result):
    """A run's step, and the records read; ``expected`` is None where the accounting system does not say."""

    run: int
    is_ended: bool
    text: str
    records: int
    expected: int | None


def describe_progress(run: SyncRun) -> RunProgress:
    """Return how far a run has come."""
    return RunProgress(
        run=run.id or 0,
        is_ended=run.outcome is not None,
        text=format_outcome(run.outcome, run.reason, run.counts or {}) if run.outcome else _text(run),
        records=run.records_read,
        expected=run.records_expected,
    )


def find_progress(session: Session, run_id: int) -> tuple[int, RunProgress] | None:
    """Return a run's company and how far it has come; None where there is no such run."""
    run = session.get(SyncRun, run_id)
    return (run.connection_id, describe_progress(run)) if run is not None else None


def _text(run: SyncRun) -> str:
    """Return the step with its count and what remains: "Reading changes: 1,200 of 5,000 records, 3,800 remaining"."""
    step = run.progress[:1].upper() + run.progress[1:] or "Starting"
    if not run.records_read:
        return f"{step} …"
    if not run.records_expected:
        return f"{step}: {run.records_read:,} records so far"
    remaining = max(run.records_expected - run.records_read, 0)
    return f"{step}: {run.records_read:,} of {run.records_expected:,} records, {remaining:,} remaining"
