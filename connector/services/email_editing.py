"""A person's own words for one mail that has not left: what he read and changed is what the customer gets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import Connection, OutboxEntry
from connector.emails.outbound.email_templates import LINE_NAMES
from connector.outbox.approvals import OutboxError, entry_etag, find_entry, log_entry_event
from connector.outbox.entries import UNSENT_STATES
from connector.plain_text import one_line
from connector.services import email_preview
from connector.vocabulary import LogKind, OutboxKind, OutboxState

_SUBJECT_CHARS_MAX = 200
_PARAGRAPH_CHARS_MAX = 2000
_PARAGRAPHS_MAX = 20


def edit_email(app: AppContext, entry_id: int, lines: Mapping[str, str], *, by: str, etag: str = "") -> None:
    """Give an un-sent mail other words; it then waits for an approval, also in a company that is live.

    ``lines`` are some of subject, heading, opening and closing; with none of them the mail is as duewell writes it
    again. ``seen`` is what the person looked at (``looked_at``), "" for what it is now. Where the facts change
    before it leaves, the words are gone, because they were about others. Raises ``OutboxError``.
    """
    with reading(app.engine) as session:
        entry = find_entry(session, entry_id, UNSENT_STATES, "worded")
    if entry.kind != OutboxKind.EMAIL:
        message = f"Outbox entry {entry_id} is no mail to a customer; only those have words to change."
        raise OutboxError(message)
    etag = etag or entry_etag(entry)
    own = {name: clean_text(name, lines[name]) for name in LINE_NAMES if name in lines}
    before = _current_texts(app, entry)
    changed = [name for name in own if own[name] != clean_text(name, before[name])]
    if own and not changed:
        message = "Nothing was changed: these are its words already."
        raise OutboxError(message)
    with writing(app.engine) as session:
        entry = find_entry(session, entry_id, UNSENT_STATES, "worded")
        if entry_etag(entry) != etag:
            message = "This mail has changed meanwhile. Look at it again."
            raise OutboxError(message)
        _store_custom_text(entry, {**before, **own} if own else {}, by, app.now())
        session.get_one(Connection, entry.connection_id).decision_fingerprint = ""
        said = f"changed the {' and the '.join(changed)} of" if own else "took back all words of a person from"
        text = f"{by} {said} this mail: {entry.reason}"
        log_entry_event(session, entry, app.now(), LogKind.EMAIL_EDITED, text)


def clean_text(name: str, text: str) -> str:
    """Reduce what was written to visible signs: one line, or paragraphs with an empty line between them."""
    if name in {"subject", "heading"}:
        cleaned = one_line(text, _SUBJECT_CHARS_MAX)
    else:
        parts = text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n\n")
        cleaned = "\n\n".join(filter(None, (one_line(part, _PARAGRAPH_CHARS_MAX) for part in parts[:_PARAGRAPHS_MAX])))
    if not cleaned:
        message = f"The {name} must not be empty."
        raise OutboxError(message)
    return cleaned


def _current_texts(app: AppContext, entry: OutboxEntry) -> dict[str, str]:
    try:
        return email_preview.preview_editable_email(app, entry)[1]
    except email_preview.PreviewError as problem:
        raise OutboxError(str(problem)) from problem


def _store_custom_text(entry: OutboxEntry, lines: Mapping[str, str], by: str, at: datetime) -> None:
    entry.custom_text = {"lines": dict(lines), "by": by, "at": at.isoformat()} if lines else None
    entry.approved_at, entry.approved_by = None, ""
    entry.state = (
        OutboxState.AWAITING_APPROVAL
    )  # the next run lets it go by itself again where nobody's words are in it
