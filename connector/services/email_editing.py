"""Custom text of one unsent email: what a user reads and changes is what the customer receives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import Connection, OutboxEntry
from connector.emails.outbound.email_templates import LINE_NAMES
from connector.outbox.approvals import OutboxError, entry_etag, find_entry, log_entry_event, require_seen
from connector.outbox.entries import UNSENT_STATES
from connector.plain_text import one_line
from connector.services import email_preview
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from policies.bank_numbers import WHERE_TO_ENTER, find_bank_account

_SUBJECT_CHARS_MAX = 200
_PARAGRAPH_CHARS_MAX = 2000
_PARAGRAPHS_MAX = 20


def edit_email(app: AppContext, entry_id: int, lines: Mapping[str, str], *, by: str, etag: str = "") -> None:
    """Change the text of an unsent email; it then awaits approval, even in a live company.

    ``lines`` are some of subject, heading, opening and closing; an empty mapping restores the text of the template.
    ``etag`` is that of the version the user read, "" for the present one. Custom text is dropped where the facts
    change before the email is sent, because it was written about others.

    Raises:
        EntryChanged: the email is not what was read any more.
        OutboxError: it is no unsent email to a customer, or the text is empty or the same.

    """
    with reading(app.engine) as session:
        entry = find_entry(session, entry_id, UNSENT_STATES, "edited")
        require_seen(session, {entry_id: etag} if etag else {})
    if entry.kind != OutboxKind.EMAIL:
        message = f"Outbox entry {entry_id} is not an email to a customer; only those can be edited."
        raise OutboxError(message)
    seen = {entry_id: etag or entry_etag(entry)}
    custom = {name: clean_text(name, lines[name]) for name in LINE_NAMES if name in lines}
    before = _current_texts(app, entry)
    changed = [name for name in custom if custom[name] != clean_text(name, before[name])]
    if custom and not changed:
        message = "Nothing was changed: this is the text already."
        raise OutboxError(message)
    with writing(app.engine) as session:
        entry = find_entry(session, entry_id, UNSENT_STATES, "edited")
        require_seen(session, seen)
        _store_custom_text(entry, {**before, **custom} if custom else {}, by, app.now())
        session.get_one(Connection, entry.connection_id).decision_fingerprint = ""
        change = f"changed the {' and the '.join(changed)} of" if custom else "restored the template text of"
        log_entry_event(session, entry, app.now(), LogKind.EMAIL_EDITED, f"{by} {change} this email: {entry.reason}")


def clean_text(name: str, text: str) -> str:
    """Reduce a text to visible characters: one line, or paragraphs with an empty line between them.

    Raises:
        OutboxError: nothing is left of it.

    """
    if name in {"subject", "heading"}:
        cleaned = one_line(text, _SUBJECT_CHARS_MAX)
    else:
        parts = text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n\n")
        cleaned = "\n\n".join(filter(None, (one_line(part, _PARAGRAPH_CHARS_MAX) for part in parts[:_PARAGRAPHS_MAX])))
    if not cleaned:
        message = f"The {name} must not be empty."
        raise OutboxError(message)
    if account := find_bank_account(cleaned):
        message = f"{account!r} is a bank account. {WHERE_TO_ENTER}: emails then name it."
        raise OutboxError(message)
    return cleaned


def _current_texts(app: AppContext, entry: OutboxEntry) -> dict[str, str]:
    try:
        return email_preview.preview_editable_email(app, entry)[1]
    except email_preview.PreviewError as error:
        raise OutboxError(str(error)) from error


def _store_custom_text(entry: OutboxEntry, lines: Mapping[str, str], by: str, at: datetime) -> None:
    entry.custom_text = {"lines": dict(lines), "by": by, "at": at.isoformat()} if lines else None
    entry.approved_at, entry.approved_by = None, ""
    entry.changed_at, entry.changed_by = at, by
    entry.state = OutboxState.AWAITING_APPROVAL  # without custom text the next run plans it again where that is allowed
