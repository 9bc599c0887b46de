"""Interest and the presets: amounts calculated by hand, and properties of the calculation."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decisions import ChargeLateFee, FeeLine
from policies.fee_amounts import limited_lines
from policies.fee_rules import FeePreset
from policies.interest import balance_on, interest_lines, interest_periods
from policies.policy import PolicyError, ReminderPolicy
from policies.receivables import BalanceChange, FeeOutcome, Invoice, PastAction, Step
from tests.policies.builders import at, decide_at, fees_in, invoice, sent_email, statement

DUE_ON = date(2026, 6, 12)


def preset_policy(name: str, *lines: str) -> ReminderPolicy:
    head = ["[late_fees]", "enabled = true", "terms_agreed_on = 2022-01-31", f'preset = "{name}"']
    return ReminderPolicy.from_toml("\n".join([*head, *lines]))


def charged_fee(rules: ReminderPolicy, of: Invoice, on: date, *past_actions: PastAction) -> ChargeLateFee:
    warned = sent_email(Step.PAST_DUE, on - timedelta(days=10))
    (fee,) = fees_in(
        decide_at(statement(of, now=at(on), past_actions=(warned, *past_actions)), now=at(on), policy=rules)
    )
    return fee


def overdue_balance(total: str, due_on: date = DUE_ON, currency: str = "EUR", *changes: tuple[date, str]) -> Invoice:
    history = tuple(BalanceChange(on, Decimal(amount)) for on, amount in changes)
    due = Decimal(total) + sum((change.amount for change in history), Decimal(0))
    return invoice(0, today=due_on, total=total, due=due, currency=currency, balance_changes=history)


def fee_action(on: date, period: str) -> PastAction:
    return PastAction(Step.LATE_FEE, "i1", at(on), on, is_contact=False, recurrence_key=period)


@pytest.mark.parametrize("name", list(FeePreset))
def test_every_preset_is_a_policy(name: str) -> None:
    assert preset_policy(name).late_fees.preset == name


@pytest.mark.parametrize(
    ("late_on", "rate"),
    [
        (date(2024, 3, 1), "13.25"),
        (date(2023, 7, 1), "13"),
        (date(2023, 6, 30), "11.5"),
        (date(2022, 9, 1), "9.25"),
        (date(2022, 1, 1), "8.25"),
        (date(2026, 8, 1), "11.75"),
    ],
)
def test_the_uk_rate_of_a_half_year(late_on: date, rate: str) -> None:
    assert preset_policy("uk").late_fees.annual_rate_on(late_on) == Decimal(rate)


def test_uk_the_rate_of_the_half_year_in_which_it_became_late_applies_throughout() -> None:
    fee = charged_fee(preset_policy("uk"), overdue_balance("5000", date(2023, 6, 12), "GBP"), date(2023, 7, 12))
    # 5000 x 11.5 % x 30 / 365 = 47.26, and 70 for a debt from 1,000 to below 10,000
    assert [part.amount for part in fee.lines] == [Decimal("47.26"), Decimal(70)]
    assert fee.amount == Decimal("117.26")
    assert fee.lines[0].text == "GBP 5,000.00 for 30 days at 11.5 % a year"


@pytest.mark.parametrize(("total", "fixed"), [("999.99", 40), ("1000", 70), ("9999.99", 70), ("10000", 100)])
def test_uk_the_fixed_compensation_depends_on_the_size_of_the_debt(total: str, fixed: int) -> None:
    assert preset_policy("uk").late_fees.compensation_for(Decimal(total), "GBP") == fixed


def test_the_fixed_compensation_is_charged_with_the_first_fee_only() -> None:
    rules = preset_policy("uk")
    debt = overdue_balance("1000", date(2026, 7, 10), "GBP")
    second = charged_fee(rules, debt, date(2026, 9, 10), fee_action(date(2026, 8, 10), "2026-07"))
    assert (second.period, second.amount) == ("2026-08", Decimal("9.98"))  # 1000 x 11.75 % x 31 / 365
    first = charged_fee(rules, debt, date(2026, 8, 10))
    assert first.basis is not None
    assert second.basis is not None
    assert (first.basis.compensation, second.basis.compensation) == (Decimal(70), Decimal(0))


def test_eu_the_rate_changes_with_the_half_year_inside_a_period() -> None:
    fee = charged_fee(preset_policy("eu"), overdue_balance("10000"), date(2026, 7, 13))
    # 12 to 30 June: 19 days at 10.15; 1 to 11 July: 11 days at 10.4
    assert [part.text for part in fee.lines] == [
        "EUR 10,000.00 for 19 days at 10.15 % a year",
        "EUR 10,000.00 for 11 days at 10.4 % a year",
        "fixed compensation",
    ]
    assert fee.amount == Decimal("84.18") + 40  # 52.836 + 31.342


def test_canada_the_annual_equivalent_of_a_monthly_rate_is_named() -> None:
    fee = charged_fee(preset_policy("canada", "rate = 1.5"), overdue_balance("1000", currency="CAD"), date(2026, 7, 13))
    assert (fee.amount, fee.annual_rate) == (Decimal("15.00"), Decimal("18.25"))
    assert "18.25 % a year" in fee.reason


def test_canada_more_than_35_percent_a_year_is_refused() -> None:
    on = date(2026, 7, 13)
    facts = statement(
        overdue_balance("1000", currency="CAD"),
        now=at(on),
        past_actions=(sent_email(Step.PAST_DUE, on - timedelta(days=9)),),
    )
    decision = decide_at(facts, now=at(on), policy=preset_policy("canada", "rate = 3"))
    assert fees_in(decision) == []
    assert "36.5 % a year, above the 35 % allowed" in decision.invoice_decisions[0].reason


def test_a_part_payment_in_the_period_counts_from_its_date() -> None:
    fee = charged_fee(
        preset_policy("germany"),
        overdue_balance("3000", DUE_ON, "EUR", (date(2026, 6, 22), "-2000")),
        date(2026, 7, 12),
    )
    # 10 days of 3000 and 9 of 1000 at 10.27, 11 of 1000 at 10.52
    assert fee.amount - 40 == Decimal("14.14")


MOST_PAID = ("10000", DUE_ON, "EUR", (date(2026, 7, 10), "-9500"))  # on day 28


@pytest.mark.parametrize(
    ("name", "lines", "amount", "annual_rate"),
    [
        ("eu", "compensation = { EUR = { 0 = 0 } }", "78.76", "10.23"),  # 28 days on 10,000 and 2 on 500
        ("us", "", "93.67", "12.17"),  # 1 % of the average balance
        ("australia", "rate = 8\ncompound = true", "61.59", "8"),
    ],
)
def test_the_annual_rate_is_that_of_the_balance_which_bore_the_interest(
    name: str, lines: str, amount: str, annual_rate: str
) -> None:
    fee = charged_fee(preset_policy(name, lines), overdue_balance(*MOST_PAID), date(2026, 7, 12))
    assert (fee.amount, fee.annual_rate) == (Decimal(amount), Decimal(annual_rate))
    assert "on an average balance of EUR 9,366.67 for 30 days comes to" in fee.reason


def test_interest_on_unpaid_interest_is_not_measured_on_the_principal_alone() -> None:
    """Once nearly all is paid, the unpaid interest of the first month bears more than the rest of the principal."""
    before = replace(fee_action(date(2026, 7, 12), "2026-06"), fee_amount=Decimal(600))
    fee = charged_fee(
        preset_policy("australia", "compound = true"), overdue_balance(*MOST_PAID), date(2026, 8, 12), before
    )
    assert (fee.amount, fee.annual_rate) == (Decimal("9.34"), Decimal("10.00"))  # 1,100 x 10 % x 31 / 365


def test_a_rate_above_the_maximum_is_refused_on_the_balance_that_bore_it() -> None:
    rules, on = preset_policy("us", "rate = 3"), date(2026, 7, 12)
    emails = (
        sent_email(Step.PAST_DUE, on - timedelta(days=20)),
        sent_email(Step.SECOND_NOTICE, on - timedelta(days=5)),
    )
    facts = statement(overdue_balance(*MOST_PAID), now=at(on), past_actions=emails)
    decision = decide_at(facts, now=at(on), policy=rules)
    assert fees_in(decision) == []
    reason = decision.invoice_decisions[0].reason
    assert "an average balance of EUR 9,366.67 for 30 days comes to 36.5 % a year, above the 20 %" in reason


def test_no_compensation_is_charged_for_a_month_without_a_balance() -> None:
    """A payment was reversed on the day the month ended: nothing was late in it."""
    debt = overdue_balance("1000", DUE_ON, "EUR", (DUE_ON, "-1000"), (date(2026, 7, 12), "1000"))
    on = date(2026, 7, 12)
    facts = statement(debt, now=at(on), past_actions=(sent_email(Step.PAST_DUE, on - timedelta(days=10)),))
    assert fees_in(decide_at(facts, now=at(on), policy=preset_policy("eu"))) == []


def test_a_credit_after_the_period_changes_nothing_in_it() -> None:
    rules = preset_policy("australia").late_fees
    whole, credited = overdue_balance("1000"), overdue_balance("1000", DUE_ON, "EUR", (date(2026, 8, 1), "-900"))
    span = (DUE_ON, DUE_ON, DUE_ON + timedelta(days=30), Decimal(0))
    assert interest_lines(credited, rules, *span) == interest_lines(whole, rules, *span)


def test_a_due_date_moved_out_moves_the_interest_with_it() -> None:
    rules = preset_policy("australia")
    assert charged_fee(rules, overdue_balance("1000", date(2026, 7, 12)), date(2026, 8, 12)).period == "2026-07"


def test_interest_compounds_only_if_the_policy_says_so() -> None:
    debt, before = overdue_balance("1000"), fee_action(date(2026, 7, 12), "2026-06")
    on = date(2026, 8, 12)
    simple = charged_fee(preset_policy("australia"), debt, on, before)
    compound = charged_fee(preset_policy("australia", "compound = true"), debt, on, before)
    assert simple.amount == Decimal("8.49")  # 1000 x 10 % x 31 / 365
    assert compound.amount == Decimal("8.56")  # on 8.22 of June more
    assert simple.basis is not None
    assert compound.basis is not None
    assert (simple.basis.unpaid, compound.basis.unpaid) == (Decimal(0), Decimal("8.22"))


@pytest.mark.parametrize(
    ("fee_outcome", "charged_before", "amount"),
    [
        (None, None, "8.56"),
        (None, "18.22", "8.65"),  # interest is on the fee in fact charged, not on what it would be today
        (FeeOutcome.WAIVED, None, "8.49"),
        (FeeOutcome.PAID, None, "8.49"),
    ],
)
def test_a_fee_that_was_waived_or_paid_does_not_compound(
    fee_outcome: FeeOutcome | None, charged_before: str | None, amount: str
) -> None:
    before = replace(fee_action(date(2026, 7, 12), "2026-06"), fee_outcome=fee_outcome)
    before = replace(before, fee_amount=Decimal(charged_before)) if charged_before else before
    fee = charged_fee(preset_policy("australia", "compound = true"), overdue_balance("1000"), date(2026, 8, 12), before)
    assert fee.amount == Decimal(amount)


def test_a_waived_fee_does_not_count_towards_the_cap() -> None:
    before = replace(fee_action(date(2026, 7, 12), "2026-06"), fee_amount=Decimal(10), fee_outcome=FeeOutcome.WAIVED)
    rules = preset_policy("australia", "cap_percent = 1")
    assert charged_fee(rules, overdue_balance("1000"), date(2026, 8, 12), before).amount == Decimal("8.49")


@pytest.mark.parametrize(
    ("name", "due_on", "unverified"),
    [
        ("uk", date(2025, 2, 3), ""),
        ("uk", date(2026, 8, 3), ""),
        ("eu", date(2022, 11, 20), "the rate before 1 Jan 2023, which is not in the table"),
        ("uk", date(2027, 2, 3), "the rate after 31 Dec 2026, which is not in the table yet"),
        ("eu", date(2026, 5, 15), ""),
        ("eu", date(2025, 12, 20), ""),
        ("eu", date(2026, 12, 20), "the rate after 31 Dec 2026, which is not in the table yet"),
        ("germany", date(2026, 8, 3), ""),
        ("belgium", date(2026, 8, 3), "the rate of 10.5 % from 1 Jul 2026"),
        ("australia", date(2026, 8, 3), "the rate of 10 %"),
    ],
)
def test_a_fee_based_on_unverified_figures_always_needs_approval(name: str, due_on: date, unverified: str) -> None:
    currency = "GBP" if name == "uk" else "EUR"
    debt = overdue_balance("1000", due_on, currency)
    fee = charged_fee(preset_policy(name, 'approval = "automatic"'), debt, due_on + timedelta(days=32))
    assert fee.needs_approval == bool(unverified)
    assert (f"Not verified, compare with the source before you approve: {unverified}." in fee.reason) == bool(
        unverified
    )
    if unverified:
        days = ("2021-01-01", "2025-01-01", "2025-07-01", "2026-07-01", "2027-01-01")
        own = "rates = {" + ", ".join(f'"{on}" = 12' for on in days) + "}"
        verified = preset_policy(
            name, 'approval = "automatic"', own, "rate = 10", "compensation = { EUR = { 0 = 40 } }"
        )
        assert not charged_fee(verified, debt, due_on + timedelta(days=32)).needs_approval


def test_a_fixed_compensation_that_is_not_verified_needs_approval_too() -> None:
    rules = preset_policy("eu", 'unverified = ["compensation"]', 'approval = "automatic"')
    due_on = date(2026, 8, 3)
    fee = charged_fee(rules, overdue_balance("1000", due_on, "EUR"), due_on + timedelta(days=32))
    assert fee.needs_approval
    assert "compare with the source before you approve: the fixed compensation." in fee.reason


def test_setting_a_complete_policy_again_verifies_nothing() -> None:
    shown = preset_policy("belgium", 'approval = "automatic"').to_toml()
    assert ReminderPolicy.from_toml(shown).late_fees == preset_policy("belgium", 'approval = "automatic"').late_fees
    assert ReminderPolicy.from_toml(shown).late_fees.unverified


def test_a_fee_below_the_minimum_is_not_charged() -> None:
    on = date(2026, 7, 12)
    rules = preset_policy("australia", "minimum = { EUR = 10 }")
    facts = statement(
        overdue_balance("1000"), now=at(on), past_actions=(sent_email(Step.PAST_DUE, on - timedelta(days=9)),)
    )
    assert fees_in(decide_at(facts, now=at(on), policy=rules)) == []


def test_a_fee_is_limited_to_the_largest_single_fee() -> None:
    fee = charged_fee(preset_policy("australia", "maximum = { EUR = 5 }"), overdue_balance("1000"), date(2026, 7, 12))
    assert fee.amount == 5
    assert fee.lines[-1].text == "limited to the largest single fee"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('rates = { "soon" = 3 }', "soon is not a date"),
        ("rates = { 2026-07-01 = 300 }", "must be a number from 0 to 100"),
        ("compensation = { GBP = { some = 3 } }", "some is not a total"),
        ("compensation = { pounds = { 0 = 3 } }", "pounds is not a currency"),
        ('unverified = ["soon"]', 'names soon; it may name "rate"'),
        ('preset = "atlantis"', 'must be "none" or "uk"'),
    ],
)
def test_invalid_rates_are_reported_with_their_line(lines: str, words: str) -> None:
    with pytest.raises(PolicyError, match="line 3") as caught:
        ReminderPolicy.from_toml(f"[late_fees]\n\n{lines}")
    assert words in str(caught.value)


def test_a_rate_can_be_added_to_a_preset() -> None:
    rules = preset_policy("uk", 'rates = { "2027-01-01" = 9.99 }').late_fees
    assert [rules.annual_rate_on(on) for on in (date(2026, 12, 31), date(2027, 1, 1))] == [
        Decimal("11.75"),
        Decimal("9.99"),
    ]
    assert rules.unverified_inputs(date(2027, 6, 30), date(2027, 6, 30), with_compensation=False) == []
    after_it = date(2027, 7, 1)
    assert rules.unverified_inputs(after_it, after_it, with_compensation=False) == [
        "the rate after 30 Jun 2027, which is not in the table yet"
    ]


def test_a_half_year_left_out_of_a_table_is_not_covered_by_the_one_before() -> None:
    rules = preset_policy("uk", 'rates = { "2027-07-01" = 9.99 }').late_fees
    assert rules.missing_rate_on() == date(2027, 1, 1)
    assert rules.missing_rate_on(date(2027, 7, 1), date(2027, 12, 31)) is None
    assert rules.unverified_inputs(date(2027, 3, 1), date(2027, 3, 31), with_compensation=False) == [
        "the rate after 31 Dec 2026, which is not in the table yet"
    ]


@pytest.mark.parametrize(
    ("total", "fixed"), [("999.99", 40), ("1000", 40), ("1000.01", 70), ("10000", 70), ("10000.01", 100)]
)
def test_ireland_the_fixed_compensation_of_a_debt_on_the_limit_is_the_lower_one(total: str, fixed: int) -> None:
    assert preset_policy("ireland").late_fees.compensation_for(Decimal(total), "EUR") == fixed


def test_a_customer_policy_with_another_preset_takes_no_figures_of_the_first() -> None:
    own = 'rates = { "2026-07-01" = 3 }\ncompensation = { EUR = { "0" = 999 } }\n'
    other = '[policies.berlin]\napplies_to = { tags = ["berlin"] }\n[policies.berlin.late_fees]\npreset = "germany"\n'
    policy = ReminderPolicy.from_toml(f'[late_fees]\npreset = "uk"\n{own}{other}')
    ((_, berlin),) = policy.customer_policies
    assert berlin.late_fees == ReminderPolicy.from_toml('[late_fees]\npreset = "germany"\n').late_fees


@pytest.mark.parametrize(
    ("due_on", "charged_on", "days"),
    [
        (date(2026, 1, 31), date(2026, 2, 28), 28),
        (date(2028, 1, 31), date(2028, 2, 29), 29),
        (date(2028, 2, 29), date(2028, 3, 29), 29),
        (date(2026, 12, 31), date(2027, 1, 31), 31),
    ],
)
def test_a_month_from_the_31st_is_over_on_the_last_day_of_a_shorter_month(
    due_on: date, charged_on: date, days: int
) -> None:
    rules, debt = preset_policy("australia"), overdue_balance("36500", due_on)
    before = charged_on - timedelta(days=1)
    warned = sent_email(Step.PAST_DUE, due_on + timedelta(days=5))
    assert fees_in(decide_at(statement(debt, past_actions=(warned,)), now=at(before), policy=rules)) == []
    fee = charged_fee(rules, debt, charged_on)
    assert fee.lines[0].text == f"EUR 36,500.00 for {days} days at 10 % a year"
    assert fee.amount == 10 * days  # a year has 365 days, a leap year too


changes = st.lists(
    st.builds(
        BalanceChange,
        on=st.dates(DUE_ON - timedelta(days=20), DUE_ON + timedelta(days=60)),
        amount=st.integers(-40000, 5000).map(lambda cents: Decimal(cents) / 100),
    ),
    max_size=5,
)


def invoice_with_history(events: list[BalanceChange]) -> Invoice:
    due = max(Decimal(1000) + sum((each.amount for each in events), Decimal(0)), Decimal("0.01"))
    return replace(overdue_balance("1000"), due=due, balance_changes=tuple(sorted(events, key=lambda each: each.on)))


def total_interest(of: Invoice, name: str = "eu") -> Decimal:
    parts = interest_lines(of, preset_policy(name).late_fees, DUE_ON, DUE_ON, DUE_ON + timedelta(days=30), Decimal(0))
    return sum((part.amount for part in parts), Decimal(0))


@settings(max_examples=40, deadline=None)
@given(changes)
def test_interest_is_the_sum_of_its_days_and_never_negative(events: list[BalanceChange]) -> None:
    debt, rules = invoice_with_history(events), preset_policy("eu").late_fees
    by_day = Decimal(0)
    for count in range(30):
        on = DUE_ON + timedelta(days=count)
        by_day += max(balance_on(debt, on), Decimal(0)) * rules.annual_rate_on(on) / 36500
    exact = sum(
        (span.interest for span in interest_periods(debt, rules, DUE_ON, DUE_ON, DUE_ON + timedelta(days=30))),
        Decimal(0),
    )
    assert abs(exact - by_day) < Decimal("0.000001")
    assert total_interest(debt) >= 0


@settings(max_examples=40, deadline=None)
@given(changes, st.randoms())
def test_neither_splitting_a_payment_nor_the_order_within_a_day_changes_interest(
    events: list[BalanceChange], dice: object
) -> None:
    halves = [BalanceChange(each.on, half) for each in events for half in (each.amount / 2, each.amount / 2)]
    assert total_interest(invoice_with_history(halves)) == total_interest(invoice_with_history(events))
    assert total_interest(invoice_with_history(halves[::-1])) == total_interest(invoice_with_history(events))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.integers(100, 10_000_000), st.integers(35, 300))
def test_all_fees_together_never_exceed_the_cap(cap: int, cents: int, days_late: int) -> None:
    rules = ReminderPolicy.from_toml(
        "[late_fees]\nenabled = true\nterms_agreed_on = 2022-01-31\n"
        f'kind = "percent_per_month"\nrate = 5\nmax_annual_percent = 1000\ncap_percent = {cap}\n'
    )
    debt = overdue_balance(str(Decimal(cents) / 100))
    sum_of_fees = Decimal(0)
    past_actions: list[PastAction] = [sent_email(Step.PAST_DUE, DUE_ON + timedelta(days=8))]
    for count in range(30, days_late, 5):
        on = DUE_ON + timedelta(days=count)
        for fee in fees_in(
            decide_at(statement(debt, now=at(on), past_actions=tuple(past_actions)), now=at(on), policy=rules)
        ):
            sum_of_fees += fee.amount
            past_actions.append(fee_action(on, fee.period))
    assert sum_of_fees <= (debt.total * cap / 100).quantize(Decimal("0.01"), "ROUND_HALF_UP")


def test_days_without_a_balance_and_interest_that_was_paid_have_no_line() -> None:
    rules = preset_policy("none", 'kind = "annual"', "rate = 8", "compound = true").late_fees
    subject = overdue_balance("1000", DUE_ON, "EUR", (DUE_ON + timedelta(days=11), "-1000"))
    late_on, to_on = DUE_ON + timedelta(days=1), DUE_ON + timedelta(days=31)
    lines = interest_lines(subject, rules, late_on, late_on, to_on, Decimal(0))
    assert [line.text for line in lines] == ["EUR 1,000.00 for 10 days at 8 % a year"]


def test_a_limit_that_is_exceeded_already_leaves_nothing() -> None:
    rules = preset_policy("none", 'kind = "percent"', "rate = 1", "cap_percent = 5").late_fees
    subject = overdue_balance("1000")
    lines = limited_lines(rules, subject, (FeeLine("fee", Decimal(10)),), Decimal(60), is_first=False)
    assert sum(line.amount for line in lines) == 0
    assert lines[-1].text == "limited to the cap of 5 % of the invoice"
