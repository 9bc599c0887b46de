"""Late fees of random invoices, histories and rules, compared with a naive sum over the days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.geo import HolidayCalendar
from policies.backtest import as_of
from policies.currencies import smallest_unit
from policies.decide import decide
from policies.decisions import ChargeLateFee
from policies.fee_outlook import find_expected_fee
from policies.fee_periods import add_months
from policies.fee_rules import LateFees
from policies.past_actions import PastActions
from policies.payable_dates import with_payable_dates
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, Invoice, PastAction, Segment, Size, Step
from policies.schedule import payable_on
from policies.statement_context import StatementContext
from tests.policies.builders import KNOWN_CUSTOMER, at, fees_in, invoice, sent_email, statement

DAYS = 130  # how long each invoice is watched
CALENDAR = HolidayCalendar()
CUSTOMER = replace(KNOWN_CUSTOMER, first_invoiced_on=date(2019, 1, 8))
KINDS = (
    'preset = "uk"',
    'preset = "eu"',
    'preset = "germany"',
    'preset = "france"\ncap_percent = 1',
    'preset = "canada"',
    'preset = "us"\nmaximum = { EUR = 3, JPY = 300, KWD = 1 }',
    'preset = "australia"\nminimum = { EUR = 2, JPY = 200, KWD = 1 }',
    'kind = "percent"\nrate = 1',
    'kind = "flat"\namounts = { EUR = 5, JPY = 500, KWD = 2 }',
)


def policy_with(lines: str) -> ReminderPolicy:
    head = "[minimum_balance]\ndefault = 0\nJPY = 0\n[late_fees]\nenabled = true\nterms_agreed_on = 2020-01-31\n"
    return ReminderPolicy.from_toml(f"{head}{lines}\n")


@st.composite
def debts(draw: st.DrawFn) -> Invoice:
    """Draw an invoice that is paid in parts and credited on some days, and some of whose payments are reversed."""
    currency = draw(st.sampled_from(("EUR", "JPY", "KWD")))
    unit = smallest_unit(currency)
    due_on = draw(st.dates(date(2022, 1, 1), date(2028, 12, 31)))
    total = draw(st.integers(1, 5_000_000)) * unit
    balance, changes = total, []
    for day in sorted(draw(st.lists(st.integers(-20, DAYS), max_size=5))):
        share = draw(st.integers(-100, 100))
        amount = (balance if share < 0 else total - balance) * share / 100
        amount = amount.quantize(unit, ROUND_HALF_UP)
        changes.append(BalanceChange(due_on + timedelta(days=day), amount))
        balance += amount
    history = tuple(changes)
    return invoice(0, today=due_on, total=total, due=balance, currency=currency, balance_changes=history)


def charge(debt: Invoice, policy: ReminderPolicy, looks: Iterable[int]) -> list[ChargeLateFee]:
    """Return the fees charged where someone looks on these days after the due date."""
    due_on = debt.due_on or debt.issued_on
    past_actions = [sent_email(Step.PAST_DUE, due_on + timedelta(days=8))]
    charged: list[ChargeLateFee] = []
    for day in sorted(looks):
        on = due_on + timedelta(days=day)
        facts = statement(as_of(debt, on), now=at(on), past_actions=tuple(past_actions), customer=CUSTOMER)
        for fee in fees_in(decide([facts], policy, at(on), CALENDAR)):
            charged.append(fee)
            past_actions.append(
                PastAction(
                    Step.LATE_FEE, debt.id, at(on), on, is_contact=False, recurrence_key=fee.period,
                    fee_amount=fee.amount,
                )
            )  # fmt: skip
    return charged


def balance_on(debt: Invoice, on: date) -> Decimal:
    return debt.total + sum((each.amount for each in debt.balance_changes if each.on <= on), Decimal(0))


def naive_interest(debt: Invoice, rules: LateFees, start_on: date, months: int) -> Decimal:
    """Add up the interest of the days of one month, each on the balance at its end."""
    from_on, to_on = add_months(start_on, months), add_months(start_on, months + 1)
    days = [from_on + timedelta(days=count) for count in range((to_on - from_on).days)]
    exact = Decimal(0)
    for on in days:
        if rules.kind == "percent_per_month":
            exact += balance_on(debt, on) * rules.rate / 100 / len(days)
        else:
            rate_on = start_on + timedelta(days=1) if rules.rate_fixed_at_start else on
            exact += balance_on(debt, on) * rules.annual_rate_on(rate_on) / 36500
    return exact


@settings(max_examples=50, deadline=None)
@given(debts(), st.sampled_from(KINDS), st.sets(st.integers(0, DAYS), min_size=1, max_size=12))
def test_each_fee_is_the_naive_sum_of_its_days_whenever_one_looks(debt: Invoice, lines: str, looks: set[int]) -> None:
    policy = policy_with(lines)
    rules = policy.late_fees
    [moved] = with_payable_dates(statement(debt), policy, CALENDAR).invoices
    start_on, unit = payable_on(moved), smallest_unit(debt.currency)
    for every in (range(DAYS), looks):
        fees = charge(debt, policy, every)
        assert all(fee.amount > 0 for fee in fees)
        assert len({fee.period for fee in fees}) == len(fees), "one fee for each month"
        cap = (debt.total * rules.cap_percent / 100).quantize(unit, ROUND_HALF_UP)
        assert sum((fee.amount for fee in fees), Decimal(0)) <= cap
        assert all(fee.amount <= rules.maximum.get(debt.currency, fee.amount) for fee in fees)
        assert all(fee.amount >= rules.minimum.get(debt.currency, fee.amount) for fee in fees)
        for fee in fees if rules.kind not in {"flat", "percent"} else ():
            own = [line for line in fee.lines if line.text != "fixed compensation" and "limited" not in line.text]
            amount = sum((line.amount for line in own), Decimal(0))
            months = next(count for count in range(6) if f"{add_months(start_on, count):%Y-%m}" == fee.period)
            assert abs(amount - naive_interest(debt, rules, start_on, months)) <= unit / 2 + Decimal("1e-9")
            assert amount == sum((line.amount for line in own), Decimal(0)).quantize(unit)


@settings(max_examples=25, deadline=None)
@given(debts(), st.sampled_from(KINDS), st.sampled_from((1, 2, 3, 5)))
def test_looking_more_often_charges_nothing_more(debt: Invoice, lines: str, every: int) -> None:
    """What is charged in all does not depend on how often one looks, while the balance stays as it is."""
    policy, steady = policy_with(lines), replace(debt, due=debt.total, balance_changes=())
    often = {fee.period: fee.amount for fee in charge(steady, policy, range(DAYS))}
    seldom = {fee.period: fee.amount for fee in charge(steady, policy, range(0, DAYS, every))}
    assert {key: often[key] for key in seldom} == seldom
    assert len(often) - len(seldom) <= 1, "the last month may not have been looked at yet"


@settings(max_examples=50, deadline=None)
@given(debts(), st.sampled_from(KINDS), st.integers(8, 60))
def test_the_fee_that_is_announced_is_the_one_that_is_charged(debt: Invoice, lines: str, day: int) -> None:
    """Announced on a day, and nothing is paid after it: on the announced date that very fee is charged, not before."""
    policy, due_on = policy_with(lines), debt.due_on or debt.issued_on
    today = due_on + timedelta(days=day)
    known = as_of(debt, today)
    facts = with_payable_dates(statement(known, now=at(today), customer=CUSTOMER), policy, CALENDAR)
    warned = (sent_email(Step.PAST_DUE, due_on + timedelta(days=8)),)
    context = StatementContext(facts, policy, today, at(today), CALENDAR, Segment.ESTABLISHED, {}, None)
    schedule = policy.schedules[Segment.ESTABLISHED, Size.SMALL]
    expected = None
    if known.due > 0:
        past_actions = PastActions.from_actions(warned, facts.invoices)
        expected = find_expected_fee(context, facts.invoices[0], schedule, past_actions)
    charged: dict[str, tuple[date, Decimal]] = {}
    for count in range(100):
        on = today + timedelta(days=count)
        later = statement(known, now=at(on), past_actions=warned, customer=CUSTOMER)
        for fee in fees_in(decide([later], policy, at(on), CALENDAR)):
            charged.setdefault(fee.period, (on, fee.amount))
    if expected is None:
        assert charged == {}
    else:
        assert charged[expected.fee.period] == (expected.on, expected.fee.amount)
        assert min(on for on, _ in charged.values()) == expected.on


@settings(max_examples=10, deadline=None)
@given(debts(), st.sampled_from(KINDS))
def test_no_fee_is_ever_charged_on_a_fee(debt: Invoice, lines: str) -> None:
    assert charge(replace(debt, fee_of="i0"), policy_with(lines), range(DAYS)) == []
