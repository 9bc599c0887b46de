"""The whole policy, top to bottom: what to do about one customer today, and one answer for each of his invoices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from policies import agreements, holds, late_fees, mails, shifts, tasks, timetable
from policies.calendar import Calendar, Opening, opening, zone
from policies.case import Case, Hold
from policies.decisions import Action, Answer, AnswerKind, ChargeLateFee, Decision
from policies.deeds import Deeds
from policies.looks import Look
from policies.policy import ReminderPolicy
from policies.receivables import Deed, Invoice, Statement, Step
from policies.segments import segment_of, size_of
from policies.wording import NAMES, day


@dataclass(frozen=True, slots=True)
class _Day:
    """What holds for all statements of the customer today."""

    policy: ReminderPolicy
    now: datetime
    today: date
    calendar: Calendar
    deeds: Deeds
    opening: Opening
    leaves_on: date


def decide(statements: Sequence[Statement], policy: ReminderPolicy, now: datetime, calendar: Calendar) -> Decision:
    """Decide about one customer: all his statements, one per currency, at an aware instant."""
    if not statements:
        return Decision("", (), ())
    today = now.astimezone(zone(statements[0].company.time_zone)).date()
    policy = policy.chosen_for(statements[0].customer, today)
    the_day = _open_day(statements, policy, now, calendar)
    looks = [look for statement in statements for look in _look_at(statement, the_day)]

    agreed = list(agreements.tasks(looks))
    actions: list[Action] = [*tasks.by_person(looks, the_day.deeds), *tasks.due(looks), *tasks.owners(looks), *agreed]
    actions += [look.fee for look in looks if isinstance(look.fee, ChargeLateFee)]

    mail, why_not = mails.reminder(looks, the_day.deeds, the_day.opening, the_day.leaves_on)
    if mail is None and why_not is None:
        mail = mails.thanks(looks, the_day.deeds, the_day.opening)
    if mail is not None:
        actions.insert(0, mail)
    taken = dict(mail.taken) if mail is not None else {}
    answers = tuple(_answer(look, taken.get(look.invoice.id), why_not, the_day) for look in looks)
    return Decision(statements[0].customer.id, tuple(actions), answers, policy.name)


def _open_day(statements: Sequence[Statement], policy: ReminderPolicy, now: datetime, calendar: Calendar) -> _Day:
    """Fix what the day is: the date is the company's, the window the customer's."""
    company, customer = statements[0].company, statements[0].customer
    here, there = zone(company.time_zone), zone(customer.time_zone, company.time_zone)
    today = now.astimezone(here).date()
    opens = opening(now, there, customer.country or company.country, policy.window, calendar)
    leaves_on = opens.at.astimezone(here).date() if opens.at else today
    return _Day(policy, now, today, calendar, Deeds.of(_deeds(statements)), opens, leaves_on)


def _deeds(statements: Sequence[Statement]) -> Iterable[Deed]:
    """Give the customer's deeds once, though every statement carries them."""
    if len(statements) == 1:
        return statements[0].deeds
    return dict.fromkeys(deed for statement in statements for deed in statement.deeds)


def _look_at(statement: Statement, the_day: _Day) -> Iterable[Look]:
    """Look at every invoice of a statement: what holds it, or else which steps are due."""
    policy, today = the_day.policy, the_day.today
    segment = segment_of(statement.customer, policy.segments, today)
    case = Case(
        statement=statement,
        policy=policy,
        today=today,
        now=the_day.now,
        calendar=the_day.calendar,
        segment=segment,
        covered=holds.covered_by_credit(statement),
        stale=holds.stale(statement, policy, today, the_day.now),
    )
    for invoice in statement.invoices:
        yield _look(case, invoice, the_day)


def _look(case: Case, invoice: Invoice, the_day: _Day) -> Look:
    row = case.policy.rows[case.segment, size_of(invoice, case.policy.sizes)]
    if case.statement.customer.habits is not None:
        row = shifts.shifted(row, case.statement.customer.habits)
    look = Look(case, invoice, row, the_day.deeds.taken(invoice.id))
    held = holds.first_hold(case, invoice)
    if held is not None:
        look.code, look.hold, look.by_person = held
        if not look.by_person:
            return look
    today = the_day.today
    look.mail = _mail_due(look, today, the_day.leaves_on)
    look.tell_owner = timetable.tell_owner_due(row, invoice, look.taken, today)
    if look.by_person:
        return look
    task = timetable.task_due(row, invoice, look.taken, today)
    look.tasks = (task,) if task is not None else ()
    look.fee = late_fees.late_fee(case, invoice, row, the_day.deeds)
    if look.mail is not None and look.mail in row.by_call:
        look.tasks, look.mail = (*look.tasks, look.mail), None
    return look


def _mail_due(look: Look, today: date, leaves_on: date) -> Step | None:
    """Find the mail that is due: a rung after the due date, or else an early step that is still right."""
    rung = timetable.next_rung(look.row, look.invoice, look.taken)
    if rung is not None and rung.on <= today:
        return rung.step
    if today > timetable.starts_on(look.invoice):
        return None
    return timetable.early_due(look.row, look.invoice, look.taken, today, leaves_on)


def _answer(look: Look, mailed: Step | None, why_not: mails.WhyNot | None, the_day: _Day) -> Answer:
    """Give the one answer: the mail that goes, else a fee, a task, word to the owner, or why nothing happens."""
    if mailed is not None:
        return _acted(look, AnswerKind.REMINDER, mailed, mails.why(look, mailed, the_day.opening), the_day.leaves_on)
    if isinstance(look.fee, ChargeLateFee):
        return _acted(look, AnswerKind.FEE, Step.LATE_FEE, look.fee.why)
    if look.hold is not None:
        return _held(look, look.hold)
    if look.broken:
        return _acted(look, AnswerKind.TASK, Step.PROMISE_BROKEN, look.broken)
    if look.tasks:
        return _acted(look, AnswerKind.TASK, look.tasks[0], tasks.why(look, look.tasks[0]))
    if look.mail is not None and why_not is not None:
        words = f"{why_not.why} {NAMES[look.mail].capitalize()} waits until then."
        return Answer(look.invoice.id, AnswerKind.HOLD, "frequency", words, look.mail, why_not.until_on)
    if look.tell_owner:
        return _acted(look, AnswerKind.TASK, Step.TELL_OWNER, f"Its owner is told of the delay.{_no_fee(look)}")
    return _not_yet(look)


def _acted(look: Look, kind: AnswerKind, step: Step, why: str, on: date | None = None) -> Answer:
    following = look.upcoming(step, on)
    next_step, next_on = following or (None, None)
    return Answer(look.invoice.id, kind, step.value, why, next_step, next_on)


def _held(look: Look, hold: Hold) -> Answer:
    if look.person_gets is not None:
        return Answer(look.invoice.id, AnswerKind.TASK, look.code, f"{hold.why} A person gets it as a task.")
    return Answer(look.invoice.id, AnswerKind.HOLD, look.code, f"{hold.why}{look.person_has}", None, hold.until_on)


def _no_fee(look: Look) -> str:
    return f" {look.fee}" if look.fee else ""


def _not_yet(look: Look) -> Answer:
    following = look.upcoming()
    if following is None:
        words = "Every step of the timetable was taken: it is with a person now."
        return Answer(look.invoice.id, AnswerKind.HOLD, "all_taken", words + _no_fee(look))
    words = f"Nothing due until {day(following.on)}: then {NAMES[following.step]}.{_no_fee(look)}"
    return Answer(look.invoice.id, AnswerKind.HOLD, "not_yet", words, following.step, following.on)
