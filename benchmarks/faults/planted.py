"""Class J: bugs that are planted on purpose. What the campaign is worth is whether it finds every one of them."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from itertools import count
from typing import Any, NamedTuple

from connector import outbox, pull
from connector.database import writing
from connector.hour import Hour
from connector.tables import Connection, OutboxEntry
from providers.errors import Unknown
from providers.mailer import Accepted
from providers.quickbooks.ledger import QuickBooksLedger
from providers.sendgrid.mailer import SendGridMailer
from providers.xero.ledger import XeroLedger

_SEND, _XERO_NOTE, _FEE = SendGridMailer.send, XeroLedger.add_note, QuickBooksLedger.post_late_fee
_NOTE, _DONE, _LOG, _STORE = QuickBooksLedger.add_note, outbox.mark_done, Hour.log, pull._store  # noqa: SLF001
_CALLING = outbox.mark_calling
_tries = count(1)


class Bug(NamedTuple):
    """A bug, where it is planted, and in which hour of which ledger, and among which faults, it is looked for."""

    what: str
    where: str  # one place or more
    bug: Any
    provider: str = "xero"
    day: str = "mail"
    among: str = "A"

    def plant(self) -> None:
        """Put it into this process, for good."""
        for where in self.where.split():
            module, _, name = where.partition(":")
            place: Any = import_module(module)
            *owners, last = name.split(".")
            for owner in owners:
                place = getattr(place, owner)
            setattr(place, last, self.bug)


def _resend(self: Any, mail: Any) -> Accepted:
    try:
        return _SEND(self, mail)
    except Unknown:
        return _SEND(self, mail)


def _believe(self: Any, mail: Any) -> Accepted:
    try:
        return _SEND(self, mail)
    except Unknown:
        return Accepted("believed")


def _free(entry: Any, *, at: Any, answer: str) -> None:
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
    return entry.state == "planned" and not entry.attempts


def _always(_connection: Any, _entry: Any) -> bool:
    return True


def _asks_only_whose(self: Any) -> None:
    with self.reading() as session:
        self.lease.check(session)


def _steps_alone(session: Any, entry: Any, *, at: Any, on: Any) -> None:
    _CALLING(session, entry, at=at, on=on)
    entry.state = "planned"


def _send_again(hour: Any, entry_id: int) -> None:
    with hour.writing() as session:
        entry = session.get_one(OutboxEntry, entry_id)
        outbox.mark_planned(session, entry, answer="again")


def _no_note(session: Any, entry: Any, *, at: Any, reference: str, answer: str) -> None:
    _DONE(session, entry, at=at, reference=reference, answer=answer)
    session.flush()
    for note in session.query(OutboxEntry).filter_by(parent_id=entry.id):
        session.delete(note)


def _unannounced(self: Any, session: Any, kind: str, text: str, **how: Any) -> None:
    if kind != "calling":
        _LOG(self, session, kind, text, **how)


def _cursor_first(hour: Any, page: Any, *more: Any) -> None:
    with writing(hour.installation.engine) as session:
        session.get_one(Connection, hour.connection_id).cursor = page.cursor
    store: Any = _STORE
    store(hour, page, *more)


def _never_late(hour: Any, entry_id: int, kind: str) -> bool:
    del hour, entry_id, kind
    return False


def _any_note(self: Any, invoice_id: str, text: str, key: str) -> Any:
    with suppress(Unknown):
        return _NOTE(self, invoice_id, text, key)
    return _NOTE(self, invoice_id, text, f"{key}{next(_tries)}")


_MAILS = "providers.sendgrid.mailer:SendGridMailer.send"
_AGAIN = "connector.deliver:decide_again connector.deciding:decide_again"
_LEASE = "connector.lease:Lease.renew connector.lease:Lease.check"
_ASKS = "connector.hour:Hour.may_act"
_BOOKS = "providers.quickbooks.ledger:QuickBooksLedger"
PLANTED = (
    Bug("a mail is sent again after a lost answer", _MAILS, _resend, among="B"),
    Bug("an answer without an id is believed", _MAILS, _believe, "quickbooks", among="B"),
    Bug("what is in doubt is set free again", "connector.outbox:mark_doubt", _free, "quickbooks", among="B"),
    Bug("a call that was left is simply made again", "connector.recover:_mail", _send_again),
    Bug("what was left is never settled", "connector.recover:settle_what_was_left", _nothing),
    Bug("the intent is not on the disk before the call", "connector.outbox:mark_calling", _steps_alone),
    Bug("the log is not told before the call", "connector.hour:Hour.log", _unannounced, "quickbooks"),
    Bug("nobody looks again before sending", "connector.deliver:_look", _nothing, among="F"),
    Bug("one looks again, but decides nothing anew", _AGAIN, _nothing, "quickbooks", among="F"),
    Bug("mode and pause are forgotten when it comes to sending", "connector.outbox:is_allowed", _always, among="F"),
    Bug("nobody asks once more between intent and call", _ASKS, _asks_only_whose, "quickbooks", "fee", "F"),
    Bug("after a limit it is never tried again", "connector.outbox:may_leave", _only_new, "quickbooks", among="B"),
    Bug("a mail owes no note", "connector.outbox:mark_done", _no_note),
    Bug("a note's key counts the tries", "providers.xero.ledger:XeroLedger.add_note", _other_note, among="B"),
    Bug("a note is written again under another key", f"{_BOOKS}.add_note", _any_note, "quickbooks", among="B"),
    Bug("a fee's number counts the tries", f"{_BOOKS}.post_late_fee", _other_fee, "quickbooks", "fee"),
    Bug("the cursor is kept before its page", "connector.pull:_store", _cursor_first),
    Bug("one who was taken over goes on writing", _LEASE, _nothing, among="E"),
    Bug("after a restore nobody asks what had left", "connector.restored:settled", _never_late, among="G"),
    Bug("a renewed token is not kept", "connector.access.tokens:_save", lambda _i, _g, token, _at: token, among="D"),
)
