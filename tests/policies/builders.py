"""Builders of facts for the tests of the policies, and a simulation of a customer over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from policies.decide import decide
from policies.decisions import (
    Action,
    ChargeLateFee,
    CreateTask,
    CustomerDecision,
    InvoiceDecision,
    NotifyOwner,
    SendReminder,
)
from policies.policy import ReminderPolicy
from policies.receivables import (
    BalanceChange,
    Company,
    Credit,
    CreditKind,
    Customer,
    Invoice,
    InvoiceStatus,
    PastAction,
    Size,
    Statement,
    Step,
)

MONDAY = date(2026, 11, 23)
BERLIN = ZoneInfo("Europe/Berlin")
POLICY = ReminderPolicy.default()
SIZE_PERCENTILES = {Size.LARGE: 90, Size.MEDIUM: 50, Size.SMALL: 0}
COMPANY = Company("Muster GmbH", "EUR", "DE", "Europe/Berlin")
KNOWN_CUSTOMER = Customer(
    "c1", "Kunde AG", emails=("pay@kunde.example",), first_invoiced_on=date(2024, 1, 8), paid_invoices=20
)
NEW_CUSTOMER = replace(KNOWN_CUSTOMER, first_invoiced_on=MONDAY, paid_invoices=0)


class Holidays:
    """A calendar with the given holidays: (country, date) to name; ``regional`` ones are not nationwide."""

    def __init__(
        self,
        names: dict[tuple[str, date], str] | None = None,
        regional: dict[tuple[str, date], str] | None = None,
    ) -> None:
        self.names = names or {}
        self.regional = regional or {}

    def holiday_name(self, place: str, on: date, *, any_region: bool = False) -> str:
        name = self.names.get((place, on), "")
        return name or (self.regional.get((place, on), "") if any_region else "")


NO_HOLIDAYS = Holidays()


def at(on: date, hour: int = 10, minute: int = 0, zone: ZoneInfo = BERLIN) -> datetime:
    """Return the instant of a local time."""
    return datetime(on.year, on.month, on.day, hour, minute, tzinfo=zone).astimezone(UTC)


def invoice(due_in: int = 30, *, today: date = MONDAY, terms: int = 30, **facts: Any) -> Invoice:
    """Build an open invoice that is due so many days from today (negative: overdue)."""
    due_on = today + timedelta(days=due_in)
    size_percentile = SIZE_PERCENTILES[facts.pop("size", Size.SMALL)]
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
        "size_percentile": size_percentile,
    }
    return Invoice(**{**known, **facts})


def overdue_invoice(days: int, **facts: Any) -> Invoice:
    """Build an open invoice that is so many days late today."""
    return invoice(-days, **facts)


def paid_invoice(closed_on: date, **facts: Any) -> Invoice:
    """Build an invoice that was paid in full by one payment, unless its balance changes say otherwise."""
    payment = BalanceChange(closed_on, -Decimal(str(facts.get("total", "100.00"))))
    known = {"due": Decimal(0), "status": InvoiceStatus.PAID, "closed_on": closed_on, "balance_changes": (payment,)}
    return invoice(**{**known, **facts})


def statement(*invoices: Invoice, now: datetime | None = None, **facts: Any) -> Statement:
    """Build a customer's statement in the currency of its invoices, with fresh data."""
    known: dict[str, Any] = {
        "company": COMPANY,
        "customer": KNOWN_CUSTOMER,
        "currency": invoices[0].currency if invoices else "EUR",
        "invoices": invoices,
        "synced_at": now or at(MONDAY),
        "live_since_at": at(date(2026, 1, 5)),
    }
    return Statement(**{**known, **facts})


def bank_receipt(amount: str, on: date, invoice_id: str = "i1", *, settles: bool = False) -> Credit:
    """Build money on a bank statement that pays an invoice and is not booked yet."""
    return Credit(
        "bank 1", CreditKind.BANK_RECEIPT, "c1", "EUR", Decimal(amount), on, "", invoice_id, "Ashdown Ltd", settles
    )


def sent_email(step: Step, on: date, invoice_id: str = "i1", **facts: Any) -> PastAction:
    """Build the past action of an email."""
    return PastAction(step, invoice_id, at(on), on, **{"email_key": f"{step} {on}", **facts})


def decide_at(*statements: Statement, now: datetime | None = None, policy: ReminderPolicy = POLICY) -> CustomerDecision:
    now = now or at(MONDAY)
    return decide([replace(each, synced_at=each.synced_at and now) for each in statements], policy, now, NO_HOLIDAYS)


def first_decision(
    *statements: Statement, now: datetime | None = None, policy: ReminderPolicy = POLICY
) -> InvoiceDecision:
    """Return the decision about the first invoice."""
    return decide_at(*statements, now=now, policy=policy).invoice_decisions[0]


def reminder_in(decision: CustomerDecision) -> SendReminder | None:
    return next((action for action in decision.actions if isinstance(action, SendReminder)), None)


def fees_in(decision: CustomerDecision) -> list[ChargeLateFee]:
    return [action for action in decision.actions if isinstance(action, ChargeLateFee)]


def tasks_in(decision: CustomerDecision) -> list[CreateTask]:
    return [action for action in decision.actions if isinstance(action, CreateTask)]


def steps_completed_by(action: Action) -> list[tuple[str, Step, str]]:
    """Return the (invoice, step, recurrence key) triples that an action completes."""
    if isinstance(action, SendReminder):
        recurrence_keys = dict(action.recurrence_keys)
        return [(invoice_id, step, recurrence_keys.get(invoice_id, "")) for invoice_id, step in action.completed]
    if isinstance(action, NotifyOwner):
        return [(invoice_id, step, "") for invoice_id, step in action.completed]
    if isinstance(action, ChargeLateFee):
        return [(action.invoice_id, Step.LATE_FEE, action.period)]
    return [(invoice_id, action.step, action.recurrence_key) for invoice_id in action.invoice_ids if action.step]


class Simulation:
    """A customer over time: days pass, invoices are paid, and what is decided is done and remembered."""

    def __init__(
        self,
        invoices: Sequence[Invoice],
        *,
        payment_dates: dict[str, date] | None = None,
        policy: ReminderPolicy = POLICY,
        calendar: Holidays = NO_HOLIDAYS,
        **facts: Any,
    ) -> None:
        self.invoices = list(invoices)
        self.payment_dates = payment_dates or {}
        self.policy = policy
        self.calendar = calendar
        self.facts = facts
        self.past_actions: list[PastAction] = []
        self.completed: list[tuple[date, Step, str, str]] = []
        self.sent_times: list[datetime] = []
        self.emails: list[tuple[date, Step, tuple[str, ...]]] = []
        self.fees: list[ChargeLateFee] = []

    def run(self, now: datetime) -> CustomerDecision:
        """Run once: decide, and do what can be done now."""
        today = now.astimezone(ZoneInfo(self.facts.get("company", COMPANY).time_zone)).date()
        decision = decide(list(self._statements(now, today)), self.policy, now, self.calendar)
        assert sorted(each.invoice_id for each in decision.invoice_decisions) == sorted(
            each.id for each in self.invoices if each.issued_on <= today
        )
        for action in decision.actions:
            if isinstance(action, SendReminder) and action.send_after is not None:
                assert action.send_after > now
                continue
            self._apply(action, now, today)
        return decision

    def run_all(self, instants: Iterable[datetime]) -> Simulation:
        for now in instants:
            self.run(now)
        return self

    def _statements(self, now: datetime, today: date) -> Iterator[Statement]:
        issued = [self._as_of(each, today) for each in self.invoices if each.issued_on <= today]
        for currency in sorted({each.currency for each in issued}):
            invoices = tuple(each for each in issued if each.currency == currency)
            yield replace(statement(*invoices, now=now, **self.facts), past_actions=tuple(self.past_actions))

    def _as_of(self, each: Invoice, today: date) -> Invoice:
        pays_on = self.payment_dates.get(each.id)
        if pays_on is None or today < pays_on:
            return each
        changes = (*each.balance_changes, BalanceChange(pays_on, -each.due))
        return replace(each, status=InvoiceStatus.PAID, due=Decimal(0), closed_on=pays_on, balance_changes=changes)

    def _apply(self, action: Action, now: datetime, today: date) -> None:
        is_contact = isinstance(action, SendReminder)
        if isinstance(action, SendReminder):
            self.sent_times.append(now)
            self.emails.append((today, action.step, tuple(sorted(each for each, _ in action.completed))))
        if isinstance(action, ChargeLateFee):
            self.fees.append(action)
        for invoice_id, step, recurrence_key in steps_completed_by(action):
            entry = (today, step, invoice_id, recurrence_key)
            assert (step, invoice_id, recurrence_key) not in {each[1:] for each in self.completed}, (
                f"{entry} was completed before"
            )
            self.completed.append(entry)
            self.past_actions.append(
                PastAction(
                    step,
                    invoice_id,
                    now,
                    today,
                    now.isoformat(),
                    is_contact=is_contact,
                    recurrence_key=recurrence_key,
                    announced_fee=isinstance(action, SendReminder) and invoice_id in action.announces_fee_on,
                    fee_terms=action.fee_terms if isinstance(action, SendReminder) else "",
                    suspension_on=action.suspension_on
                    if isinstance(action, SendReminder) and step is Step.FINAL_NOTICE
                    else None,
                )
            )


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
