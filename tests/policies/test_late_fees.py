"""Late fees: the checks before a fee is charged, and amounts calculated by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from policies.decisions import ChargeLateFee
from policies.fee_checks import fee_warnings
from policies.fee_periods import add_months
from policies.fee_rules import FeeInvoicing
from policies.interest import average_balance
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, Invoice, PastAction, Segment, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    Simulation,
    at,
    daily,
    decide_at,
    every_five_minutes,
    fees_in,
    first_decision,
    hourly,
    invoice,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
)

TERMS_AGREED = "terms_agreed_on = 2026-01-31"


def fee_policy(*lines: str, terms: str = TERMS_AGREED) -> ReminderPolicy:
    return ReminderPolicy.from_toml("\n".join(["[late_fees]", "enabled = true", terms, *lines]))


FLAT = fee_policy('kind = "flat"', "amounts = { EUR = 15, JPY = 1500 }", "cap_percent = 50", "max_annual_percent = 300")
PERCENT = fee_policy("rate = 1")
MONTHLY = fee_policy('kind = "percent_per_month"', "rate = 1.5")
WARNED = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=7)),)


def charged_fee(
    of: Invoice, rules: ReminderPolicy, *, past_actions: tuple[PastAction, ...] = WARNED, **facts: Any
) -> ChargeLateFee | None:
    fees = fees_in(decide_at(statement(of, past_actions=past_actions, **facts), policy=rules))
    return fees[0] if fees else None


def test_no_fee_is_charged_unless_enabled() -> None:
    assert charged_fee(overdue_invoice(30), ReminderPolicy.default()) is None


def test_a_flat_fee_is_charged_from_the_day_of_the_schedule() -> None:
    charged = charged_fee(overdue_invoice(21), FLAT)
    assert charged is not None
    assert (charged.amount, charged.period, charged.needs_approval) == (Decimal("15.00"), "once", True)
    assert charged.annual_rate == Decimal("260.71")  # 15 / 100 x 365 / 21
    assert charged_fee(overdue_invoice(20), FLAT) is None


def test_a_percentage_is_of_the_balance_and_shows_its_annual_rate() -> None:
    charged = charged_fee(overdue_invoice(21, total="1000", due=Decimal(800)), PERCENT)
    assert charged is not None
    assert (charged.amount, charged.annual_rate) == (Decimal("8.00"), Decimal("17.38"))  # 1 x 365 / 21
    assert charged.lines[0].text == "1 % of EUR 800.00"
    assert "17.38 % a year" in charged.reason


def test_consumers_are_charged_no_fees() -> None:
    for customer in (replace(KNOWN_CUSTOMER, tags=("Consumer",)), replace(KNOWN_CUSTOMER, groups=("private",))):
        facts = statement(overdue_invoice(21), past_actions=WARNED, customer=customer)
        decision = decide_at(facts, policy=PERCENT)
        assert fees_in(decision) == []
        assert "No late fee: this customer is a consumer" in decision.invoice_decisions[0].reason
    assert charged_fee(overdue_invoice(21), PERCENT, customer=replace(KNOWN_CUSTOMER, tags=("vip",))) is not None


def test_unverified_figures_are_named_before_a_policy_comes_into_force() -> None:
    notes = fee_warnings(fee_policy('preset = "belgium"'))
    assert "the rate of 1 Jul 2026" in notes[0]
    assert "Not known yet: any rate after 31 Dec 2026." in notes
    assert notes[-1].endswith("always need a person's approval.")
    assert fee_warnings(PERCENT) == fee_warnings(ReminderPolicy.from_toml('[late_fees]\npreset = "uk"\n')) == []


NEVER_CHARGED: list[tuple[str, str]] = [
    (
        'kind = "flat"\namounts = { EUR = 5 }',
        "on a balance below EUR 372.45 (14 days late) or EUR 248.30 (21 days late): it would come to more than 35 % a",
    ),
    ("rate = 2", "2 % charged once comes to 52.14 % a year 14 days after the due date, above the 35 % allowed"),
    ('kind = "percent_per_month"\nrate = 3', "3 % a month comes to 35.32 % to 39.11 % a year, above the 35 % allowed"),
    ('preset = "us"\nrate = 1.6', "in short months it is not charged"),
    ('preset = "germany"\nmax_annual_percent = 12', "The rate of 12.12 % a year from 1 Jul 2023 is above the 12 %"),
    ("cap_percent = 0", "The cap is 0 % of the invoice: no fee is ever charged."),
    (
        "minimum = { EUR = 20 }\nmaximum = { EUR = 10 }",
        "The smallest fee of EUR 20.00 is above the largest of EUR 10.00: no fee is ever charged in EUR.",
    ),
]


@pytest.mark.parametrize(("lines", "warning"), NEVER_CHARGED)
def test_a_fee_that_can_never_be_charged_is_named_before_a_policy_comes_into_force(lines: str, warning: str) -> None:
    assert warning in "\n".join(fee_warnings(fee_policy(lines)))


def test_a_customer_policy_has_its_own_warnings() -> None:
    friends = '[policies.friends]\napplies_to = { tags = ["friend"] }\n[policies.friends.late_fees]\nrate = 2'
    found = fee_warnings(fee_policy("", friends))
    assert found
    assert all(each.startswith("In [policies.friends]: 2 % charged once") for each in found)
    off = fee_policy("", "[late_fee]\nestablished = 'off'\nnew = 'off'")
    assert fee_warnings(off) == ["The step late_fee is off for all segments and sizes: no fee is ever charged."]
    assert "No date of terms is set" in fee_warnings(fee_policy(terms=""))[0]


def test_the_balance_named_in_a_warning_is_the_smallest_on_which_a_flat_fee_is_charged() -> None:
    rules = fee_policy('kind = "flat"', "amounts = { EUR = 5 }")
    assert charged_fee(overdue_invoice(21, total="248.30"), rules) is not None
    assert charged_fee(overdue_invoice(21, total="248.29"), rules) is None
    capped = fee_policy('kind = "flat"', "amounts = { EUR = 5 }", "cap_percent = 1")
    assert fee_warnings(capped) == []
    assert charged_fee(overdue_invoice(21, total="60"), capped) is not None


@pytest.mark.parametrize(("day", "is_warned"), [(99, True), (100, False)])
def test_a_flat_fee_that_its_cap_keeps_small_enough_needs_no_warning(day: int, *, is_warned: bool) -> None:
    """A tenth of the invoice after 100 days comes to 36.5 % a year."""
    days = f"[late_fee]\nestablished = {day}\nnew = 'off'"
    limits = ("cap_percent = 10", "max_annual_percent = 36.5")
    found = fee_warnings(fee_policy('kind = "flat"', "amounts = { EUR = 5 }", *limits, days))
    assert any("on a balance below" in each for each in found) is is_warned


def test_the_policy_can_approve_fees_automatically() -> None:
    charged = charged_fee(overdue_invoice(21), fee_policy('approval = "automatic"'))
    assert charged is not None
    assert charged.needs_approval is False


def test_a_fee_in_a_currency_without_decimals_is_whole() -> None:
    yen = overdue_invoice(21, total="33333", currency="JPY")
    charged = charged_fee(yen, PERCENT)
    assert charged is not None
    assert str(charged.amount) == "333"


REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any], tuple[PastAction, ...], str]] = [
    ("no terms", {}, {}, WARNED, "the customer agreed"),
    ("terms later", {}, {"fees_agreed_on": MONDAY + timedelta(days=1)}, WARNED, "the customer agreed"),
    ("no fees", {}, {"fees_agreed_on": MONDAY, "no_fees": True}, WARNED, "charged no late fees"),
    ("ledger fee", {"ledger_fee": True}, {"fees_agreed_on": MONDAY}, WARNED, "one of its own"),
    ("no warning", {}, {"fees_agreed_on": MONDAY}, (), ""),
    (
        "recent warning",
        {},
        {"fees_agreed_on": MONDAY},
        (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=6)),),
        "17 Nov",
    ),
    ("unconfirmed warning", {}, {"fees_agreed_on": MONDAY}, (replace(WARNED[0], unconfirmed=True),), "warned of it"),
    ("no fee announced", {}, {"fees_agreed_on": MONDAY}, (replace(WARNED[0], announced_fee=False),), "warned of it"),
    ("warned by call", {}, {"fees_agreed_on": MONDAY}, (replace(WARNED[0], is_contact=False),), "warned of it"),
    ("before only", {}, {"fees_agreed_on": MONDAY}, (sent_email(Step.BEFORE_DUE, MONDAY - timedelta(days=30)),), ""),
]


@pytest.mark.parametrize(
    ("of_invoice", "of_customer", "past_actions", "words"),
    [case[1:] for case in REFUSALS],
    ids=[case[0] for case in REFUSALS],
)
def test_a_refused_fee_is_explained(
    of_invoice: dict[str, Any], of_customer: dict[str, Any], past_actions: tuple[PastAction, ...], words: str
) -> None:
    customer = replace(KNOWN_CUSTOMER, **of_customer)
    facts = statement(overdue_invoice(21, **of_invoice), customer=customer, past_actions=past_actions)
    decision = decide_at(facts, policy=fee_policy(terms=""))
    assert fees_in(decision) == []
    if words:
        assert words in decision.invoice_decisions[0].reason


def test_terms_agreed_with_the_customer_are_enough() -> None:
    customer = replace(KNOWN_CUSTOMER, fees_agreed_on=MONDAY)
    assert charged_fee(overdue_invoice(21), fee_policy(terms=""), customer=customer) is not None


def test_a_fee_above_the_maximum_annual_rate_is_refused() -> None:
    rules = fee_policy('kind = "flat"', "amounts = { EUR = 15 }", "cap_percent = 50")
    outcome = first_decision(statement(overdue_invoice(21), past_actions=WARNED), policy=rules)
    assert "EUR 15.00 on EUR 100.00, 21 days late, comes to 260.71 % a year, above the 35 % allowed" in outcome.reason


@pytest.mark.parametrize("invoicing", list(FeeInvoicing))
def test_a_fee_that_cannot_come_is_explained_and_not_by_the_missing_warning(invoicing: FeeInvoicing) -> None:
    """No email announces such a fee, so that nothing has ever warned of it."""
    rules = fee_policy('kind = "flat"', "amounts = { EUR = 5 }", f'invoicing = "{invoicing}"')
    small = overdue_invoice(21, total="60")
    past = (replace(WARNED[0], announced_fee=False),)
    reason = first_decision(statement(small, past_actions=past), policy=rules).reason
    assert "a year, above the" in reason
    assert "warned" not in reason


def test_a_flat_fee_needs_an_amount_in_the_currency_of_the_invoice() -> None:
    outcome = first_decision(statement(overdue_invoice(21, currency="SEK"), past_actions=WARNED), policy=FLAT)
    assert "no flat fee in SEK" in outcome.reason


def test_a_fee_is_limited_to_the_cap() -> None:
    charged = charged_fee(overdue_invoice(21), fee_policy('kind = "flat"', "amounts = { EUR = 15 }", "cap_percent = 2"))
    assert charged is not None
    assert charged.amount == Decimal("2.00")
    assert [part.amount for part in charged.lines] == [Decimal("15.00"), Decimal("-13.00")]


def test_strategic_customers_are_charged_no_fees_by_default() -> None:
    assert (
        charged_fee(overdue_invoice(60), PERCENT, customer=replace(KNOWN_CUSTOMER, segment=Segment.STRATEGIC)) is None
    )


def test_no_fee_is_charged_within_the_grace_days() -> None:
    rules = fee_policy("grace_days = 30")
    assert charged_fee(overdue_invoice(30), rules) is None
    assert charged_fee(overdue_invoice(31), rules) is not None


def test_a_fee_is_never_charged_on_a_fee() -> None:
    assert charged_fee(overdue_invoice(60, fee_of="i0"), PERCENT) is None


@pytest.mark.parametrize("held", [{"disputed_on": MONDAY}, {"promised_on": MONDAY}, {"paused": True}])
def test_an_invoice_on_hold_is_charged_no_fee(held: dict[str, Any]) -> None:
    assert charged_fee(overdue_invoice(60, **held), PERCENT) is None


def test_the_annual_rate_does_not_change_while_the_fee_awaits_approval() -> None:
    old = overdue_invoice(21)
    rates = set()
    for days in range(10):
        fees = fees_in(
            decide_at(statement(old, past_actions=WARNED), now=at(MONDAY + timedelta(days=days)), policy=PERCENT)
        )
        rates.add((fees[0].amount, fees[0].annual_rate))
    assert len(rates) == 1


@pytest.mark.parametrize(("rules", "periods"), [(PERCENT, ["once"]), (FLAT, ["once"])])
def test_a_fee_charged_once_is_charged_once_however_often_runs_come(rules: ReminderPolicy, periods: list[str]) -> None:
    simulation = Simulation([invoice(0)], policy=rules).run_all(hourly(MONDAY, 70))
    assert [recurrence_key for _, step, _, recurrence_key in simulation.completed if step is Step.LATE_FEE] == periods


def test_a_monthly_percentage_is_charged_once_for_each_full_month() -> None:
    simulation = Simulation([invoice(0)], policy=MONTHLY).run_all(hourly(MONDAY, 100))
    fees = [(on, recurrence_key) for on, step, _, recurrence_key in simulation.completed if step is Step.LATE_FEE]
    assert fees == [
        (date(2026, 12, 23), "2026-11"),
        (date(2027, 1, 23), "2026-12"),
        (date(2027, 2, 23), "2027-01"),
    ]


def charged_in(simulation: Simulation) -> list[tuple[str, str, Decimal]]:
    """List the (invoice, period, amount) of the fees a simulation charged, oldest first."""
    return [(fee.invoice_id, fee.period, fee.amount) for fee in simulation.fees]


@pytest.mark.parametrize(
    "rules",
    [
        MONTHLY,
        fee_policy('kind = "percent_per_month"', "rate = 1.5", "cap_percent = 4"),
        fee_policy('kind = "percent_per_month"', "rate = 1.5", "compound = true", "cap_percent = 50"),
        fee_policy('preset = "eu"', 'approval = "automatic"', "unverified = []"),
    ],
    ids=["monthly", "cap", "compound", "eu"],
)
def test_after_an_outage_each_missed_month_is_charged_as_if_there_had_been_none(rules: ReminderPolicy) -> None:
    debts = [invoice(0, total="1234.56")]
    always = Simulation(debts, policy=rules).run_all(daily(MONDAY, 130))
    outage = Simulation(debts, policy=rules).run_all(daily(MONDAY, 20)).run_all(daily(date(2027, 3, 31), 2))
    assert charged_in(outage) == charged_in(always)
    assert len(charged_in(always)) >= 3
    assert {on for on, step, _id, _key in outage.completed if step is Step.LATE_FEE} == {date(2027, 3, 31)}


def test_after_a_lost_dispute_the_months_of_the_dispute_are_charged() -> None:
    debt = invoice(0, total="1000.00")
    calm = Simulation([debt], policy=MONTHLY).run_all(daily(MONDAY, 100))
    disputed = Simulation([debt], policy=MONTHLY).run_all(daily(MONDAY, 25))
    disputed.invoices = [replace(debt, disputed_on=MONDAY + timedelta(days=25))]
    disputed.run_all(daily(MONDAY + timedelta(days=25), 70))
    assert charged_in(disputed) == []
    disputed.invoices = [debt]
    disputed.run_all(daily(MONDAY + timedelta(days=95), 5))
    assert charged_in(disputed) == charged_in(calm)


def test_a_month_before_the_terms_were_agreed_is_not_charged_and_the_reason_says_so() -> None:
    rules = ReminderPolicy.from_toml(
        '[late_fees]\nenabled = true\nkind = "percent_per_month"\nterms_agreed_on = 2026-10-01\n'
    )
    debt = invoice(0, today=date(2026, 8, 23))
    decision = decide_at(statement(debt, past_actions=WARNED), policy=rules)
    assert [fee.period for fee in fees_in(decision)] == ["2026-10"]
    (both,) = decision.invoice_decisions
    agreed_later = "No late fee for 23 Sep 2026 to 23 Oct 2026: the terms were agreed on 1 Oct 2026."
    assert both.reason.startswith("Late fee for 23 Oct 2026 to 23 Nov 2026: ")
    assert both.reason.endswith(agreed_later)
    recent = invoice(0, today=date(2026, 9, 24))
    (none,) = decide_at(statement(recent, past_actions=WARNED), policy=rules).invoice_decisions
    assert none.reason.endswith("No late fee for 24 Sep 2026 to 24 Oct 2026: the terms were agreed on 1 Oct 2026.")


def test_several_missed_months_are_named_in_one_reason() -> None:
    debt = invoice(0, today=date(2026, 8, 23), total="1000.00")
    decision = decide_at(statement(debt, past_actions=WARNED), policy=MONTHLY)
    (each,) = decision.invoice_decisions
    assert each.reason.startswith("3 months are charged, oldest first. Late fee for 23 Aug 2026 to 23 Sep 2026: ")


def test_a_month_below_the_smallest_fee_does_not_keep_back_the_next() -> None:
    rules = fee_policy('kind = "percent_per_month"', "rate = 1", "minimum = { EUR = 5 }")
    paid = (BalanceChange(date(2026, 9, 1), Decimal(-900)), BalanceChange(date(2026, 9, 23), Decimal(900)))
    debt = invoice(0, today=date(2026, 8, 23), total="1000.00", balance_changes=paid)
    fees = fees_in(decide_at(statement(debt, past_actions=WARNED), policy=rules))
    assert [fee.period for fee in fees] == ["2026-09", "2026-10"]


def test_the_monthly_invoice_after_an_outage_has_every_missed_month() -> None:
    rules = fee_policy('kind = "percent_per_month"', 'invoicing = "monthly"', "rate = 1")
    debt = invoice(0, today=date(2026, 8, 23), total="1000.00")
    on = date(2026, 12, 1)
    fees = fees_in(decide_at(statement(debt, past_actions=WARNED), policy=rules, now=at(on)))
    assert [(fee.period, fee.invoice_month) for fee in fees] == [
        ("2026-08", "2026-12"),
        ("2026-09", "2026-12"),
        ("2026-10", "2026-12"),
    ]


def test_what_the_fee_invoice_of_a_month_has_missed_is_on_the_next() -> None:
    rules = fee_policy('kind = "percent_per_month"', 'invoicing = "monthly"', "rate = 1")
    old, released = (invoice(0, id=each, today=date(2026, 8, 23), total="1000.00") for each in ("i1", "i2"))
    posted = PastAction(
        Step.LATE_FEE, "i1", at(date(2026, 12, 1)), date(2026, 12, 1), is_contact=False, recurrence_key="2026-08"
    )
    warned = (*WARNED, sent_email(Step.PAST_DUE, date(2026, 11, 16), invoice_id="i2"))
    facts = statement(old, released, past_actions=(*warned, posted))
    assert fees_in(decide_at(facts, policy=rules, now=at(date(2026, 12, 10)))) == []
    fees = fees_in(decide_at(facts, policy=rules, now=at(date(2027, 1, 1))))
    assert {fee.invoice_month for fee in fees} == {"2027-01"}
    assert [fee.period for fee in fees if fee.invoice_id == "i2"] == ["2026-08", "2026-09", "2026-10", "2026-11"]


def test_the_monthly_fees_stop_at_the_cap() -> None:
    rules = fee_policy('kind = "percent_per_month"', "rate = 1.5", "cap_percent = 4")
    charged_before = tuple(
        PastAction(Step.LATE_FEE, "i1", at(on), on, is_contact=False, recurrence_key=f"{month}")
        for on, month in [(date(2026, 9, 24), "2026-08"), (date(2026, 10, 24), "2026-09")]
    )
    debt = invoice(0, today=date(2026, 8, 23))
    charged = charged_fee(debt, rules, past_actions=(*WARNED, *charged_before))
    assert charged is not None
    assert (charged.period, charged.amount) == ("2026-10", Decimal("1.00"))  # 4.00 less twice 1.50


def test_a_past_fee_without_a_period_counts_for_the_period_of_its_date() -> None:
    debt = invoice(0, today=date(2026, 10, 23))
    past_fee = PastAction(Step.LATE_FEE, "i1", at(MONDAY), MONDAY, is_contact=False)
    assert charged_fee(debt, MONTHLY, past_actions=(*WARNED, past_fee)) is None


def test_five_minute_runs_charge_what_daily_runs_charge() -> None:
    start = MONDAY + timedelta(days=18)
    often = Simulation([invoice(0)], policy=PERCENT).run_all(daily(MONDAY, 18)).run_all(every_five_minutes(start, 5))
    seldom = Simulation([invoice(0)], policy=PERCENT).run_all(daily(MONDAY, 23))
    assert often.completed == seldom.completed


def test_a_part_payment_lowers_the_balance_from_its_date_on() -> None:
    debt = overdue_invoice(
        61, total="1000", due=Decimal(400), balance_changes=(BalanceChange(date(2026, 10, 8), Decimal(-600)),)
    )
    assert debt.due_on == date(2026, 9, 23)
    first = average_balance(debt, date(2026, 9, 23), date(2026, 10, 23))
    assert first == Decimal(700)  # 15 days of 1000, 15 of 400
    assert average_balance(debt, date(2026, 10, 23), date(2026, 11, 23)) == Decimal(400)


def test_splitting_a_payment_does_not_change_the_average_balance() -> None:
    on = date(2026, 10, 8)
    whole = overdue_invoice(61, total="1000", due=Decimal(400), balance_changes=(BalanceChange(on, Decimal(-600)),))
    halves = [BalanceChange(on, Decimal(-500)), BalanceChange(on, Decimal(200)), BalanceChange(on, Decimal(-300))]
    span = (date(2026, 9, 23), date(2026, 10, 23))
    for changes in (halves, halves[::-1]):
        assert average_balance(replace(whole, balance_changes=tuple(changes)), *span) == average_balance(whole, *span)


@pytest.mark.parametrize(
    ("on", "months", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 12, 15), 12, date(2027, 12, 15)),
    ],
)
def test_adding_months_ends_on_the_last_day_of_a_shorter_month(on: date, months: int, expected: date) -> None:
    assert add_months(on, months) == expected


def test_fees_that_are_switched_on_later_wait_for_an_email_that_announces_them() -> None:
    """The first reminder said nothing of a fee; the second notice does, and the fee follows a week after it."""
    simulation = Simulation([invoice(0)]).run_all(daily(MONDAY, 12))
    assert Step.PAST_DUE in {step for _, step, _, _ in simulation.completed}
    simulation.policy = PERCENT
    simulation.run_all(daily(MONDAY + timedelta(days=12), 30))
    dates = {step: on for on, step, _, _ in simulation.completed}
    assert dates[Step.LATE_FEE] == max(dates[Step.SECOND_NOTICE] + timedelta(days=7), MONDAY + timedelta(days=21))


def test_an_email_says_on_which_invoices_it_announces_a_fee() -> None:
    """A flat fee of 5 can come on 900, not on 60: the email about both warns of the one only."""
    rules = fee_policy('kind = "flat"', "amounts = { EUR = 5 }")
    small, large = overdue_invoice(7, total="60"), overdue_invoice(7, id="i2", number="INV-2", total="900")
    reminder = reminder_in(decide_at(statement(small, large), policy=rules))
    assert reminder is not None
    assert [invoice_id for invoice_id, _ in reminder.completed] == ["i1", "i2"]
    assert reminder.announces_fee_on == ("i2",)
    off = reminder_in(decide_at(statement(small, large)))
    assert off is not None
    assert off.announces_fee_on == ()


@pytest.mark.parametrize(
    ("lines", "customer", "expected"),
    [
        ((), {}, ("late_fee", 21)),
        (("grace_days = 23",), {}, ("late_fee", 24)),
        (("grace_days = 26",), {}, ("late_fee", 27)),  # the same day: the fee comes first
        (("grace_days = 60",), {}, ("plan_offer", 27)),
        ((), {"no_fees": True}, ("plan_offer", 27)),
        (('kind = "percent_per_month"', "rate = 1"), {}, ("plan_offer", 27)),
    ],
)
def test_the_next_step_names_the_day_on_which_a_fee_can_come(
    lines: tuple[str, ...], customer: dict[str, Any], expected: tuple[str, int]
) -> None:
    days = {Step.PAST_DUE: 7, Step.SECOND_NOTICE: 17}
    past = tuple(sent_email(step, MONDAY - timedelta(days=20 - day)) for step, day in days.items())
    about = statement(
        overdue_invoice(20, total="1000.00"), customer=replace(KNOWN_CUSTOMER, **customer), past_actions=past
    )
    policy = fee_policy(*(lines or ("rate = 1",)))
    found = decide_at(about, policy=policy).invoice_decisions[0]
    assert (found.next_step, found.next_on) == (expected[0], MONDAY + timedelta(days=expected[1] - 20))
