"""One mail to one customer a day: which statement it is about, which steps it takes, what it lists; or a thank-you."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from policies.calendar import Opening, zone
from policies.decisions import SendReminder
from policies.deeds import Deeds
from policies.looks import Look
from policies.receivables import InvoiceStatus, Step
from policies.timetable import suspension_day
from policies.wording import NAMES, day, happened


class WhyNot(NamedTuple):
    """Why a mail that is due has to wait, and until when."""

    why: str
    until_on: date


def reminder(
    looks: Sequence[Look], deeds: Deeds, opens: Opening, leaves_on: date
) -> tuple[SendReminder | None, WhyNot | None]:
    """Choose the one mail of the day; what is due besides it waits, with the reason given."""
    wanting = [look for look in looks if look.mail is not None and not look.by_person]
    if not wanting:
        return None, None
    today, limits = wanting[0].case.today, wanting[0].case.policy.frequency
    if not deeds.may_contact(today, limits):
        until_on = deeds.next_contact_day(today, limits)
        return None, WhyNot(
            f"The last mail left on {day(deeds.contact_days[-1])}, the next may on {day(until_on)}.", until_on
        )
    wanting.sort(key=_urgency)
    lead = wanting[0]
    taking = [look for look in wanting if look.case is lead.case]
    waits_until = today + timedelta(days=limits.days_between)
    other = f"One mail a day: today's is about {lead.invoice.currency}; the next may leave on {day(waits_until)}."
    return _mail(lead, taking, looks, opens, leaves_on), WhyNot(other, waits_until)


def _urgency(look: Look) -> tuple[int, date, str]:
    return look.urgency(look.mail or Step.THANK_YOU)


def _mail(lead: Look, taking: list[Look], looks: Sequence[Look], opens: Opening, leaves_on: date) -> SendReminder:
    taken = tuple((look.invoice.id, look.mail) for look in taking if look.mail is not None)
    step = taken[0][1]
    return SendReminder(
        customer_id=lead.case.statement.customer.id,
        currency=lead.invoice.currency,
        step=step,
        taken=taken,
        listed=_listed(lead, looks, {invoice_id for invoice_id, _ in taken}),
        why=_why(lead, step, opens),
        leaves_from_at=opens.at,
        suspension_on=_suspension_on(taking, leaves_on),
        occasions=tuple((look.invoice.id, look.promise) for look in taking if look.mail is Step.PROMISE_BROKEN),
    )


def _listed(lead: Look, looks: Sequence[Look], taken: set[str]) -> tuple[str, ...]:
    """List what is due soon or overdue in the statement; a late fee stands beside its invoice."""
    horizon = lead.case.today + timedelta(days=lead.case.policy.due_soon_days)
    ours = [look for look in looks if look.case is lead.case]
    shown = set(taken)
    for look in ours:
        if look.started_on <= horizon and (look.hold is None or look.code == "below_minimum"):
            shown.add(look.invoice.id)
    shown.update(look.invoice.id for look in ours if look.code == "fee_invoice" and look.invoice.fee_of in shown)
    ours.sort(key=lambda look: (look.started_on, look.invoice.number, look.invoice.id))
    return tuple(look.invoice.id for look in ours if look.invoice.id in shown)


def _suspension_on(taking: list[Look], leaves_on: date) -> date | None:
    named = [suspension_day(look.row, look.invoice, leaves_on) for look in taking if look.mail is Step.FINAL_NOTICE]
    return min((on for on in named if on is not None), default=None)


def why(look: Look, step: Step, opens: Opening) -> str:
    """Say why an invoice is in today's mail."""
    if step is Step.THANK_YOU:
        return (
            f"The thank-you: it was paid in full on {day(look.invoice.settled_on or look.case.today)}.{_waits(opens)}"
        )
    return f"{NAMES[step].capitalize()}: {look.owed()}{_before(look)}.{_waits(opens)}"


def _waits(opens: Opening) -> str:
    return f" Outside the window now: {opens.why}." if opens.at else ""


def _why(lead: Look, step: Step, opens: Opening) -> str:
    number = lead.invoice.number or lead.invoice.id
    return f"{NAMES[step].capitalize()} about {number}: {lead.owed()}{_before(lead)}.{_waits(opens)}"


def _before(look: Look) -> str:
    """Name the promise that was broken, and the step before this one, where there was one."""
    promised_on = look.invoice.promised_on if look.mail is Step.PROMISE_BROKEN else None
    promised = f"; it was promised for {day(promised_on)} and did not come" if promised_on else ""
    if not look.taken:
        return promised
    on, step = max((on, step) for step, on in look.taken.items())
    return f"{promised}; {happened(step, on)}"


def thanks(looks: Sequence[Look], deeds: Deeds, opens: Opening) -> SendReminder | None:
    """Thank for what was just paid in full: one mail, once per customer in so many days."""
    policy, today = looks[0].case.policy if looks else None, looks[0].case.today if looks else date.min
    if policy is None or not policy.thanks.enabled or not deeds.may_contact(today, policy.frequency):
        return None
    if deeds.thanked_on is not None and (today - deeds.thanked_on).days < policy.thanks.once_in_days:
        return None
    paid = [look for look in looks if _deserves_thanks(look)]
    if not paid:
        return None
    lead = min(paid, key=lambda look: (look.invoice.currency, look.invoice.id))
    ours = tuple(sorted(look.invoice.id for look in paid if look.case is lead.case))
    number = lead.invoice.number or lead.invoice.id
    return SendReminder(
        customer_id=lead.case.statement.customer.id,
        currency=lead.invoice.currency,
        step=Step.THANK_YOU,
        taken=tuple((invoice_id, Step.THANK_YOU) for invoice_id in ours),
        listed=ours,
        why=f"The thank-you: {number} was paid in full on {day(lead.invoice.settled_on or today)}.{_waits(opens)}",
        leaves_from_at=opens.at,
    )


def _deserves_thanks(look: Look) -> bool:
    invoice, case = look.invoice, look.case
    if invoice.status is not InvoiceStatus.PAID or invoice.settled_on is None or invoice.total <= 0 or invoice.fee_of:
        return False
    live_since_at = case.statement.live_since_at
    if live_since_at is None or Step.THANK_YOU in look.taken:
        return False
    live_on = live_since_at.astimezone(zone(case.statement.company.time_zone)).date()
    ago = (case.today - invoice.settled_on).days
    return invoice.settled_on >= live_on and 0 <= ago <= case.policy.thanks.within_days and not _silenced(look)


def _silenced(look: Look) -> bool:
    """Tell whether this customer gets no mail at all: the holds of the customer, not of the invoice."""
    customer, case = look.case.statement.customer, look.case
    paused = customer.hold_until_on is not None and case.today < customer.hold_until_on
    unreachable = bool(customer.suppressed_why) or not any("@" in email for email in customer.emails)
    return case.stale is not None or paused or customer.no_reminders or unreachable
