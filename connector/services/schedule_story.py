"""The reminder schedule in words: what a customer of a segment hears from us, and when, in plain sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from connector.results import Result
from connector.vocabulary.labels import in_sentence, label
from policies.policy import ReminderPolicy
from policies.receivables import Segment, Size, Step
from policies.schedule import StepKind
from policies.schedule_rules import SCHEDULED_STEPS
from policies.sections import WEEKDAYS, Tone
from policies.step_tables import Origin, StepTable

_MANNER = {Tone.GENTLE: "gently", Tone.STANDARD: "politely", Tone.FIRM: "firmly"}
_BY_EMAIL, _BY_CALL = "by email", "by phone (a task)"
_SENTENCES: dict[Step, str] = {
    Step.RECEIPT_CHECK: "we ask {by} whether the invoice arrived",
    Step.DISCOUNT_ENDING: "we remind them {by} of the discount",
    Step.BEFORE_DUE: "we remind them {by} of the amount and due date",
    Step.DUE_TODAY: "we say {by} that it is due",
    Step.PAST_DUE: "we remind them {by}, {manner}",
    Step.NOTIFY_OWNER: "their account owner is alerted by email",
    Step.CALL: "a task asks you to call them",
    Step.SECOND_NOTICE: "the second notice follows {by}, with the statement",
    Step.PLAN_OFFER: "we offer a payment plan {by}",
    Step.LATE_FEE: "a late fee may be charged{approval}",
    Step.ESCALATION_CALL: "a task asks for an escalation call",
    Step.FINAL_NOTICE: "the final notice follows {by}{suspension}",
    Step.PROPOSE_SUSPENSION: "a task proposes to suspend the account",
    Step.HAND_OFF_REVIEW: "a task asks you to choose collections or a write-off",
}


class StoryEvent(Result):
    """A step of the story. ``day`` counts from ``origin``; ``when`` and ``what`` are the two halves of its sentence."""

    step: Step
    kind: StepKind
    origin: Origin
    day: int
    when: str
    what: str


class SizeStory(Result):
    """What happens to the invoices of some sizes, which are treated alike."""

    sizes: list[Size]
    events: list[StoryEvent]
    text: str

    @property
    def is_usual(self) -> bool:
        """Whether it is about medium invoices."""
        return Size.MEDIUM in self.sizes

    @property
    def title(self) -> str:
        """The sizes in words: ``Large and medium invoices``."""
        if len(self.sizes) == len(Size):
            return "All invoices"
        names = " and ".join(in_sentence(label(size)) for size in self.sizes)
        return f"{names.capitalize()} invoices"


class SegmentStory(Result):
    """What the customers of a segment hear from us; ``definition`` says which customers those are."""

    id: Segment
    definition: str
    stories: list[SizeStory]


def describe_schedule(policy: ReminderPolicy) -> list[SegmentStory]:
    """Return the story of each segment; sizes with the same one share it."""
    return [
        SegmentStory(id=segment, definition=_define(segment, policy), stories=list(_stories(segment, policy)))
        for segment in Segment
    ]


def contact_limits(policy: ReminderPolicy) -> str:
    """Return what holds for every story, in one paragraph."""
    limits, window = policy.frequency, policy.send_window
    thanks = " Customers who have paid in full are thanked by email." if policy.thank_you.enabled else ""
    closed = "public holidays or your closing days" if window.closing_days else "public holidays"
    return (
        f"Emails are sent {_weekdays(window.weekdays)}, from {window.opens:%H:%M} to {window.closes:%H:%M} in the"
        f" customer's time zone, not on {closed}. Contacts with a customer are at least {limits.min_days_between} days"
        f" apart, and at most {limits.max_in_7_days} in 7 and {limits.max_in_30_days} in 30 days, for all invoices"
        f" together. Invoices that are paid, disputed or promised are not chased.{thanks}"
    )


def _weekdays(days: Collection[int]) -> str:
    """Return weekdays in words: ``Monday to Friday``."""
    first, last = min(days), max(days)
    if len(days) == len(WEEKDAYS):
        return "every day"
    names = [label(WEEKDAYS[day], "policy_choice") for day in sorted(days)]
    if len(days) > 2 and last - first == len(days) - 1:
        return f"{names[0]} to {names[-1]}"
    return f"on {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else f"on {names[0]}s"


def _stories(segment: Segment, policy: ReminderPolicy) -> Iterator[SizeStory]:
    by_size = [(size, _events(segment, size, policy)) for size in Size]
    for _key, alike in groupby(by_size, key=lambda each: [(event.step, event.kind, event.day) for event in each[1]]):
        same = list(alike)
        yield SizeStory(sizes=[size for size, _ in same], events=same[0][1], text=_as_text(same[0][1]))


def _events(segment: Segment, size: Size, policy: ReminderPolicy) -> list[StoryEvent]:
    steps = policy.step_tables
    days: dict[Step, int] = {
        step: day for step in SCHEDULED_STEPS if (day := steps[step].days[segment, size]) is not None
    }
    if not policy.late_fees.enabled:
        days.pop(Step.LATE_FEE, None)
    events = [_event(step, day, (segment, size), steps[step], days, policy) for step, day in days.items()]
    order = {Origin.ISSUE: 0, Origin.DISCOUNT_END: 1, Origin.DUE: 2}
    return sorted(events, key=lambda event: (order[event.origin], event.day, event.step is Step.LATE_FEE))


def _event(
    step: Step, day: int, cell: tuple[Segment, Size], table: StepTable, days: dict[Step, int], policy: ReminderPolicy
) -> StoryEvent:
    kind = StepKind.CALL if cell in table.calls else table.kind
    suspension = days.get(Step.PROPOSE_SUSPENSION)
    what = _SENTENCES[step].format(
        by=_BY_CALL if kind is StepKind.CALL else _BY_EMAIL,
        manner=_MANNER[policy.tone],
        suspension=f" and names day {suspension}" if suspension is not None else "",
        approval=", once somebody approves it" if policy.late_fees.needs_approval else "",
    )
    when = _when(table.origin, day, step)
    return StoryEvent(step=step, kind=kind, origin=table.origin, day=day, when=when, what=what)


def _when(origin: Origin, day: int, step: Step) -> str:
    count = f"{abs(day)} day{'s' if abs(day) != 1 else ''}"
    if origin is Origin.ISSUE:
        return f"{count} after the invoice date"
    if origin is Origin.DISCOUNT_END:
        return f"{count} before a discount ends" if day else "on the last day of a discount"
    if day > 0:
        return f"{'from' if step is Step.LATE_FEE else 'on'} day {day}"
    return f"{count} before the due date" if day else "on the due date"


def _as_text(events: Sequence[StoryEvent]) -> str:
    """Return the story as sentences, one for the time up to the due date and one for the days after it."""
    late = [event for event in events if event.origin is Origin.DUE and event.day > 0]
    early = [event for event in events if event not in late]
    sentences = []
    for heard, start in ((early, ""), (late, "After the due date: ")):
        if heard:
            text = start + "; ".join(f"{event.when} {event.what}" for event in heard)
            sentences.append(f"{text[0].upper()}{text[1:]}.")
    return " ".join(sentences) or "They hear nothing from us."


def _define(segment: Segment, policy: ReminderPolicy) -> str:
    rules = policy.segments
    if segment is Segment.NEW:
        return (
            f"Invoiced for the first time less than {rules.new_days} days ago, or fewer than"
            f" {rules.new_paid_invoices} paid invoices."
        )
    if segment is Segment.STRATEGIC:
        return (
            f"The customers who make {rules.revenue_percent} % of the last 12 months' revenue, at most"
            f" {rules.customers_percent} % of all."
        )
    return "All other customers."
