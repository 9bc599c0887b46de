"""Builders of facts for the tests of the policies, and a book in memory that lives through days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from policies.decide import decide
from policies.decisions import Action, Answer, ChargeLateFee, Decision, MakeTask, SendReminder, TellOwner
from policies.policy import ReminderPolicy
from policies.receivables import Company, Customer, Deed, Invoice, InvoiceStatus, Statement, Step

MONDAY = date(2026, 11, 23)
BERLIN = ZoneInfo("Europe/Berlin")
POLICY = ReminderPolicy.default()
COMPANY = Company("Muster GmbH", "EUR", "DE", "Europe/Berlin")
KNOWN = Customer("c1", "Kunde AG", emails=("pay@kunde.example",), first_invoiced_on=date(2024, 1, 8), paid_invoices=20)
NEWCOMER = replace(KNOWN, first_invoiced_on=MONDAY, paid_invoices=0)


class Holidays:
    """A calendar with the holidays it is given: (country, day) to name."""

    def __init__(self, named: dict[tuple[str, date], str] | None = None) -> None:
        self.named = named or {}

    def holiday(self, country: str, on: date) -> str:
        return self.named.get((country, on), "")


NO_HOLIDAYS = Holidays()


def at(on: date, hour: int = 10, minute: int = 0, zone: ZoneInfo = BERLIN) -> datetime:
    """An instant: the clock at a place."""
    return datetime(on.year, on.month, on.day, hour, minute, tzinfo=zone).astimezone(UTC)


def invoice(due_in: int = 30, *, today: date = MONDAY, terms: int = 30, **facts: Any) -> Invoice:
    """An open invoice that falls due so many days from today (negative: is late)."""
    due_on = today + timedelta(days=due_in)
    total = Decimal(str(facts.pop("total", "100.00")))
    known: dict[str, Any] = {
        "id": "i1",
        "number": "INV-1",
        "customer_id": "c1",
        "currency": "EUR",
        "issued_on": due_on - timedelta(days=terms),
        "due_on": due_on,
        "total": total,
        "due": total,
        "status": InvoiceStatus.OPEN,
    }
    return Invoice(**{**known, **facts})


def late(days: int, **facts: Any) -> Invoice:
    """An open invoice that is so many days late today."""
    return invoice(-days, **facts)


def paid(settled_on: date, **facts: Any) -> Invoice:
    return invoice(**{"due": Decimal(0), "status": InvoiceStatus.PAID, "settled_on": settled_on, **facts})


def statement(*invoices: Invoice, now: datetime | None = None, **facts: Any) -> Statement:
    """One customer's statement in the currency of its invoices, over fresh books."""
    known: dict[str, Any] = {
        "company": COMPANY,
        "customer": KNOWN,
        "currency": invoices[0].currency if invoices else "EUR",
        "invoices": invoices,
        "pulled_at": now or at(MONDAY),
        "live_since_at": at(date(2026, 1, 5)),
    }
    return Statement(**{**known, **facts})


def mailed(step: Step, on: date, invoice_id: str = "i1", **facts: Any) -> Deed:
    """A mail that left."""
    return Deed(step, invoice_id, at(on), on, **{"mail_key": f"{step} {on}", **facts})


def decided(*statements: Statement, now: datetime | None = None, policy: ReminderPolicy = POLICY) -> Decision:
    now = now or at(MONDAY)
    return decide([replace(each, pulled_at=each.pulled_at and now) for each in statements], policy, now, NO_HOLIDAYS)


def answer(*statements: Statement, now: datetime | None = None, policy: ReminderPolicy = POLICY) -> Answer:
    """The answer for the first invoice."""
    return decided(*statements, now=now, policy=policy).answers[0]


def mail_of(decision: Decision) -> SendReminder | None:
    return next((action for action in decision.actions if isinstance(action, SendReminder)), None)


def fees_of(decision: Decision) -> list[ChargeLateFee]:
    return [action for action in decision.actions if isinstance(action, ChargeLateFee)]


def tasks_of(decision: Decision) -> list[MakeTask]:
    return [action for action in decision.actions if isinstance(action, MakeTask)]


def steps_taken(action: Action) -> list[tuple[str, Step, str]]:
    """The (invoice, step, occasion) triples an action takes."""
    if isinstance(action, SendReminder):
        occasions = dict(action.occasions)
        return [(invoice_id, step, occasions.get(invoice_id, "")) for invoice_id, step in action.taken]
    if isinstance(action, TellOwner):
        return [(invoice_id, step, "") for invoice_id, step in action.taken]
    if isinstance(action, ChargeLateFee):
        return [(action.invoice_id, Step.LATE_FEE, action.period)]
    return [(invoice_id, action.step, action.occasion) for invoice_id in action.invoice_ids if action.step]


class Book:
    """A customer's book that lives: days pass, invoices are paid, what is decided is done and remembered."""

    def __init__(
        self,
        invoices: Sequence[Invoice],
        *,
        pays: dict[str, date] | None = None,
        policy: ReminderPolicy = POLICY,
        calendar: Holidays = NO_HOLIDAYS,
        **facts: Any,
    ) -> None:
        self.invoices = list(invoices)
        self.pays = pays or {}
        self.policy = policy
        self.calendar = calendar
        self.facts = facts
        self.deeds: list[Deed] = []
        self.done: list[tuple[date, Step, str, str]] = []
        self.left_at: list[datetime] = []
        self.mails: list[tuple[date, Step, tuple[str, ...]]] = []

    def run(self, now: datetime) -> Decision:
        """One run: decide, and do what may be done now."""
        today = now.astimezone(ZoneInfo(self.facts.get("company", COMPANY).time_zone)).date()
        decision = decide(list(self._statements(now, today)), self.policy, now, self.calendar)
        assert sorted(each.invoice_id for each in decision.answers) == sorted(
            each.id for each in self.invoices if each.issued_on <= today
        )
        for action in decision.actions:
            if isinstance(action, SendReminder) and action.leaves_from_at is not None:
                assert action.leaves_from_at > now
                continue
            self._do(action, now, today)
        return decision

    def live(self, moments: Iterable[datetime]) -> Book:
        for now in moments:
            self.run(now)
        return self

    def _statements(self, now: datetime, today: date) -> Iterator[Statement]:
        there = [self._as_of(each, today) for each in self.invoices if each.issued_on <= today]
        for currency in sorted({each.currency for each in there}):
            ours = tuple(each for each in there if each.currency == currency)
            yield replace(statement(*ours, now=now, **self.facts), deeds=tuple(self.deeds))

    def _as_of(self, each: Invoice, today: date) -> Invoice:
        pays_on = self.pays.get(each.id)
        if pays_on is None or today < pays_on:
            return each
        return replace(each, status=InvoiceStatus.PAID, due=Decimal(0), settled_on=pays_on)

    def _do(self, action: Action, now: datetime, today: date) -> None:
        contact = isinstance(action, SendReminder)
        if isinstance(action, SendReminder):
            self.left_at.append(now)
            self.mails.append((today, action.step, tuple(sorted(each for each, _ in action.taken))))
        for invoice_id, step, occasion in steps_taken(action):
            entry = (today, step, invoice_id, occasion)
            assert (step, invoice_id, occasion) not in {each[1:] for each in self.done}, f"{entry} was done before"
            self.done.append(entry)
            self.deeds.append(Deed(step, invoice_id, now, today, now.isoformat(), contact=contact, occasion=occasion))


def hourly(first_on: date, days: int, zone: ZoneInfo = BERLIN) -> Iterator[datetime]:
    return _every(timedelta(hours=1), first_on, days, zone)


def every_five_minutes(first_on: date, days: int, zone: ZoneInfo = BERLIN) -> Iterator[datetime]:
    return _every(timedelta(minutes=5), first_on, days, zone)


def _every(step: timedelta, first_on: date, days: int, zone: ZoneInfo) -> Iterator[datetime]:
    now, end = at(first_on, 0, 0, zone), at(first_on + timedelta(days=days), 0, 0, zone)
    while now < end:
        yield now
        now += step


def daily(first_on: date, days: int, zone: ZoneInfo = BERLIN, hour: int = 10) -> Iterator[datetime]:
    return (at(first_on + timedelta(days=count), hour, 0, zone) for count in range(days))
