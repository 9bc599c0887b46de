"""The part of a sync that is about bank statements: files in the watched folder, and what the ledger shows by now."""

from __future__ import annotations

from sqlmodel import Session

from connector.bank import matches, watched_folder
from connector.runtime.run_context import RunContext


def update_matches(ctx: RunContext) -> None:
    """Import what lies in the company's folder, and match all money again with the ledger as it is now."""
    if ctx.dry_run:
        return
    with ctx.reading() as session:
        short_name = ctx.connection(session).short_name
    for problem in watched_folder.import_files(ctx.app, ctx.connection_id, short_name):
        ctx.action_required.append(problem)
    with ctx.reading() as session:
        if matches.is_current(session, ctx.connection(session)):
            return
    with ctx.writing() as session:
        match_changed(ctx, session)


def match_changed(ctx: RunContext, session: Session) -> None:
    """Match money with what the ledger shows by now, in the caller's transaction; nothing where that is known."""
    changes = matches.refresh_changed(session, ctx.connection(session), at=ctx.now(), run_id=ctx.run_id)
    if changes:
        ctx.tally["bank_matches"] += changes
