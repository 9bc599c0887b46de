"""Links in emails that a restored database does not know, because they were first sent after its backup."""

from __future__ import annotations

from connector.db.tables import KeyValue
from connector.emails import contact_tokens
from connector.runtime.run_context import RunContext

_RECREATED = "tokens_recreated"


def recreate(ctx: RunContext) -> None:
    """Make every customer's unsubscribe link and reply address known again, once after each restore.

    Links to the customer portal cannot be made again: each has a random salt, so that a revoked one never comes back.
    The restore takes them from the replaced database where it can be read.
    """
    if ctx.restore_gap is None or ctx.dry_run:
        return
    restored_at = ctx.restore_gap.to_at.isoformat()
    with ctx.reading() as session:
        done = session.get(KeyValue, (ctx.connection_id, _RECREATED))
    if done is not None and done.value["restored_at"] == restored_at:
        return
    with ctx.writing() as session:
        contact_tokens.recreate_tokens(ctx.app, session, ctx.connection_id)
        value = {"restored_at": restored_at}
        session.merge(KeyValue(connection_id=ctx.connection_id, name=_RECREATED, value=value, stored_at=ctx.now()))
