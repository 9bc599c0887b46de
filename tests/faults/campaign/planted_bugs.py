"""Group J: bugs planted on purpose. The campaign is worth something only if it finds every one of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from itertools import count
from typing import Any, NamedTuple

from sqlmodel import Session

from connector.connections import tokens
from connector.db.engine import writing
from connector.db.tables import Connection, OutboxEntry
from connector.delivery import after_restore, ledger_writes, recheck, recover
from connector.evaluation import evaluate
from connector.outbox import entries
from connector.runtime.lease import Lease
from connector.runtime.run_context import RunContext
from connector.sync import pull
from connector.vocabulary import LogKind, OutboxState
from providers.errors import OutcomeUnknown
from providers.ledger import ChangePage, LateFeeInvoice
from providers.mailer import Email, SendReceipt
from providers.quickbooks.ledger import QuickBooksLedger
from providers.sendgrid.mailer import SendGridMailer

# The functions as they are before a bug replaces one of them.
_SEND, _FEE = SendGridMailer.send, QuickBooksLedger.post_late_fee
_QUICKBOOKS_NOTE, _QUICKBOOKS_BATCH = QuickBooksLedger.add_note, QuickBooksLedger.add_notes
_MARK_DONE, _MARK_SENDING = entries.mark_done, entries.mark_sending
_LOG, _STORE_PAGE = RunContext.log, pull._store_page
_attempts = count(1)


class Target(NamedTuple):
    """A function, where it is looked up: in a module or a class."""

    owner: Any
    name: str


class Bug(NamedTuple):
    """A bug, what it replaces, and where it is searched for: ledger, scenario and groups of faults."""

    name: str
    targets: tuple[Target, ...]
    replacement: Callable[..., Any]
    provider: str = "xero"
    scenario: str = "email"
    groups: str = "A"
    honours_keys: bool = True  # of the ledgers

    def plant(self) -> None:
        """Plant the bug in this process, for good."""
        for owner, name in self.targets:
            getattr(owner, name)  # raises where the target has been renamed: an unplanted bug is never found
            setattr(owner, name, self.replacement)


def _resend(self: SendGridMailer, email: Email) -> SendReceipt:
    try:
        return _SEND(self, email)
    except OutcomeUnknown:
        return _SEND(self, email)


def _accept_without_id(self: SendGridMailer, email: Email) -> SendReceipt:
    try:
        return _SEND(self, email)
    except OutcomeUnknown:
        return SendReceipt("assumed")


def _release(entry: OutboxEntry, *, at: datetime, detail: str) -> None:
    del at
    entry.state, entry.response = OutboxState.PLANNED, detail


def _numbered_fee(self: QuickBooksLedger, fee: LateFeeInvoice, key: str) -> Any:
    attempt = next(_attempts)
    return _FEE(self, fee._replace(number=f"{fee.number}-{attempt}"), f"{key}{attempt}")


def _nothing(*_arguments: Any, **_named: Any) -> None:
    """Do nothing."""


def _first_attempt_only(_connection: Connection, entry: OutboxEntry, _now: datetime) -> bool:
    return entry.state == OutboxState.PLANNED and not entry.attempts


def _always(_connection: Connection, _entry: OutboxEntry) -> bool:
    return True


def _check_lease_only(self: RunContext) -> None:
    with self.reading() as session:
        self.lease.check(session)


def _mark_steps_only(session: Session, entry: OutboxEntry, *, at: datetime, on: date) -> None:
    _MARK_SENDING(session, entry, at=at, on=on)
    entry.state = OutboxState.PLANNED


def _send_again(ctx: RunContext, entry_id: int) -> None:
    with ctx.writing() as session:
        entries.mark_planned(session, session.get_one(OutboxEntry, entry_id), detail="again")


def _done_without_notes(session: Session, entry: OutboxEntry, *, at: datetime, reference: str, detail: str) -> None:
    _MARK_DONE(session, entry, at=at, reference=reference, detail=detail)
    session.flush()
    for note in session.query(OutboxEntry).filter_by(parent_id=entry.id):
        session.delete(note)


def _log_without_intent(self: RunContext, session: Session, kind: LogKind, text: str, **about: Any) -> None:
    if kind != LogKind.SENDING:
        _LOG(self, session, kind, text, **about)


def _cursor_first(ctx: RunContext, page: ChangePage, *more: Any) -> None:
    with writing(ctx.app.engine) as session:
        session.get_one(Connection, ctx.connection_id).cursor = page.cursor
    _STORE_PAGE(ctx, page, *more)


def _never(_ctx: RunContext, _entry_id: int, _kind: str) -> bool:
    return False


def _notes_with_other_keys(self: QuickBooksLedger, *note: Any) -> Any:
    """Replace ``add_note``, which takes one note, and ``add_notes``, which takes a list."""
    with suppress(OutcomeUnknown):
        return _QUICKBOOKS_BATCH(self, *note) if len(note) == 1 else _QUICKBOOKS_NOTE(self, *note)
    attempt = next(_attempts)
    if len(note) == 1:
        return _QUICKBOOKS_BATCH(self, [each._replace(key=f"{each.key}{attempt}") for each in note[0]])
    invoice_id, text, key = note
    return _QUICKBOOKS_NOTE(self, invoice_id, text, f"{key}{attempt}")


def _unsaved(_app: Any, _stored: Any, token: Any, _requested_at: Any) -> Any:
    return token


_SEND_EMAIL = (Target(SendGridMailer, "send"),)
PLANTED = (
    Bug("an email is sent again after a lost reply", _SEND_EMAIL, _resend, groups="B"),
    Bug("a reply without an id is taken for an acceptance", _SEND_EMAIL, _accept_without_id, "quickbooks", groups="B"),
    Bug(
        "an unconfirmed delivery is planned again",
        (Target(entries, "mark_unconfirmed"),),
        _release,
        "quickbooks",
        groups="B",
    ),
    Bug("an interrupted call is simply repeated", (Target(recover, "_recover_email"),), _send_again),
    Bug("interrupted calls are never recovered", (Target(recover, "recover_interrupted"),), _nothing),
    Bug("the intent is not on disk before the call", (Target(entries, "mark_sending"),), _mark_steps_only),
    Bug(
        "the intent is not in the log before the call", (Target(RunContext, "log"),), _log_without_intent, "quickbooks"
    ),
    Bug("the ledger is not read again before sending", (Target(recheck, "read_again"),), _nothing, groups="F"),
    Bug(
        "the ledger is read again, but nothing is decided again",
        (Target(recheck, "decide_again"), Target(evaluate, "decide_again")),
        _nothing,
        "quickbooks",
        groups="F",
    ),
    Bug("mode and pause are ignored when sending", (Target(entries, "is_permitted"),), _always, groups="F"),
    Bug(
        "a pause between intent and call is ignored",
        (Target(RunContext, "authorize_call"),),
        _check_lease_only,
        "quickbooks",
        "fee",
        "F",
    ),
    Bug(
        "after a limit it is never tried again",
        (Target(entries, "is_dispatchable"),),
        _first_attempt_only,
        "quickbooks",
        groups="B",
    ),
    Bug("an email is sent without its note", (Target(entries, "mark_done"),), _done_without_notes),
    Bug(
        "a note is repeated without a look",
        (Target(ledger_writes, "_find_existing"),),
        _nothing,
        groups="B",
        honours_keys=False,
    ),
    Bug(
        "a note is repeated under another key",
        (Target(QuickBooksLedger, "add_note"), Target(QuickBooksLedger, "add_notes")),
        _notes_with_other_keys,
        "quickbooks",
        groups="B",
    ),
    Bug(
        "a fee's number counts the attempts",
        (Target(QuickBooksLedger, "post_late_fee"),),
        _numbered_fee,
        "quickbooks",
        "fee",
    ),
    Bug("the cursor is stored before its page", (Target(pull, "_store_page"),), _cursor_first),
    Bug(
        "a run that lost its lease goes on writing",
        (Target(Lease, "renew"), Target(Lease, "check")),
        _nothing,
        groups="E",
    ),
    Bug(
        "after a restore nothing is searched for",
        (Target(after_restore, "must_withhold"),),
        _never,
        groups="G",
    ),
    Bug("a refreshed token is not saved", (Target(tokens, "_save"),), _unsaved, groups="D"),
)
