"""Class J: bugs that are planted on purpose. What the campaign is worth is whether it finds every one of them."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from itertools import count
from typing import Any, NamedTuple

from connector.db.engine import writing
from connector.db.tables import Connection, OutboxEntry
from connector.outbox import entries
from connector.runtime.run_context import RunContext
from connector.sync import pull
from connector.vocabulary import LogKind, OutboxState
from providers.errors import OutcomeUnknown
from providers.mailer import SendReceipt
from providers.quickbooks.ledger import QuickBooksLedger
from providers.sendgrid.mailer import SendGridMailer
from providers.xero.ledger import XeroLedger

_SEND, _XERO_NOTE, _FEE = SendGridMailer.send, XeroLedger.add_note, QuickBooksLedger.post_late_fee
_NOTE, _DONE, _LOG, _STORE = QuickBooksLedger.add_note, entries.mark_done, RunContext.log, pull._store_page
_MARK_SENDING = entries.mark_sending
_tries = count(1)


class Bug(NamedTuple):
    """A bug, where it is planted, and in which hour of which ledger, and among which faults, it is looked for."""

    name: str
    targets: str  # one place or more
    replacement: Any
    provider: str = "xero"
    scenario: str = "email"
    groups: str = "A"

    def plant(self) -> None:
        """Put it into this process, for good."""
        for where in self.targets.split():
            module, _, name = where.partition(":")
            place: Any = import_module(module)
            *owners, last = name.split(".")
            for owner in owners:
                place = getattr(place, owner)
            setattr(place, last, self.replacement)


def _resend(self: Any, mail: Any) -> SendReceipt:
    try:
        return _SEND(self, mail)
    except OutcomeUnknown:
        return _SEND(self, mail)


def _accept_without_id(self: Any, mail: Any) -> SendReceipt:
    try:
        return _SEND(self, mail)
    except OutcomeUnknown:
        return SendReceipt("believed")


def _release(entry: Any, *, at: Any, answer: str) -> None:
    del at
    entry.state, entry.answer = "planned", answer


def _other_note(self: Any, invoice_id: str, text: str, key: str) -> Any:
    return _XERO_NOTE(self, invoice_id, text, f"{key}{next(_tries)}")


def _other_fee(self: Any, fee: Any, key: str) -> Any:
    attempt = next(_tries)
    return _FEE(self, fee._replace(number=f"{fee.number}-{attempt}"), f"{key}{attempt}")


def _nothing(*_arguments: Any, **_named: Any) -> None:
    """Do nothing."""


def _only_new(_connection: Any, entry: Any, _now: Any) -> bool:
    return entry.state == OutboxState.PLANNED and not entry.attempts


def _always(_connection: Any, _entry: Any) -> bool:
    return True


def _check_lease_only(self: Any) -> None:
    with self.reading() as session:
        self.lease.check(session)


def _mark_steps_only(session: Any, entry: Any, *, at: Any, on: Any) -> None:
    _MARK_SENDING(session, entry, at=at, on=on)
    entry.state = "planned"


def _send_again(ctx: Any, entry_id: int) -> None:
    with ctx.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        entries.mark_planned(session, entry, detail="again")


def _no_note(session: Any, entry: Any, *, at: Any, reference: str, answer: str) -> None:
    _DONE(session, entry, at=at, reference=reference, detail=answer)
    session.flush()
    for note in session.query(OutboxEntry).filter_by(parent_id=entry.id):
        session.delete(note)


def _skip_sending_log(self: Any, session: Any, kind: LogKind, text: str, **how: Any) -> None:
    if kind != LogKind.SENDING:
        _LOG(self, session, kind, text, **how)


def _cursor_first(ctx: Any, page: Any, *more: Any) -> None:
    with writing(ctx.app.engine) as session:
        session.get_one(Connection, ctx.connection_id).cursor = page.cursor
    store: Any = _STORE
    store(ctx, page, *more)


def _never_settled(ctx: Any, entry_id: int, kind: str) -> bool:
    del ctx, entry_id, kind
    return False


def _any_note(self: Any, invoice_id: str, text: str, key: str) -> Any:
    with suppress(OutcomeUnknown):
        return _NOTE(self, invoice_id, text, key)
    return _NOTE(self, invoice_id, text, f"{key}{next(_tries)}")


_SEND_EMAIL = "providers.sendgrid.mailer:SendGridMailer.send"
_DECIDE_AGAIN = "connector.delivery.deliver:decide_again connector.evaluation.evaluate:decide_again"
_LEASE = "connector.runtime.lease:Lease.renew connector.runtime.lease:Lease.check"
_AUTHORIZE_CALL = "connector.runtime.run_context:Hour.may_act"
_QUICKBOOKS = "providers.quickbooks.ledger:QuickBooksLedger"
PLANTED = (
    Bug("a mail is sent again after a lost answer", _SEND_EMAIL, _resend, groups="B"),
    Bug("an answer without an id is believed", _SEND_EMAIL, _accept_without_id, "quickbooks", groups="B"),
    Bug(
        "what is in doubt is set free again", "connector.outbox.entries:mark_doubt", _release, "quickbooks", groups="B"
    ),
    Bug("a call that was left is simply made again", "connector.delivery.recover:_mail", _send_again),
    Bug("what was left is never settled", "connector.delivery.recover:settle_what_was_left", _nothing),
    Bug("the intent is not on the disk before the call", "connector.outbox.entries:mark_calling", _mark_steps_only),
    Bug(
        "the log is not told before the call", "connector.runtime.run_context:Hour.log", _skip_sending_log, "quickbooks"
    ),
    Bug("nobody looks again before sending", "connector.delivery.deliver:_look", _nothing, groups="F"),
    Bug("one looks again, but decides nothing anew", _DECIDE_AGAIN, _nothing, "quickbooks", groups="F"),
    Bug(
        "mode and pause are forgotten when it comes to sending",
        "connector.outbox.entries:is_allowed",
        _always,
        groups="F",
    ),
    Bug("nobody asks once more between intent and call", _AUTHORIZE_CALL, _check_lease_only, "quickbooks", "fee", "F"),
    Bug(
        "after a limit it is never tried again",
        "connector.outbox.entries:may_leave",
        _only_new,
        "quickbooks",
        groups="B",
    ),
    Bug("a mail owes no note", "connector.outbox.entries:mark_done", _no_note),
    Bug("a note's key counts the tries", "providers.xero.ledger:XeroLedger.add_note", _other_note, groups="B"),
    Bug("a note is written again under another key", f"{_QUICKBOOKS}.add_note", _any_note, "quickbooks", groups="B"),
    Bug("a fee's number counts the tries", f"{_QUICKBOOKS}.post_late_fee", _other_fee, "quickbooks", "fee"),
    Bug("the cursor is kept before its page", "connector.sync.pull:_store", _cursor_first),
    Bug("one who was taken over goes on writing", _LEASE, _nothing, groups="E"),
    Bug(
        "after a restore nobody asks what had left",
        "connector.delivery.after_restore:settled",
        _never_settled,
        groups="G",
    ),
    Bug(
        "a renewed token is not kept",
        "connector.connections.tokens:_save",
        lambda _i, _g, token, _at: token,
        groups="D",
    ),
)
