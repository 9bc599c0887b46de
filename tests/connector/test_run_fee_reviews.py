"""Late fees that need a person: wrong since a payment was entered late, or left over when the invoice is settled."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import tasks
from connector.db.engine import reading
from connector.db.tables import SyncLogEntry
from connector.outbox.approvals import OutboxError
from connector.services import fees
from connector.services.fees import FeeItem
from connector.services.outbox_search import get_entry
from connector.vocabulary import LogKind, TaskState
from tests.connector.scenario import Scenario, days

AUTOMATIC = '[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\napproval = "automatic"\n'


def list_fees(scenario: Scenario) -> list[FeeItem]:
    with reading(scenario.app.engine) as session:
        return fees.find_fees(session)


def open_tasks(scenario: Scenario) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        return [(task.code, task.text) for task in tasks.find_tasks(session, scenario.connection)]


def fee_tasks(scenario: Scenario) -> list[tuple[str, str]]:
    return [each for each in open_tasks(scenario) if each[0] in {"propose_waiver", "unpaid_fee"}]


@pytest.fixture
def charged(late_customer: Scenario) -> Scenario:
    """An overdue invoice with a late fee that was posted some days ago."""
    return charge(late_customer, AUTOMATIC)


def charge(scenario: Scenario, policy: str) -> Scenario:
    """Run until two days after the fee on the overdue invoice was posted."""
    scenario.set_policy(policy)
    for _day in range(40):
        scenario.run()
        if any(fee.state == "posted" for fee in list_fees(scenario)):
            scenario.pass_days(2)
            scenario.run()
            return scenario
        scenario.pass_days(1)
    raise AssertionError(list_fees(scenario))


def pay_dated(scenario: Scenario, on: date) -> None:
    scenario.company.pay(scenario.number, on=on)
    scenario.run()


def test_a_fee_is_proposed_to_be_waived_when_the_payment_turns_out_to_have_been_in_time(charged: Scenario) -> None:
    pay_dated(charged, days(-8))
    [(code, text)] = fee_tasks(charged)
    assert code == "propose_waiver"
    assert f"invoice {charged.number} was paid in time, on 2 Jun 2026; that was entered after the fee of" in text
    charged.run_for_days(20, weekends=True)
    assert len(fee_tasks(charged)) == 1
    [fee] = list_fees(charged)
    fees.waive(charged.app, [fee.id], by="Ann", reason="paid in time")
    charged.run_for_days(2, weekends=True)
    assert charged.company.fees() == {}
    assert fee_tasks(charged) == []


def test_a_payment_dated_between_the_due_date_and_the_fee_is_noticed_as_well(charged: Scenario) -> None:
    pay_dated(charged, days(1))
    [(code, text)] = fee_tasks(charged)
    assert code == "propose_waiver"
    assert "was paid on 11 Jun 2026, before the fee of" in text


def test_a_payment_in_time_that_is_entered_months_later_is_still_found(charged: Scenario) -> None:
    charged.pass_days(50)
    pay_dated(charged, days(-8))
    assert [code for code, _ in fee_tasks(charged)] == ["propose_waiver"]


def test_a_fee_on_an_invoice_that_was_credited_in_full_is_proposed_to_be_waived(charged: Scenario) -> None:
    charged.company.credit_invoice(charged.number, "1200.00")
    charged.run()
    [(code, text)] = fee_tasks(charged)
    assert code == "propose_waiver"
    assert "was credited or written off in full" in text


def test_a_fee_on_a_voided_invoice_is_proposed_to_be_waived(charged: Scenario) -> None:
    charged.company.void(charged.number)
    charged.run()
    [(code, text)] = fee_tasks(charged)
    assert code == "propose_waiver"
    assert f"invoice {charged.number} was voided" in text


def test_a_fee_left_unpaid_beside_its_invoice_is_to_be_collected_or_waived(charged: Scenario) -> None:
    charged.company.pay(charged.number)
    charged.run()
    assert fee_tasks(charged) == []  # it is not due yet
    charged.run_for_days(20)
    [(code, text)] = fee_tasks(charged)
    assert code == "unpaid_fee"
    assert "is unpaid, but its invoice is settled: collect or waive it" in text
    charged.run_for_days(120, every=10)
    assert len(fee_tasks(charged)) == 1
    [number] = charged.company.fees()
    charged.company.pay(number)
    charged.run()
    assert fee_tasks(charged) == []


def test_the_task_about_an_unpaid_fee_ends_when_its_invoice_is_open_again_and_comes_back_with_the_payment(
    charged: Scenario,
) -> None:
    charged.company.pay(charged.number)
    charged.run_for_days(20)
    assert [code for code, _ in fee_tasks(charged)] == ["unpaid_fee"]
    charged.company.delete_payment(charged.number)
    charged.run()
    assert fee_tasks(charged) == []
    charged.company.pay(charged.number)
    charged.run()
    assert [code for code, _ in fee_tasks(charged)] == ["unpaid_fee"]


def test_a_proposed_waiver_ends_when_the_payment_that_was_in_time_is_deleted(charged: Scenario) -> None:
    pay_dated(charged, days(-8))
    charged.company.delete_payment(charged.number)
    charged.run()
    assert fee_tasks(charged) == []


def test_a_fee_left_unpaid_is_chased_where_the_policy_says_so(charged: Scenario) -> None:
    charged.set_policy(f'{AUTOMATIC}unpaid_fee = "chase"\n')
    charged.company.pay(charged.number)
    charged.run()
    [number] = charged.company.fees()
    before = len(charged.customer_emails())
    charged.run_for_days(40)
    subjects = [subject for _to, subject in charged.customer_emails()[before:]]
    assert any(number in subject for subject in subjects), subjects
    assert fee_tasks(charged) == []
    assert len(list_fees(charged)) == 1  # no fee on a fee


def test_a_fee_on_an_invoice_that_is_still_open_needs_nobody(charged: Scenario) -> None:
    charged.company.pay(charged.number, "500.00", on=charged.today - timedelta(days=1))
    charged.run_for_days(20, every=4)
    assert fee_tasks(charged) == []


PERCENT = f'{AUTOMATIC}kind = "percent"\nrate = 1\nmax_annual_percent = 100\n'
MONTHLY = f'{AUTOMATIC}kind = "percent_per_month"\nrate = 1\n'


def test_of_a_fee_that_a_payment_in_part_makes_too_high_the_difference_is_waived(late_customer: Scenario) -> None:
    charge(late_customer, PERCENT)
    assert list(late_customer.company.fees().values()) == [Decimal("12.00")]
    late_customer.company.pay(late_customer.number, "400.00", on=days(-8))
    late_customer.run()
    [(code, text)] = fee_tasks(late_customer)
    assert code == "propose_waiver"
    assert text.startswith("Waive GBP 4.00 of the late fee LF-")
    assert f"the balance of invoice {late_customer.number} was GBP 800.00 on" in text
    [fee] = list_fees(late_customer)
    fees.waive(late_customer.app, [fee.id], by="Ann", reason="paid in part", amount=Decimal("4.00"))
    late_customer.run_for_days(4)
    assert list(late_customer.company.fees().values()) == [Decimal("8.00")]
    [fee] = list_fees(late_customer)
    assert (fee.state, fee.waived) == ("posted", "4.00")
    assert fee_tasks(late_customer) == []
    late_customer.company.pay(late_customer.number, "200.00", on=days(-7))
    late_customer.run()
    assert [text[:17] for _code, text in fee_tasks(late_customer)] == ["Waive GBP 2.00 of"]
    fees.waive(late_customer.app, [fee.id], by="Ann")
    late_customer.run_for_days(4)
    assert set(late_customer.company.fees().values()) == {Decimal(0)}
    assert [fee.state for fee in list_fees(late_customer)] == ["waived"]


def test_interest_is_calculated_again_for_its_days_and_at_its_rate(late_customer: Scenario) -> None:
    charge(late_customer, MONTHLY)
    late_customer.set_policy(MONTHLY.replace("rate = 1", "rate = 5"))
    late_customer.company.pay(late_customer.number, "600.00", on=days(9))  # the middle of the month
    late_customer.run()
    [(code, text)] = fee_tasks(late_customer)
    assert code == "propose_waiver"
    assert text.startswith("Waive GBP 3.00 of the late fee")


def test_a_fee_that_was_paid_and_turns_out_too_high_is_to_be_given_back(late_customer: Scenario) -> None:
    charge(late_customer, PERCENT)
    [number] = late_customer.company.fees()
    late_customer.company.pay(number)
    late_customer.run()
    assert fee_tasks(late_customer) == []
    late_customer.company.pay(late_customer.number, "400.00", on=days(-8))
    late_customer.run()
    [(code, text)] = fee_tasks(late_customer)
    assert code == "propose_waiver"
    assert text.startswith("Waive GBP 4.00 of the late fee")
    assert text.endswith("It is paid: what is waived becomes credit of the customer, to be refunded.")
    [fee] = list_fees(late_customer)
    fees.waive(late_customer.app, [fee.id], by="Ann", amount=Decimal("4.00"))
    late_customer.run_for_days(4)
    assert fee_tasks(late_customer) == []
    tasks_now = [text for _code, text in open_tasks(late_customer)]
    assert any("GBP 4.00 of unapplied credit" in text for text in tasks_now), tasks_now


def test_the_proposal_to_waive_a_paid_fee_lasts_until_the_fee_is_waived(late_customer: Scenario) -> None:
    charge(late_customer, PERCENT)
    [number] = late_customer.company.fees()
    late_customer.company.pay(number)
    pay_dated(late_customer, days(-8))
    late_customer.run_for_days(3, weekends=True)
    with reading(late_customer.app.engine) as session:
        [proposal] = [task for task in tasks.find_tasks(session) if task.code == "propose_waiver"]
        logged = session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.TASK_OUTCOME))
        assert not any(text.startswith(f"Task {proposal.id} ") for text in logged)  # it was not closed and opened again
    [fee] = list_fees(late_customer)
    fees.waive(late_customer.app, [fee.id], by="Ann")
    late_customer.run_for_days(2, weekends=True)
    with reading(late_customer.app.engine) as session:
        closed = tasks.find_tasks(session, late_customer.connection, states=[TaskState.CANCELLED])
    assert [task.outcome for task in closed if task.code == "propose_waiver"] == ["the fee was waived"]


@pytest.mark.parametrize("how", ["voided", "credited"])
def test_a_fee_that_a_user_voids_or_credits_in_the_ledger_is_listed_as_waived(charged: Scenario, how: str) -> None:
    [(number, amount)] = charged.company.fees().items()
    if how == "voided":
        charged.company.void(number)
    else:
        charged.company.credit_invoice(number, f"{amount:f}")
    charged.run()
    [fee] = list_fees(charged)
    assert (fee.state, fee.waived) == ("waived", fee.amount)
    assert how in fee.response
    with reading(charged.app.engine) as session:
        entry = get_entry(session, fee.id)
    assert entry is not None
    assert (entry.state_label, entry.can_waive) == ("Waived", False)
    pay_dated(charged, days(-8))
    assert fee_tasks(charged) == []


def test_a_paid_fee_is_still_posted(charged: Scenario) -> None:
    [number] = charged.company.fees()
    charged.company.pay(number)
    charged.run()
    [fee] = list_fees(charged)
    assert (fee.state, fee.waived) == ("posted", "0.00")


def test_a_payment_dated_after_the_days_of_the_fee_changes_nothing(late_customer: Scenario) -> None:
    charge(late_customer, PERCENT)
    late_customer.company.pay(late_customer.number, "400.00", on=late_customer.today - timedelta(days=2))
    late_customer.run_for_days(4)
    assert fee_tasks(late_customer) == []


@pytest.mark.parametrize("amount", ["0", "13", "x"])
def test_no_more_than_what_stands_of_a_fee_is_waived(late_customer: Scenario, amount: str) -> None:
    if late_customer.company.provider == "quickbooks":
        pytest.skip("the ledger plays no part in it")
    charge(late_customer, PERCENT)
    [fee] = list_fees(late_customer)
    with pytest.raises(OutboxError):
        fees.waive(late_customer.app, [fee.id], by="Ann", amount=fees.parse_waived_amount(amount))


def test_a_fee_that_a_user_has_lowered_in_the_ledger_is_not_too_high(late_customer: Scenario) -> None:
    charge(late_customer, PERCENT)
    [number] = late_customer.company.fees()
    late_customer.company.pay(late_customer.number, "400.00", on=days(-8))
    late_customer.run()
    assert [text[:17] for _code, text in fee_tasks(late_customer)] == ["Waive GBP 4.00 of"]
    late_customer.company.credit_invoice(number, "4.00")
    late_customer.run_for_days(4)
    assert fee_tasks(late_customer) == []
