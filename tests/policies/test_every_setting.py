"""Every setting of the policy document, one after another: changing it changes what is decided.

The settings come from the models of the document, so that a new one fails here until a change of it is tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from policies import policy as policy_module
from policies.customer_policies import AppliesTo
from policies.decide import decide
from policies.policy import PolicyError, ReminderPolicy
from policies.receivables import Customer, Discount, Invoice, PastAction, RevenueRank, Segment, Size, Step
from policies.schedule import StepKind
from policies.schedule_rules import SCHEDULED_STEPS
from policies.step_tables import CELLS, Origin
from policies.validation import Section
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    NO_HOLIDAYS,
    Simulation,
    at,
    bank_receipt,
    daily,
    decide_at,
    invoice,
    overdue_invoice,
    paid_invoice,
    sent_email,
    statement,
)

ROOT = Path(__file__).parents[2]
EVERY_DAY = '[send_window]\nweekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n'
FEES = "[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\n"
AUTOMATIC = f'{FEES}approval = "automatic"\n'
MONTHLY = f'{FEES}kind = "percent_per_month"\n'
ANNUAL = f'{AUTOMATIC}kind = "annual"\n'


def walk(model: type[Section], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every setting of a model."""
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from walk(field.annotation, here)
        else:
            yield here


ALL = list(walk(policy_module._DOCUMENT_MODEL))
DAYS = [path for path in ALL if path[0] in SCHEDULED_STEPS and path[-1] in list(Segment)]
CARRIED_OUT = [path for path in ALL if path[0] in SCHEDULED_STEPS and path[-1] not in list(Segment)]
OTHERS = [".".join(path) for path in ALL if path not in {*DAYS, *CARRIED_OUT}]


# ---- the steps of the schedule: on which day, and how they are carried out -------------------------------------------


@cache
def contacts(document: str, segment: Segment, size: Size) -> list[tuple[date, str]]:
    """Return what is done about one invoice that is never paid, from its first day on."""
    one = invoice(60, terms=60, size=size, discount=Discount(Decimal(2), MONDAY + timedelta(days=30)))
    customer = replace(KNOWN_CUSTOMER, segment=segment)
    simulation = Simulation([one], policy=ReminderPolicy.from_toml(document), customer=customer)
    return [
        (now.date(), f"{type(action).__name__} {getattr(action, 'step', '')}")
        for now in daily(MONDAY, 155)
        for action in simulation.run(now).actions
    ]


def move_day(document: str, step: Step, segment: Segment, size: Size) -> str:
    """Change one day of the schedule to the nearest other one that the rules allow."""
    table = ReminderPolicy.from_toml(document).document[step]
    assert isinstance(table, dict)
    day = table[segment][size]
    nearby = range(-60, 121) if day == "off" else sorted(range(day - 30, day + 31), key=lambda each: abs(each - day))
    for other in [*nearby, '"off"']:
        changed = f"{document}[{step}]\n{segment} = {{ {size} = {other} }}\n"
        try:
            if other != day and ReminderPolicy.from_toml(changed):
                return changed
        except PolicyError:
            continue
    raise AssertionError(f"no other day of {step} is allowed for {segment} {size}")


@pytest.mark.parametrize("step", SCHEDULED_STEPS)
def test_each_day_of_the_schedule_counts_in_its_own_segment_and_size(step: Step) -> None:
    assert {path[1] for path in DAYS if path[0] == step} == set(Segment)
    base = EVERY_DAY + FEES
    for segment, size in CELLS:
        changed = move_day(base, step, segment, size)
        assert contacts(changed, segment, size) != contacts(base, segment, size), (segment, size)
        other = CELLS[CELLS.index((segment, size)) - 1]
        assert contacts(changed, *other) == contacts(base, *other), f"{other} changed with {segment, size}"


@pytest.mark.parametrize("path", CARRIED_OUT, ids=".".join)
def test_each_step_is_carried_out_as_the_policy_says(path: tuple[str, str]) -> None:
    """What cannot be changed, because a step is what it is, is refused."""
    step, key = path
    base = EVERY_DAY + FEES
    cell = (Segment.NEW, Size.MEDIUM)
    if key == "by_call":
        changed = f'{base}[{step}]\nby_call = ["new medium"]\n'
        assert contacts(changed, *cell) != contacts(base, *cell)
        return
    values = list(StepKind) if key == "kind" else list(Origin)
    allowed = 0
    for value in values:
        changed = f'{base}[{step}]\n{key} = "{value}"\n'
        try:
            ReminderPolicy.from_toml(changed)
        except PolicyError:
            continue
        allowed += 1
        default = ReminderPolicy.from_toml(base).document[step]
        assert isinstance(default, dict)
        assert (contacts(changed, *cell) == contacts(base, *cell)) is (default[key] == value)
    assert allowed == (2 if key == "kind" and (step, "by_call") in CARRIED_OUT else 1)


# ---- all other settings ----------------------------------------------------------------------------------------------

Case = Callable[[ReminderPolicy], object]
TOP = RevenueRank(rank=2, customers=12, revenue_above=Decimal(75), revenue=Decimal(10), total_revenue=Decimal(100))
TOP_CUSTOMER = replace(KNOWN_CUSTOMER, revenue_ranks=(TOP,))
DISPUTED_ON = MONDAY - timedelta(days=14)
FIRST_FEE = PastAction(
    Step.LATE_FEE,
    "i1",
    at(MONDAY - timedelta(days=30)),
    MONDAY - timedelta(days=30),
    is_contact=False,
    recurrence_key="2026-09",
    fee_amount=Decimal(10),
)


def decided(*invoices: Invoice, **facts: Any) -> Case:
    """Return the case of one statement: what is decided about it."""
    return lambda policy: decide_at(statement(*invoices, **facts), policy=policy)


def late(days: int = 40, *past_actions: PastAction, customer: Customer = KNOWN_CUSTOMER) -> Case:
    """Return the case of a late invoice whose customer was warned of a fee."""
    past = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=days - 5)), *past_actions)
    return decided(overdue_invoice(days, total="1000.00"), past_actions=past, customer=customer)


def emailed(days_ago: int) -> Case:
    """Return the case of an overdue invoice of a customer who got an email about another one."""
    past = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=days_ago), "other"),)
    return decided(overdue_invoice(8), past_actions=past)


def paid(*past_actions: PastAction) -> Case:
    return decided(paid_invoice(MONDAY - timedelta(days=4)), past_actions=past_actions)


def read_hours_ago(hours: int) -> Case:
    synced = statement(overdue_invoice(8), now=at(MONDAY) - timedelta(hours=hours))
    return lambda policy: decide([synced], policy, at(MONDAY), NO_HOLIDAYS)


def applies_to(who: str) -> str:
    return f'[policies.friends]\ntone = "firm"\napplies_to = {{ {who} }}\n'


_OVERDUE = decided(overdue_invoice(8))
_OFFERED = decided(overdue_invoice(35), past_actions=(sent_email(Step.SECOND_NOTICE, MONDAY - timedelta(days=10)),))
_LARGE_TOP = decided(overdue_invoice(3, size=Size.LARGE), customer=TOP_CUSTOMER)
_DISPUTE = decided(
    overdue_invoice(20, disputed_on=DISPUTED_ON),
    past_actions=(sent_email(Step.DISPUTE_RAISED, DISPUTED_ON, is_contact=False),),
)
_PROMISE = decided(overdue_invoice(20, promised_on=MONDAY - timedelta(days=3)))  # a Friday
_FRIEND = decided(overdue_invoice(3), customer=replace(KNOWN_CUSTOMER, tags=("Friend",), groups=("Members",)))
_RATES = 'rates = { "2026-01-01" = 10, "2026-11-01" = 12 }\n'

# setting: a document, the same with another value of the setting, and a case that comes out differently
CHANGES: dict[str, tuple[str, str, Case]] = {
    "tone": ("", 'tone = "firm"', decided(overdue_invoice(3))),
    "frequency.min_days_between": ("", "[frequency]\nmin_days_between = 4", emailed(3)),
    "frequency.max_in_7_days": ("", "[frequency]\nmax_in_7_days = 1", emailed(6)),
    "frequency.max_in_30_days": ("", "[frequency]\nmax_in_30_days = 1", emailed(29)),
    "send_window.opens": ("", '[send_window]\nopens = "10:01"', _OVERDUE),
    "send_window.closes": ("", '[send_window]\ncloses = "10:00"', _OVERDUE),
    "send_window.closing_days": ("", f'[send_window]\nclosing_days = ["{MONDAY:%m-%d}"]', _OVERDUE),
    "send_window.weekdays": ("", '[send_window]\nweekdays = ["tue"]', _OVERDUE),
    "statement.due_soon_days": (
        "",
        "[statement]\ndue_soon_days = 4",
        decided(
            overdue_invoice(8),
            invoice(5, id="i2"),
            past_actions=(sent_email(Step.BEFORE_DUE, MONDAY - timedelta(days=4), "i2"),),
        ),
    ),
    "statement.gather_days": (
        "",
        "[statement]\ngather_days = 1",
        decided(overdue_invoice(8), overdue_invoice(4, id="i2")),
    ),
    "statement.chase_unsent": (
        "",
        "[statement]\nchase_unsent = true",
        decided(overdue_invoice(8, sent_to_customer=False)),
    ),
    "segments.new_days": (
        "",
        "[segments]\nnew_days = 201",
        decided(overdue_invoice(5), customer=replace(KNOWN_CUSTOMER, first_invoiced_on=MONDAY - timedelta(days=200))),
    ),
    "segments.new_paid_invoices": ("", "[segments]\nnew_paid_invoices = 21", decided(overdue_invoice(5))),
    "segments.revenue_percent": ("", "[segments]\nrevenue_percent = 75", _LARGE_TOP),
    "segments.customers_percent": ("", "[segments]\ncustomers_percent = 16", _LARGE_TOP),
    "sizes.large_percentile": ("", "[sizes]\nlarge_percentile = 91", decided(overdue_invoice(3, size=Size.LARGE))),
    "sizes.medium_percentile": ("", "[sizes]\nmedium_percentile = 51", decided(overdue_invoice(5, size=Size.MEDIUM))),
    "sizes.floors": ("", "[sizes.floors]\nEUR = { large = 100, medium = 10 }", decided(overdue_invoice(3))),
    "minimum_balance": ("", "[minimum_balance]\nEUR = 101", _OVERDUE),
    "plan_offer_minimum": ("", "[plan_offer_minimum]\nEUR = 101", _OFFERED),
    "data_freshness.stale_after_hours": ("", "[data_freshness]\nstale_after_hours = 23", read_hours_ago(24)),
    "data_freshness.payments_stale_after_days": (
        "",
        "[data_freshness]\npayments_stale_after_days = 30",
        decided(overdue_invoice(8), last_payment_on=MONDAY - timedelta(days=31)),
    ),
    "thank_you.enabled": ("", "[thank_you]\nenabled = false", paid()),
    "thank_you.min_days_between": (
        "",
        "[thank_you]\nmin_days_between = 41",
        paid(sent_email(Step.THANK_YOU, MONDAY - timedelta(days=40), "other")),
    ),
    "thank_you.max_days_after_payment": ("", "[thank_you]\nmax_days_after_payment = 3", paid()),
    "dispute_raised.review_business_days": ("", "[dispute_raised]\nreview_business_days = { small = 11 }", _DISPUTE),
    "promise_broken.kind": (
        "[promise_broken]\nby_call = []",
        '[promise_broken]\nkind = "call"\nby_call = []',
        _PROMISE,
    ),
    "promise_broken.by_call": ("", '[promise_broken]\nby_call = ["established small"]', _PROMISE),
    "promise_broken.business_days": ("", "[promise_broken]\nbusiness_days = 2", _PROMISE),
    "bank_statements.book_within_business_days": (
        "",
        "[bank_statements]\nbook_within_business_days = 2",
        decided(overdue_invoice(5), credits=(bank_receipt("100.00", MONDAY - timedelta(days=5)),)),
    ),
    "payment_returned.business_days": (
        "",
        "[payment_returned]\nbusiness_days = 1",
        decided(
            overdue_invoice(5),
            past_actions=(
                sent_email(Step.THANK_YOU, MONDAY - timedelta(days=20), acknowledged=Decimal(100)),
                PastAction(
                    Step.PAYMENT_RETURNED,
                    "i1",
                    at(MONDAY - timedelta(days=3)),
                    MONDAY - timedelta(days=3),
                    is_contact=False,
                    recurrence_key=f"{MONDAY - timedelta(days=20)} task",
                ),
            ),
        ),
    ),
    "late_fees.enabled": ("", FEES, late()),
    "late_fees.approval": (FEES, AUTOMATIC, late()),
    "late_fees.terms_agreed_on": ("[late_fees]\nenabled = true", FEES, late()),
    "late_fees.consumer_tags": (
        FEES,
        f'{FEES}consumer_tags = ["retail"]',
        late(customer=replace(KNOWN_CUSTOMER, tags=("Retail",))),
    ),
    "late_fees.preset": (FEES, f'{FEES}preset = "us"', late()),
    "late_fees.kind": (FEES, MONTHLY, late()),
    "late_fees.rate": (FEES, f"{FEES}rate = 2", late()),
    "late_fees.amounts": (
        f'{FEES}kind = "flat"\namounts = {{ EUR = 5 }}',
        f'{FEES}kind = "flat"\namounts = {{ EUR = 6 }}',
        late(),
    ),
    "late_fees.rates": (ANNUAL, ANNUAL + _RATES, late()),
    "late_fees.rate_fixed_at_start": (ANNUAL + _RATES, f"{ANNUAL}{_RATES}rate_fixed_at_start = true", late()),
    "late_fees.rates_known_until": (ANNUAL + _RATES, f"{ANNUAL}{_RATES}rates_known_until = 2026-11-10", late()),
    "late_fees.unverified": (AUTOMATIC, f'{AUTOMATIC}unverified = ["rate"]', late()),
    "late_fees.compensation": (FEES, f'{FEES}compensation = {{ EUR = {{ "1000" = 40 }} }}', late()),
    "late_fees.compound": (MONTHLY, f"{MONTHLY}compound = true", late(70, FIRST_FEE)),
    "late_fees.minimum": (FEES, f"{FEES}minimum = {{ EUR = 10.01 }}", late()),
    "late_fees.maximum": (FEES, f"{FEES}maximum = {{ EUR = 9.99 }}", late()),
    "late_fees.due_on_weekend": (FEES, f'{FEES}due_on_weekend = "next_business_day"', late(22)),  # due on a Sunday
    "late_fees.due_on_weekend_regions": (
        f'{FEES}due_on_weekend = "next_business_day"',
        f'{FEES}due_on_weekend = "next_business_day"\ndue_on_weekend_regions = ["US-NY"]',
        late(22),
    ),
    "late_fees.grace_days": (FEES, f"{FEES}grace_days = 40", late()),
    "late_fees.cap_percent": (FEES, f"{FEES}cap_percent = 0.9", late()),
    "late_fees.max_annual_percent": (FEES, f"{FEES}max_annual_percent = 10", late()),
    "late_fees.due_days": (FEES, f"{FEES}due_days = 15", late()),
    "late_fees.text": (FEES, f'{FEES}text = "Fee for {{number}}"', late()),
    "late_fees.invoicing": (FEES, f'{FEES}invoicing = "monthly"', late()),
    "late_fees.invoice_day": (
        f'{FEES}invoicing = "monthly"',
        f'{FEES}invoicing = "monthly"\ninvoice_day = 20',
        late(),
    ),
    "late_fees.unpaid_fee": (
        FEES,
        f'{FEES}unpaid_fee = "chase"',
        decided(overdue_invoice(5, id="fee", number="LF-1", fee_of="i1"), paid_invoice(MONDAY - timedelta(days=9))),
    ),
    "policies.customers": (applies_to('customers = ["Nobody"]'), applies_to('customers = ["kunde ag"]'), _FRIEND),
    "policies.tags": (applies_to('tags = ["none"]'), applies_to('tags = ["friend"]'), _FRIEND),
    "policies.groups": (applies_to('groups = ["none"]'), applies_to('groups = ["members"]'), _FRIEND),
    "policies.segments": (applies_to('segments = ["new"]'), applies_to('segments = ["established"]'), _FRIEND),
}
REFUSED = {"thank_you.kind": '[thank_you]\nkind = "call"', "dispute_raised.kind": '[dispute_raised]\nkind = "email"'}
OUTSIDE_DECISIONS = {
    "digest.language": "tests/connector/emails/outbound/test_digests.py::test_it_is_in_the_language_of_the_company",
    "payment_instructions": "tests/connector/emails/outbound/test_compose.py"
    "::test_an_email_is_signed_by_the_account_owner_and_has_the_payment_instructions",
    "copies.cc": "tests/connector/test_recipients.py::test_your_own_people_and_a_second_contact_get_copies",
    "copies.bcc": "tests/connector/test_recipients.py::test_your_own_people_and_a_second_contact_get_copies",
    "copies.second_contact_from": "tests/connector/test_recipients.py"
    "::test_your_own_people_and_a_second_contact_get_copies",
    "tracking.opens": "tests/connector/test_recipients.py::test_opens_and_clicks_are_recorded_where_wanted",
    "tracking.clicks": "tests/connector/test_recipients.py::test_opens_and_clicks_are_recorded_where_wanted",
    "replies.pause_days": "tests/connector/emails/inbound/test_replies.py"
    "::test_the_policy_says_for_how_long_a_reply_pauses_reminders",
    **dict.fromkeys(
        ("payment_plans.approval", "payment_plans.instalments_max", "payment_plans.days_max"),
        "tests/connector/portal/test_plans.py::test_a_plan_within_the_policy_is_accepted_at_once_or_becomes_a_task",
    ),
    "exceptions.long_hold_days": "tests/connector/evaluation/test_long_holds.py"
    "::test_the_policy_says_after_how_many_days_a_hold_is_an_exception",
    "control_group.percent": "tests/connector/evaluation/test_several_policies.py"
    "::test_a_control_group_keeps_the_previous_policy_and_each_decision_names_its_version",
}  # they change what is printed or who is asked: shown where that happens


def test_no_setting_is_forgotten() -> None:
    customer_policy = [f"policies.{name}" for name in AppliesTo.model_fields]
    assert sorted([*OTHERS, *customer_policy]) == sorted([*CHANGES, *REFUSED, *OUTSIDE_DECISIONS])


@pytest.mark.parametrize("setting", CHANGES)
def test_each_setting_changes_a_decision(setting: str) -> None:
    before, after, case = CHANGES[setting]
    assert case(ReminderPolicy.from_toml(before)) != case(ReminderPolicy.from_toml(after))


@pytest.mark.parametrize("setting", REFUSED)
def test_what_cannot_be_changed_is_refused(setting: str) -> None:
    with pytest.raises(PolicyError, match="must be"):
        ReminderPolicy.from_toml(REFUSED[setting])


@pytest.mark.parametrize("setting", OUTSIDE_DECISIONS)
def test_a_setting_about_something_else_is_shown_by_a_test_there(setting: str) -> None:
    file, name = OUTSIDE_DECISIONS[setting].split("::")
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
