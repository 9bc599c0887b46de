"""Work for people: calls and proposals of the timetable, what no mail can do, and word to the customer's owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from policies.calendar import business_days_after
from policies.decisions import MakeTask, TellOwner
from policies.deeds import Deeds
from policies.looks import Look
from policies.receivables import Step
from policies.timetable import RUNGS
from policies.wording import NAMES, day

_SHOWN = 3  # invoices named in a sentence


def due(looks: Sequence[Look]) -> Iterable[MakeTask]:
    """Make one task per step that is due, for all invoices it is due for.

    Where a promise was broken today somebody calls about that, not twice.
    """
    steps: dict[Step, list[Look]] = {}
    for look in looks:
        for step in look.tasks:
            if not (look.broken and step is Step.CALL):
                steps.setdefault(step, []).append(look)
    for step, group in steps.items():
        yield _task(group, step, step.value, f"{NAMES[step].capitalize()}: {_summary(group)}")


def why(look: Look, step: Step) -> str:
    """Say why an invoice is in a task."""
    return f"{NAMES[step].capitalize()}, a task for a person: {look.owed()}."


def by_person(looks: Sequence[Look], deeds: Deeds) -> Iterable[MakeTask]:
    """Turn the mail steps of a customer who cannot or may not be mailed into one task, and no more than one."""
    held = [look for look in looks if look.by_person]
    if not held:
        return
    given_on = _given_on(held, deeds)
    if given_on is not None:
        for look in held:
            look.person_has = f" A person has had it as a task since {day(given_on)}."
        return
    group = [look for look in held if look.mail in RUNGS or (look.mail is not None and look.code != "opted_out")]
    if not group:
        return
    for look in group:
        look.person_gets = look.mail
    lead = min(group, key=lambda look: look.urgency(look.mail or Step.THANK_YOU))
    words = lead.hold.why if lead.hold else ""
    yield _task(
        group, lead.mail, lead.code, f"{words} Instead of {NAMES[lead.mail or Step.PAST_DUE]}: {_summary(group)}"
    )


def _given_on(held: Sequence[Look], deeds: Deeds) -> date | None:
    """Tell since when a person has the task: a mail step of an open invoice that was taken by hand."""
    days = [
        on
        for look in held
        for step, on in deeds.by_hand_on.get(look.invoice.id, {}).items()
        if step not in look.row.by_call
    ]
    return min(days, default=None)


def owners(looks: Sequence[Look]) -> Iterable[TellOwner]:
    """Tell the owner once per invoice, in one mail per statement."""
    statements: dict[str, list[Look]] = {}
    for look in looks:
        if look.tell_owner:
            statements.setdefault(look.invoice.currency, []).append(look)
    for currency, group in statements.items():
        yield TellOwner(
            customer_id=group[0].case.statement.customer.id,
            currency=currency,
            taken=tuple((look.invoice.id, Step.TELL_OWNER) for look in group),
            why=f"Its owner is told: {_summary(group)}",
        )


def _task(group: Sequence[Look], step: Step | None, code: str, words: str) -> MakeTask:
    case = group[0].case
    return MakeTask(
        customer_id=case.statement.customer.id,
        step=step,
        code=code,
        invoice_ids=tuple(look.invoice.id for look in group),
        due_on=business_days_after(case.today, 0, case.statement.company.country, case.policy.window, case.calendar),
        why=words,
    )


def _summary(group: Sequence[Look]) -> str:
    shown = [f"{look.invoice.number or look.invoice.id}, {look.owed()}" for look in group[:_SHOWN]]
    more = f"; and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
    return "; ".join(shown) + more + "."
