"""The holds, each with its sentence, in order of precedence, and what still happens under them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from policies import holds
from policies.decide import decide
from policies.decisions import DecisionKind, HoldCode
from policies.policy import ReminderPolicy
from policies.receivables import (
    BalanceChange,
    Credit,
    CreditKind,
    Discount,
    Instalment,
    InvoiceStatus,
    PastAction,
    PaymentPlan,
    Segment,
    Step,
)
from tests.policies.builders import (
    COMPANY,
    KNOWN_CUSTOMER,
    MONDAY,
    NO_HOLIDAYS,
    Holidays,
    Simulation,
    at,
    bank_receipt,
    daily,
    decide_at,
    first_decision,
    hourly,
    invoice,
    overdue_invoice,
    paid_invoice,
    reminder_in,
    sent_email,
    statement,
    tasks_in,
)

TOMORROW = MONDAY + timedelta(days=1)
YESTERDAY = MONDAY - timedelta(days=1)


PLAN = PaymentPlan(YESTERDAY, Decimal(100), (Instalment(TOMORROW, Decimal(50)), Instalment(TOMORROW, Decimal(50))))


def credit(remaining: str, currency: str = "EUR") -> Credit:
    return Credit("cr", CreditKind.PAYMENT, "c1", currency, Decimal(remaining), YESTERDAY)


PAID = (BalanceChange(YESTERDAY, Decimal(-100)),)

# each hold: its code, the facts of invoice, customer and statement that cause it, and a part of its sentence
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ("nothing_owed", {"status": InvoiceStatus.PAID, "due": Decimal(0), "balance_changes": PAID}, {}, {}, "Paid."),
    ("nothing_owed", {"status": InvoiceStatus.VOIDED}, {}, {}, "Voided in"),
    ("nothing_owed", {"status": InvoiceStatus.DELETED}, {}, {}, "Deleted in"),
    ("nothing_owed", {"due": Decimal(0)}, {}, {}, "Nothing is due"),
    ("erased", {}, {"erased": True}, {}, "data were erased"),
    ("stale_data", {}, {}, {"synced_at": None}, "not been read in full"),
    ("paid_at_bank", {}, {}, {"credits": (bank_receipt("100", YESTERDAY),)}, "from Ashdown Ltd arrived on 22 Nov 2026"),
    ("unapplied_credit", {}, {}, {"credits": (credit("100"),)}, "EUR 100.00"),
    ("disputed", {"disputed_on": YESTERDAY, "dispute_reason": "wrong price"}, {}, {}, "22 Nov 2026: wrong price"),
    ("promised", {"promised_on": TOMORROW}, {}, {}, "promised to pay by 24 Nov 2026"),
    ("payment_plan", {"payment_plan": PLAN}, {}, {}, "EUR 50.00 is due by 24 Nov 2026"),
    ("paused", {"paused": True}, {}, {}, "Reminders for this invoice are paused."),
    ("paused", {"paused": True, "paused_until_on": TOMORROW}, {}, {}, "paused until 24 Nov 2026"),
    ("paused", {}, {"hold_until_on": TOMORROW}, {}, "The customer's reminders are paused until 24 Nov 2026"),
    ("opted_out", {}, {"no_reminders": True}, {}, "no reminders"),
    ("ledger_reminders", {}, {}, {"company": replace(COMPANY, ledger_reminders=True)}, "Settings, Invoice settings"),
    ("suppressed", {}, {"suppression_reason": "the address bounced on 3 Nov"}, {}, "bounced"),
    ("no_email_address", {}, {"emails": ()}, {}, "no valid email address"),
    ("no_email_address", {}, {"emails": ("nobody",)}, {}, "no valid email address"),
    ("fee_invoice", {"fee_of": "i0"}, {}, {}, "late fee"),
    ("below_minimum", {"total": "0.99"}, {}, {}, "EUR 0.99 is below the minimum balance of EUR 1.00"),
    ("draft", {"status": InvoiceStatus.DRAFT}, {}, {}, "draft"),
    ("never_sent", {"sent_to_customer": False}, {}, {}, "never sent"),
    ("no_due_date", {"due_on": None}, {}, {}, "no due date"),
    (
        "withheld",
        {"due": Decimal(10), "balance_changes": (BalanceChange(YESTERDAY, Decimal(-90)),)},
        {"withholding_percent": Decimal(10)},
        {"past_actions": (sent_email(Step.WITHHOLDING_CERTIFICATE, YESTERDAY),)},
        "EUR 10.00 of EUR 100.00 is within the 10 %",
    ),
]
CASE_IDS = [f"{code}: {words}" for code, *_, words in CASES]


@pytest.mark.parametrize(("code", "of_invoice", "of_customer", "of_statement", "words"), CASES, ids=CASE_IDS)
def test_a_hold_stops_the_email_and_explains_itself(
    code: str, of_invoice: dict[str, Any], of_customer: dict[str, Any], of_statement: dict[str, Any], words: str
) -> None:
    facts = statement(
        overdue_invoice(10, **of_invoice), customer=replace(KNOWN_CUSTOMER, **of_customer), **of_statement
    )
    decision = decide_at(facts)
    (outcome,) = decision.invoice_decisions
    assert outcome.code == code
    assert words in outcome.reason
    assert reminder_in(decision) is None
    settled = DecisionKind.WAITING if code == HoldCode.NOTHING_OWED else DecisionKind.HOLD
    assert outcome.kind is (DecisionKind.TASK if code in holds.EMAIL_ONLY_HOLDS else settled)


def test_every_hold_is_tested_here() -> None:
    assert {code for code, _ in holds.HOLDS} == {code for code, *_ in CASES}


@pytest.mark.parametrize("index", range(len(CASES) - 1))
def test_of_two_holds_the_first_in_the_list_takes_precedence(index: int) -> None:
    order = [code for code, _ in holds.HOLDS]
    one, two = CASES[index], CASES[index + 1]
    of_invoice = {**two[1], **one[1]}
    both = statement(
        overdue_invoice(10, **of_invoice),
        customer=replace(KNOWN_CUSTOMER, **{**two[2], **one[2]}),
        **{**two[3], **one[3]},
    )
    assert first_decision(both).code == min((one[0], two[0]), key=lambda code: order.index(HoldCode(code)))


def test_data_that_was_read_too_long_ago_holds_everything() -> None:
    now = at(MONDAY)
    old = replace(statement(overdue_invoice(10)), synced_at=now - timedelta(hours=24, minutes=1))
    fresh = replace(old, synced_at=now - timedelta(hours=23))
    codes = [
        decide([each], ReminderPolicy.default(), now, NO_HOLIDAYS).invoice_decisions[0].code for each in (old, fresh)
    ]
    assert codes == ["stale_data", "past_due"]


def test_a_long_time_without_a_new_payment_asks_to_reconcile_first() -> None:
    policy = ReminderPolicy.from_toml("[data_freshness]\npayments_stale_after_days = 20")
    outcome = first_decision(statement(overdue_invoice(10), last_payment_on=MONDAY - timedelta(days=21)), policy=policy)
    assert (outcome.code, "reconcile first" in outcome.reason) == ("stale_data", True)
    assert (
        first_decision(statement(overdue_invoice(10), last_payment_on=MONDAY - timedelta(days=20)), policy=policy).code
        == "past_due"
    )


def test_unapplied_credit_covers_the_oldest_invoices_first_and_is_named() -> None:
    ledger = (overdue_invoice(30, id="old"), overdue_invoice(20, id="middle"), overdue_invoice(10, id="young"))
    decision = decide_at(statement(*ledger, credits=(credit("150"),)))
    codes = {each.invoice_id: each.code for each in decision.invoice_decisions}
    assert codes == {"old": "unapplied_credit", "middle": "past_due", "young": "past_due"}
    reasons = {each.invoice_id: each.reason for each in decision.invoice_decisions}
    assert "EUR 150.00" in reasons["old"]
    assert "EUR 100.00 (less EUR 50.00 of unapplied credit)" in reasons["middle"]
    email = reminder_in(decision)
    assert email is not None
    assert email.listed == ("middle", "young")


def test_credit_in_another_currency_covers_nothing() -> None:
    assert first_decision(statement(overdue_invoice(10), credits=(credit("100", "USD"),))).code == "past_due"


def test_a_promise_holds_until_the_business_day_after_it() -> None:
    friday = MONDAY + timedelta(days=4)
    promised = overdue_invoice(10, promised_on=friday)
    on_sunday = first_decision(statement(promised), now=at(friday + timedelta(days=2)))
    assert (on_sunday.code, on_sunday.next_on) == ("promised", friday + timedelta(days=3))
    assert first_decision(statement(promised), now=at(friday + timedelta(days=3))).code != "promised"


def test_a_pause_ends_on_its_date() -> None:
    assert first_decision(statement(overdue_invoice(10, paused_until_on=MONDAY, paused=True))).code == "past_due"


@pytest.mark.parametrize("of_customer", [{"emails": ()}, {"no_reminders": True}, {"suppression_reason": "spam report"}])
def test_a_customer_who_cannot_be_emailed_becomes_one_task(of_customer: dict[str, Any]) -> None:
    customer = replace(KNOWN_CUSTOMER, **of_customer)
    simulation = Simulation([overdue_invoice(3), overdue_invoice(2, id="i2")], customer=customer).run_all(
        hourly(MONDAY, 60)
    )
    assert simulation.emails == []
    manual_steps = [each for each in simulation.completed if each[1] is not Step.NOTIFY_OWNER]
    assert len({on for on, *_ in manual_steps}) == 1
    assert "A task was created on" in simulation.run(at(MONDAY + timedelta(days=70))).invoice_decisions[0].reason


def test_a_task_for_a_missing_email_address_names_the_hold() -> None:
    (task,) = tasks_in(decide_at(statement(overdue_invoice(10), customer=replace(KNOWN_CUSTOMER, emails=()))))
    assert (task.code, task.step, task.due_on) == ("no_email_address", Step.PAST_DUE, MONDAY)
    assert "no valid email address" in task.reason


def test_a_customer_who_opted_out_is_not_called_before_the_due_date() -> None:
    decision = decide_at(statement(invoice(7), customer=replace(KNOWN_CUSTOMER, no_reminders=True)))
    assert decision.actions == ()


def test_an_invoice_on_hold_for_a_customer_without_address_is_no_task_either() -> None:
    facts = statement(overdue_invoice(10, sent_to_customer=False), customer=replace(KNOWN_CUSTOMER, emails=()))
    decision = decide_at(facts)
    assert (decision.invoice_decisions[0].code, decision.actions) == ("no_email_address", ())


def test_three_days_lie_between_two_contacts_with_one_customer() -> None:
    past_actions = (sent_email(Step.BEFORE_DUE, MONDAY - timedelta(days=2), "other"),)
    outcome = first_decision(statement(overdue_invoice(10), past_actions=past_actions))
    assert (outcome.code, outcome.next_on) == ("frequency_cap", TOMORROW)
    assert "21 Nov 2026" in outcome.reason
    assert (
        first_decision(statement(overdue_invoice(10), past_actions=past_actions), now=at(TOMORROW)).code == "past_due"
    )


def test_at_most_two_contacts_in_seven_days() -> None:
    days = [MONDAY - timedelta(days=6), MONDAY - timedelta(days=3)]
    outcome = first_decision(
        statement(overdue_invoice(10), past_actions=tuple(sent_email(Step.PAST_DUE, on, f"x{on}") for on in days))
    )
    assert (outcome.code, outcome.next_on) == ("frequency_cap", TOMORROW)


def test_at_most_seven_contacts_in_thirty_days() -> None:
    days = [MONDAY - timedelta(days=ago) for ago in (4, 8, 12, 16, 20, 24, 28)]
    outcome = first_decision(
        statement(overdue_invoice(10), past_actions=tuple(sent_email(Step.PAST_DUE, on, f"x{on}") for on in days))
    )
    assert (outcome.code, outcome.next_on) == ("frequency_cap", MONDAY + timedelta(days=2))


def test_an_email_about_many_invoices_is_one_contact() -> None:
    on = MONDAY - timedelta(days=4)
    past_actions = tuple(sent_email(Step.PAST_DUE, on, f"x{count}", email_key="one") for count in range(9))
    assert first_decision(statement(overdue_invoice(10), past_actions=past_actions)).code == "past_due"


def test_calls_and_internal_emails_do_not_count_as_contacts() -> None:
    past_actions = (PastAction(Step.CALL, "x", at(YESTERDAY), YESTERDAY, "t", is_contact=False),)
    assert first_decision(statement(overdue_invoice(10), past_actions=past_actions)).code == "past_due"


def test_an_email_with_unconfirmed_delivery_counts_as_sent() -> None:
    past_actions = (sent_email(Step.PAST_DUE, YESTERDAY, unconfirmed=True),)
    outcome = first_decision(statement(overdue_invoice(10), past_actions=past_actions))
    assert (outcome.code, outcome.next_step) == ("not_due_yet", Step.SECOND_NOTICE)


def test_outside_the_send_window_the_email_is_planned_for_its_next_opening() -> None:
    evening = at(MONDAY, 22, 15)
    decision = decide_at(statement(overdue_invoice(10)), now=evening)
    email = reminder_in(decision)
    assert email is not None
    assert email.send_after == at(TOMORROW, 8)
    assert "24 Nov 2026 at 08:00 (Europe/Berlin)" in decision.invoice_decisions[0].reason
    closing = reminder_in(decide_at(statement(overdue_invoice(10)), now=at(MONDAY, 18)))
    assert closing is not None
    assert closing.send_after == at(TOMORROW, 8)
    early = reminder_in(decide_at(statement(overdue_invoice(10)), now=at(MONDAY, 7, 59)))
    assert early is not None
    assert early.send_after == at(MONDAY, 8)


def test_nothing_is_sent_on_a_weekend_or_public_holiday_of_the_customers_country() -> None:
    holidays = Holidays({("DE", MONDAY + timedelta(days=7)): "Long Monday"})
    saturday = MONDAY + timedelta(days=5)
    decision = decide(
        [statement(overdue_invoice(10), now=at(saturday))], ReminderPolicy.default(), at(saturday), holidays
    )
    email = reminder_in(decision)
    assert email is not None
    assert email.send_after == at(MONDAY + timedelta(days=8), 8)
    monday = at(MONDAY + timedelta(days=7))
    on_holiday = decide(
        [statement(overdue_invoice(17), now=monday)], ReminderPolicy.default(), monday, holidays
    ).invoice_decisions[0]
    assert "30 Nov 2026 is Long Monday" in on_holiday.reason


def test_the_public_holidays_of_the_customers_region_count() -> None:
    holidays = Holidays({("DE-BY", MONDAY): "Hill Day"})
    for place, name in (("DE-BY", "Hill Day"), ("DE-HH", "")):
        customer = replace(KNOWN_CUSTOMER, holiday_region=place)
        owed = statement(overdue_invoice(10), customer=customer, now=at(MONDAY))
        email = reminder_in(decide([owed], ReminderPolicy.default(), at(MONDAY), holidays))
        assert email is not None
        assert ("Hill Day" in email.reason, email.send_after is not None) == (bool(name), bool(name))


def test_nothing_is_sent_on_the_companys_own_closing_days() -> None:
    document = f'[send_window]\nclosing_days = ["{MONDAY:%m-%d}", "{TOMORROW.isoformat()}"]\n'
    email = reminder_in(decide_at(statement(overdue_invoice(10)), policy=ReminderPolicy.from_toml(document)))
    assert email is not None
    assert email.send_after == at(MONDAY + timedelta(days=2), 8)
    assert "the company is closed on 23 Nov 2026" in email.reason


def test_the_send_window_is_in_the_customers_time_zone_and_the_date_in_the_companys() -> None:
    customer = replace(KNOWN_CUSTOMER, time_zone="America/New_York", country="US")
    email = reminder_in(decide_at(statement(overdue_invoice(10), customer=customer), now=at(MONDAY, 10)))
    assert email is not None
    assert email.send_after == at(MONDAY, 14)


def test_an_unknown_time_zone_falls_back_to_the_companys() -> None:
    email = reminder_in(
        decide_at(statement(overdue_invoice(10), customer=replace(KNOWN_CUSTOMER, time_zone="Nowhere/Land")))
    )
    assert email is not None
    assert email.send_after is None


def test_two_currencies_are_never_added_up_and_share_the_one_email_of_the_day() -> None:
    euros, dollars = statement(overdue_invoice(10, id="e")), statement(overdue_invoice(40, id="d", currency="USD"))
    decision = decide_at(euros, dollars)
    email = reminder_in(decision)
    assert email is not None
    assert (email.currency, email.listed) == ("USD", ("d",))
    codes = {each.invoice_id: each.code for each in decision.invoice_decisions}
    assert codes == {"d": "past_due", "e": "frequency_cap"}


def test_a_payment_in_full_is_thanked_for_once() -> None:
    simulation = Simulation([overdue_invoice(10)], payment_dates={"i1": MONDAY + timedelta(days=2)}).run_all(
        hourly(MONDAY, 40)
    )
    assert [step for _, step, _ in simulation.emails] == [Step.PAST_DUE, Step.THANK_YOU]
    assert simulation.emails[-1][0] == MONDAY + timedelta(days=3)  # the caps hold for thanks as well


def test_a_customer_is_thanked_once_in_thirty_days() -> None:
    ledger = [paid_invoice(YESTERDAY, id="new"), paid_invoice(YESTERDAY, id="new too")]
    thanks = reminder_in(decide_at(statement(*ledger)))
    assert thanks is not None
    assert thanks.completed == (("new", Step.THANK_YOU), ("new too", Step.THANK_YOU))
    before = (sent_email(Step.THANK_YOU, MONDAY - timedelta(days=29), "old"),)
    assert reminder_in(decide_at(statement(*ledger, past_actions=before))) is None


@pytest.mark.parametrize(
    "facts",
    [
        {"live_since_at": None},
        {"live_since_at": at(MONDAY)},
        {"customer": replace(KNOWN_CUSTOMER, no_reminders=True)},
        {"customer": replace(KNOWN_CUSTOMER, hold_until_on=TOMORROW)},
        {"customer": replace(KNOWN_CUSTOMER, emails=())},
        {"synced_at": None},
    ],
)
def test_no_thank_you_is_sent_to_customers_who_get_no_email(facts: dict[str, Any]) -> None:
    assert reminder_in(decide_at(statement(paid_invoice(YESTERDAY), **facts))) is None


def test_a_reminder_goes_before_a_thank_you() -> None:
    email = reminder_in(decide_at(statement(overdue_invoice(10), paid_invoice(YESTERDAY, id="paid"))))
    assert email is not None
    assert email.step is Step.PAST_DUE


def test_an_old_payment_or_a_paid_fee_is_not_thanked_for() -> None:
    assert reminder_in(decide_at(statement(paid_invoice(MONDAY - timedelta(days=6))))) is None
    assert reminder_in(decide_at(statement(paid_invoice(YESTERDAY, fee_of="i0")))) is None


def test_without_statements_nothing_is_decided() -> None:
    assert decide([], ReminderPolicy.default(), at(MONDAY), NO_HOLIDAYS).invoice_decisions == ()


def test_a_discount_without_a_step_changes_nothing() -> None:
    policy = ReminderPolicy.from_toml('[discount_ending]\nstrategic = "off"\nestablished = "off"\nnew = "off"')
    ending = invoice(30, discount=Discount(Decimal(2), TOMORROW))
    assert first_decision(statement(ending), policy=policy).code == "not_due_yet"


def test_daily_and_hourly_runs_decide_the_same_on_a_day() -> None:
    facts = statement(overdue_invoice(10), customer=replace(KNOWN_CUSTOMER, segment=Segment.ESTABLISHED))
    answers = {first_decision(facts, now=now).code for now in hourly(date(2026, 11, 23), 1)}
    assert answers == {first_decision(facts, now=next(daily(MONDAY, 1))).code}
