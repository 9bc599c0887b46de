"""What a customer says at his own page: checked, kept where the next run looks, told to a person, noted in the ledger.

An answer goes through the same functions as one that a bookkeeper enters. It never undoes what a person set, and each
counts once however often it is sent. In the caller's eyes an answer has a result: a word that names what to tell him.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector import outbox, policies_store
from connector.access import bookkeeper
from connector.database import writing
from connector.installation import Installation
from connector.letters import stop
from connector.letters.languages import LANGUAGES
from connector.letters.plain_text import one_line
from connector.mirror.places import today_in
from connector.money import from_e4
from connector.people import agreements
from connector.people.agreements import Word
from connector.people.customers import change_settings
from connector.portal.links import Opened
from connector.tables import Agreement, Connection, CustomerRow, CustomerSetting, InvoiceRow, InvoiceSetting
from policies.wording import day, sum_of

PROMISE_DAYS = 30  # ahead, at most: a later day is for a person to agree to
PAID_DAYS = 90  # back, at most
PROMISES_MAX = 2  # per invoice that hold by themselves; the next one is a person's to judge
PAID_HOLDS_AGAIN = timedelta(days=30)
TEXT_MAX = 500
NOTES_MAX = 10  # per answer, on the invoices that are due longest: each is a call to the ledger
_NAMED_MAX = 20  # invoices that a task names
_HERE = "at his own page"
_FREE_MAIL = re.compile(
    r"(gmail|googlemail|yahoo|outlook|hotmail|live|icloud|aol|gmx|web|proton|protonmail|orange|free|mail|t-online)\.[a-z.]+"
)
_ADDRESS = re.compile(r"[^\s<>,;:\"()\\@]+@([a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)


class NotAccepted(Exception):
    """What was said cannot be kept; ``str()`` is the name of the words that say why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a customer sent. ``kind`` is a key of ``_KINDS``; ``invoices`` are ids as the ledger has them."""

    kind: str
    invoices: tuple[str, ...] = ()
    on: date | None = None
    text: str = ""
    email: str = ""


class _Said(NamedTuple):
    """An answer in the hands of the functions below, with everything they need."""

    installation: Installation
    session: Session
    customer: CustomerRow
    invoices: Sequence[InvoiceRow]
    answer: Answer
    today: date

    @property
    def name(self) -> str:
        return one_line(self.customer.name)

    @property
    def word(self) -> Word:
        return Word(f"{self.name} ({_HERE})", self.installation.now())

    @property
    def here(self) -> tuple[int, str]:
        return (self.customer.connection_id, self.customer.external_id)


def take(installation: Installation, who: Opened, answer: Answer) -> str:
    """Keep what a customer said, and return the name of the words that thank him. Raises ``NotAccepted``."""
    if answer.kind not in _KINDS:
        raise NotAccepted("problem_choose")
    with writing(installation.engine) as session:
        here = (who.connection_id, who.customer_id)
        customer = session.get_one(CustomerRow, here, with_for_update=True)  # one answer at a time
        today = today_in(session.get_one(Connection, who.connection_id).time_zone, installation.now())
        invoices = _open_ones(session, customer)
        if answer.kind in _ABOUT_INVOICES:
            invoices = [each for each in invoices if each.external_id in answer.invoices]
            if not invoices:
                raise NotAccepted("problem_choose")
        return _KINDS[answer.kind](_Said(installation, session, customer, invoices, answer, today))


def _paid(said: _Said) -> str:
    on = said.answer.on
    if on is None or not said.today - timedelta(days=PAID_DAYS) <= on <= said.today:
        raise NotAccepted("problem_paid_on")
    until = said.today + timedelta(days=_pause_days(said))
    held = [each for each in said.invoices if until > said.today and _hold(said, each, until, on)]
    waits = f" The chase of {_numbers(held)} waits until {day(until)}." if held else ""
    why = f"{said.name} says that {_sums(said)} was paid on {day(on)}.{waits} Look for it, and apply it in the ledger."
    return _told(said, "says_paid", on.isoformat(), why, f"says it was paid on {day(on)}")


def _hold(said: _Said, invoice: InvoiceRow, until: date, on: date) -> bool:
    """Pause an invoice for the policy's days; not twice in a month, and never shorter than a person did."""
    setting = said.session.get(InvoiceSetting, (invoice.connection_id, invoice.external_id))
    paused = setting is not None and setting.paused
    if paused and setting is not None and (setting.paused_until_on is None or setting.paused_until_on >= until):
        return False
    lately = said.word.at - PAID_HOLDS_AGAIN
    if _count(said, invoice, "pause", col(Agreement.said_at) >= lately, col(Agreement.said_by) == said.word.by):
        return False
    agreements.pause(said.session, invoice, said.word, until=until, why=f"paid on {day(on)}, as the customer says")
    return True


def _promise(said: _Said) -> str:
    on = said.answer.on
    if on is None or not said.today <= on <= said.today + timedelta(days=PROMISE_DAYS):
        raise NotAccepted("problem_promise_on")
    kept = [each for each in said.invoices if _take_promise(said, each, on)]
    holds = f" Nothing is sent about {_numbers(kept)} until then." if kept else ""
    left = [each for each in said.invoices if each not in kept]
    judge = f" It is for you to judge about {_numbers(left)}: promised before, or agreed otherwise." if left else ""
    why = f"{said.name} promises to pay {_sums(said)} on {day(on)}.{holds}{judge}"
    return _told(said, "says_promise", on.isoformat(), why, f"promises to pay on {day(on)}")


def _take_promise(said: _Said, invoice: InvoiceRow, on: date) -> bool:
    open_plan = _count(said, invoice, "plan", col(Agreement.state) == "open")
    the_same = _count(said, invoice, "promise", col(Agreement.state) == "open", col(Agreement.until_on) == on)
    before = _count(said, invoice, "promise", col(Agreement.state).in_(["open", "broken", "replaced"]))
    if the_same:
        return True
    if open_plan or before >= PROMISES_MAX:
        return False
    agreements.promise(said.session, invoice, said.word, on=on)
    return True


def _wrong(said: _Said) -> str:
    text = one_line(said.answer.text, TEXT_MAX)
    if not text:
        raise NotAccepted("problem_wrong_what")
    fresh = [each for each in said.invoices if _take_dispute(said, each, text)]
    note = f"says that something is wrong: {text}"
    if len(fresh) == len(said.invoices) and said.session.get_one(Connection, said.here[0]).mode != "observe":
        _note(said, "wrong", _mark(text), note)
        return "done_wrong"  # the next run makes the disputes' tasks, with his words
    held = f" Nothing is sent about {_numbers(fresh)} until that is settled." if fresh else ""
    why = f"{said.name} says that something is wrong with {_sums(said)}: “{text}”.{held}"
    return _told(said, "says_wrong", _mark(text), why, note)


def _take_dispute(said: _Said, invoice: InvoiceRow, text: str) -> bool:
    """Stop the chase of an invoice; one that is disputed already stays as it was kept."""
    setting = said.session.get(InvoiceSetting, (invoice.connection_id, invoice.external_id))
    if setting is not None and setting.disputed_on is not None:
        return False
    agreements.dispute(said.session, invoice, said.word, why=text)
    return True


def _contact(said: _Said) -> str:
    """Take a new address at once where the customer has one at that domain already; else ask a person.

    Whoever has the link could else have our mails sent to anybody.
    """
    name, email = one_line(said.answer.text, 80).replace("<", "").replace(">", ""), said.answer.email.strip()
    if not _ADDRESS.fullmatch(email) or len(email) > 200:
        raise NotAccepted("problem_contact_email")
    setting = said.session.get(CustomerSetting, said.here)
    known = [each.strip() for each in ((setting and setting.emails) or said.customer.emails).split(",") if each.strip()]
    who = f"{name} <{email}>" if name else email
    if email.lower() in {each.lower() for each in known}:
        return "done_again"
    if _is_his(said, email, known):
        changes = {"emails": ", ".join([*known, email])}
        change_settings(said.session, *said.here, changes, by=said.word.by, at=said.word.at)
        why = f"{said.name} asks to write to {who} as well: mails go there from now on."
    else:
        command = f"duewell customers set {said.customer.external_id} --contact '{who}'"
        why = f"{said.name} asks to write to {who}. Make sure that it is his, then: {command}"
    return _told(said, "says_contact", _mark(email.lower()), why, "names another contact")


def _is_his(said: _Said, email: str, known: Sequence[str]) -> bool:
    """Tell whether a domain is the customer's alone: not a mail service that anybody may use."""
    domain = email.rpartition("@")[2].lower()
    if _FREE_MAIL.fullmatch(domain) or domain not in {each.rpartition("@")[2].lower() for each in known}:
        return False
    others = select(func.count()).where(
        col(CustomerRow.connection_id) == said.customer.connection_id,
        col(CustomerRow.external_id) != said.customer.external_id,
        col(CustomerRow.emails).icontains(f"@{domain}", autoescape=True),
    )
    return not said.session.scalar(others)


def _language(said: _Said) -> str:
    code = said.answer.text
    if code not in LANGUAGES:
        raise NotAccepted("problem_choose")
    change_settings(said.session, *said.here, {"language": code}, by=said.word.by, at=said.word.at)
    return "done_language"


def _stop(said: _Said) -> str:
    setting = said.session.get(CustomerSetting, said.here)
    if setting is None or not setting.no_reminders:
        stop.stop_for(said.installation, said.session, said.customer, how=_HERE)
        _note(said, "stop", said.today.isoformat(), "wants no more reminders by mail")
    return ""


_KINDS: dict[str, Callable[[_Said], str]] = {
    "paid": _paid,
    "promise": _promise,
    "wrong": _wrong,
    "contact": _contact,
    "language": _language,
    "stop": _stop,
}
_ABOUT_INVOICES = {"paid", "promise", "wrong"}


def _told(said: _Said, code: str, occasion: str, why: str, note: str) -> str:
    """Make the task and the notes of an answer, once."""
    about = said.answer.kind in _ABOUT_INVOICES
    ids = [each.external_id for each in said.invoices] if about else []
    occasion = f"{occasion}:{_mark(' '.join(ids))}" if ids else occasion
    here = (said.installation, said.session, said.customer)
    new = bookkeeper.ask(*here, code=code, occasion=occasion, why=why, invoice_ids=ids)
    if not new:
        return "done_again"
    _note(said, said.answer.kind, occasion, note)
    return f"done_{said.answer.kind}"


def _note(said: _Said, kind: str, occasion: str, note: str) -> None:
    """Have the ledger show it: on the invoices it is about, else on the one that is due longest."""
    at = said.installation.now()
    for invoice in said.invoices[: NOTES_MAX if kind in _ABOUT_INVOICES else 1]:
        text = f"{day(said.today)}, {said.name} {_HERE}: {note} (invoice {invoice.number})."
        outbox.owe_note(said.session, invoice, occasion=f"said:{kind}:{occasion}", text=text, at=at)


def _open_ones(session: Session, customer: CustomerRow) -> list[InvoiceRow]:
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == customer.connection_id,
        col(InvoiceRow.customer_id) == customer.external_id,
        col(InvoiceRow.is_open),
    )
    return list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))))


def _pause_days(said: _Said) -> int:
    policy, _version = policies_store.in_force(said.session, said.customer.connection_id).of(said.customer.external_id)
    return policy.replies.pause_days


def _count(said: _Said, invoice: InvoiceRow, kind: str, *conditions: object) -> int:
    query = select(func.count()).where(
        col(Agreement.connection_id) == invoice.connection_id,
        col(Agreement.invoice_id) == invoice.external_id,
        col(Agreement.kind) == kind,
        *conditions,  # type: ignore[arg-type]
    )
    return int(said.session.scalar(query) or 0)


def _sums(said: _Said) -> str:
    """Name the invoices with what is due on each: never added up over currencies."""
    return _listed([f"{each.number} ({sum_of(from_e4(each.due_e4), each.currency)})" for each in said.invoices])


def _numbers(invoices: Sequence[InvoiceRow]) -> str:
    return _listed([each.number for each in invoices])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
