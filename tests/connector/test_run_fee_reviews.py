"""Late fees that need a person: wrong since a payment was entered late, or left over when the invoice is settled."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from connector.arrangements import tasks
from connector.db.engine import reading
from connector.services import fees
from connector.services.fees import FeeItem
from tests.connector.scenario import Scenario, days

AUTOMATIC = '[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\napproval = "automatic"\n'


def list_fees(scenario: Scenario) -> list[FeeItem]:
    with reading(scenario.app.engine) as session:
        return fees.find_fees(session)


def fee_tasks(scenario: Scenario) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        found = [(task.code, task.text) for task in tasks.find_tasks(session, scenario.connection)]
    return [each for each in found if each[0] in {"propose_waiver", "unpaid_fee"}]


@pytest.fixture
def charged(late_customer: Scenario) -> Scenario:
    """An overdue invoice with a late fee that was posted some days ago."""
    late_customer.set_policy(AUTOMATIC)
    for _day in range(40):
        late_customer.run()
        if any(fee.state == "posted" for fee in list_fees(late_customer)):
            late_customer.pass_days(2)
            late_customer.run()
            return late_customer
        late_customer.pass_days(1)
    raise AssertionError(list_fees(late_customer))


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
