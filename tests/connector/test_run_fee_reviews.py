"""Late fees that need a person: wrong since a payment was entered late, or left over when the invoice is settled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import tasks
from connector.arrangements.customer_settings import find_customer
from connector.arrangements.task_list import find_tasks
from connector.db.engine import reading
from connector.db.tables import SyncLogEntry
from connector.emails.portal_links import PortalVisitor
from connector.outbox.approvals import OutboxError
from connector.portal.customer_page import build_customer_page
from connector.services import fees
from connector.services.explain import explain
from connector.services.fees import FeeItem
from connector.services.outbox_search import get_entry
from connector.vocabulary import LogKind, TaskState
from tests.connector.scenario import ResumeAfter, Scenario, add_late_customer, days

AUTOMATIC = '[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\napproval = "automatic"\n'


def list_fees(scenario: Scenario) -> list[FeeItem]:
    with reading(scenario.app.engine) as session:
        return fees.find_fees(session)


def open_tasks(scenario: Scenario) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        return [(task.code, task.text) for task in find_tasks(session, scenario.connection)]


def fee_tasks(scenario: Scenario) -> list[tuple[str, str]]:
    return [each for each in open_tasks(scenario) if each[0] in {"propose_waiver", "unpaid_fee"}]


PERCENT = f'{AUTOMATIC}kind = "percent"\nrate = 1\nmax_annual_percent = 100\n'
MONTHLY = f'{AUTOMATIC}kind = "percent_per_month"\nrate = 1\n'


def charge(scenario: Scenario, policy: str, first_days: int = 8) -> None:
    """Run until two days after the fee on the overdue invoice was posted, daily after the first days."""
    add_late_customer(scenario)
    scenario.set_policy(policy)
    scenario.run_for_days(first_days, every=4)
    assert list_fees(scenario) == []
    for _day in range(40):
        scenario.run()
        if any(fee.state == "posted" for fee in list_fees(scenario)):
            scenario.pass_days(2)
            scenario.run()
            return
        scenario.pass_days(1)
    raise AssertionError(list_fees(scenario))


CHARGE, CHARGE_PERCENT = (partial(charge, policy=policy) for policy in (AUTOMATIC, PERCENT))
CHARGE_MONTHLY = partial(charge, policy=MONTHLY, first_days=20)


@pytest.fixture
def charged(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """An overdue invoice with a late fee that was posted some days ago."""
    with resume_after(CHARGE, scenario.company.provider) as resumed:
        yield resumed


@pytest.fixture
def charged_percent(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """The same with a fee of 1 % of the invoice."""
    with resume_after(CHARGE_PERCENT, scenario.company.provider) as resumed:
        yield resumed


@pytest.fixture
def charged_monthly(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """The same with interest of 1 % a month."""
    with resume_after(CHARGE_MONTHLY, scenario.company.provider) as resumed:
        yield resumed


def pay_dated(scenario: Scenario, on: date) -> None:
    scenario.company.pay(scenario.number, on=on)
    scenario.run()


def test_a_fee_is_proposed_to_be_waived_when_the_payment_turns_out_to_have_been_in_time(charged: Scenario) -> None:
    pay_dated(charged, days(-8))
    [(code, text)] = fee_tasks(charged)
    assert code == "propose_waiver"
    assert f"invoice {charged.number} was paid in time, on 2 Jun 2026; that was entered after the fee of" in text
    charged.run_for_days(20, every=5)
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
    charged.run_for_days(20, every=5)
    [(code, text)] = fee_tasks(charged)
    assert code == "unpaid_fee"
    assert "is unpaid, but its invoice is settled: collect or waive it" in text
    charged.run_for_days(120, every=20)
    assert len(fee_tasks(charged)) == 1
    [number] = charged.company.fees()
    charged.company.pay(number)
    charged.run()
    assert fee_tasks(charged) == []


def test_the_task_about_an_unpaid_fee_ends_when_its_invoice_is_open_again_and_comes_back_with_the_payment(
    charged: Scenario,
) -> None:
    charged.company.pay(charged.number)
    charged.run_for_days(20, every=5)
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
    charged.run_for_days(40, every=5)
    subjects = [subject for _to, subject in charged.customer_emails()[before:]]
    assert any(number in subject for subject in subjects), subjects
    assert fee_tasks(charged) == []
    assert len(list_fees(charged)) == 1  # no fee on a fee


def test_a_fee_on_an_invoice_that_is_still_open_needs_nobody(charged: Scenario) -> None:
    charged.company.pay(charged.number, "500.00", on=charged.today - timedelta(days=1))
    charged.run_for_days(20, every=4)
    assert fee_tasks(charged) == []


def test_of_a_fee_that_a_payment_in_part_makes_too_high_the_difference_is_waived(charged_percent: Scenario) -> None:
    assert list(charged_percent.company.fees().values()) == [Decimal("12.00")]
    charged_percent.company.pay(charged_percent.number, "400.00", on=days(-8))
    charged_percent.run()
    [(code, text)] = fee_tasks(charged_percent)
    assert code == "propose_waiver"
    assert text.startswith("Waive GBP 4.00 of the late fee LF-")
    assert f"the balance of invoice {charged_percent.number} was GBP 800.00 on" in text
    [fee] = list_fees(charged_percent)
    fees.waive(charged_percent.app, [fee.id], by="Ann", reason="paid in part", amount=Decimal("4.00"))
    charged_percent.run_for_days(4)
    assert list(charged_percent.company.fees().values()) == [Decimal("8.00")]
    [fee] = list_fees(charged_percent)
    assert (fee.state, fee.waived) == ("posted", "4.00")
    assert fee_tasks(charged_percent) == []
    charged_percent.company.pay(charged_percent.number, "200.00", on=days(-7))
    charged_percent.run()
    assert [text[:17] for _code, text in fee_tasks(charged_percent)] == ["Waive GBP 2.00 of"]
    fees.waive(charged_percent.app, [fee.id], by="Ann")
    charged_percent.run_for_days(4)
    assert set(charged_percent.company.fees().values()) == {Decimal(0)}
    assert [fee.state for fee in list_fees(charged_percent)] == ["waived"]


def test_what_an_invoice_was_raised_by_when_it_was_late_bears_interest_from_then_on(scenario: Scenario) -> None:
    """1,200.00 until 30 June and 2,400.00 for four days of a month of thirty."""
    add_late_customer(scenario)
    scenario.set_policy(MONTHLY)
    scenario.run_for_days(20, every=4)
    scenario.company.change_total(scenario.number, "2400.00")
    scenario.run_for_days(8, every=2)
    [fee] = list_fees(scenario)
    assert (fee.state, fee.amount) == ("posted", "13.60")
    assert fee_tasks(scenario) == []


def test_interest_is_calculated_again_for_its_days_and_at_its_rate(charged_monthly: Scenario) -> None:
    charged_monthly.set_policy(MONTHLY.replace("rate = 1", "rate = 5"))
    charged_monthly.company.pay(charged_monthly.number, "600.00", on=days(9))  # the middle of the month
    charged_monthly.run()
    [(code, text)] = fee_tasks(charged_monthly)
    assert code == "propose_waiver"
    assert text.startswith("Waive GBP 3.00 of the late fee")


def test_a_fee_that_was_paid_and_turns_out_too_high_is_to_be_given_back(charged_percent: Scenario) -> None:
    [number] = charged_percent.company.fees()
    charged_percent.company.pay(number)
    charged_percent.run()
    assert fee_tasks(charged_percent) == []
    charged_percent.company.pay(charged_percent.number, "400.00", on=days(-8))
    charged_percent.run()
    [(code, text)] = fee_tasks(charged_percent)
    assert code == "propose_waiver"
    assert text.startswith("Waive GBP 4.00 of the late fee")
    assert text.endswith("It is paid: what is waived becomes credit of the customer, to be refunded.")
    [fee] = list_fees(charged_percent)
    fees.waive(charged_percent.app, [fee.id], by="Ann", amount=Decimal("4.00"))
    charged_percent.run_for_days(4)
    assert fee_tasks(charged_percent) == []
    tasks_now = [text for _code, text in open_tasks(charged_percent)]
    assert any("GBP 4.00 of unapplied credit" in text for text in tasks_now), tasks_now


def test_the_proposal_to_waive_a_paid_fee_lasts_until_the_fee_is_waived(charged_percent: Scenario) -> None:
    [number] = charged_percent.company.fees()
    charged_percent.company.pay(number)
    pay_dated(charged_percent, days(-8))
    charged_percent.run_for_days(3, weekends=True)
    with reading(charged_percent.app.engine) as session:
        [proposal] = [task for task in find_tasks(session) if task.code == "propose_waiver"]
        logged = session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.TASK_OUTCOME))
        assert not any(text.startswith(f"Task {proposal.id} ") for text in logged)  # it was not closed and opened again
    [fee] = list_fees(charged_percent)
    fees.waive(charged_percent.app, [fee.id], by="Ann")
    charged_percent.run_for_days(2, weekends=True)
    with reading(charged_percent.app.engine) as session:
        closed = find_tasks(session, charged_percent.connection, states=[TaskState.CANCELLED])
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


def test_a_payment_dated_after_the_days_of_the_fee_changes_nothing(charged_percent: Scenario) -> None:
    charged_percent.company.pay(charged_percent.number, "400.00", on=charged_percent.today - timedelta(days=2))
    charged_percent.run_for_days(4)
    assert fee_tasks(charged_percent) == []


@pytest.mark.parametrize("amount", ["0", "13", "x"])
def test_no_more_than_what_stands_of_a_fee_is_waived(charged_percent: Scenario, amount: str) -> None:
    if charged_percent.company.provider == "quickbooks":
        pytest.skip("the ledger plays no part in it")
    [fee] = list_fees(charged_percent)
    with pytest.raises(OutboxError):
        fees.waive(charged_percent.app, [fee.id], by="Ann", amount=fees.parse_waived_amount(amount))


def test_a_fee_that_a_user_has_lowered_in_the_ledger_is_not_too_high(charged_percent: Scenario) -> None:
    [number] = charged_percent.company.fees()
    charged_percent.company.pay(charged_percent.number, "400.00", on=days(-8))
    charged_percent.run()
    assert [text[:17] for _code, text in fee_tasks(charged_percent)] == ["Waive GBP 4.00 of"]
    charged_percent.company.credit_invoice(number, "4.00")
    charged_percent.run_for_days(4)
    assert fee_tasks(charged_percent) == []


def reminders_after(scenario: Scenario, count: int) -> list[str]:
    own = scenario.app.settings.mail_from
    emails = [each for each in scenario.sandbox.sendgrid.emails() if own not in each.to]
    return [email.text for email in emails[count:]]


def test_no_email_and_no_statement_asks_for_a_fee_that_is_proposed_to_be_waived(charged: Scenario) -> None:
    """The due date was moved out after the fee; the fee is listed again where a user keeps it."""
    count = len(charged.customer_emails())
    [fee] = charged.company.fees()
    charged.company.move_due(charged.number, charged.today + timedelta(days=5))
    charged.run_for_days(12)
    assert [code for code, _ in fee_tasks(charged)] == ["propose_waiver"]
    sent = reminders_after(charged, count)
    assert len(sent) == 3
    assert [text for text in sent if fee in text or "Total outstanding" in text] == []
    with reading(charged.app.engine) as session:
        [task] = [task for task in find_tasks(session, charged.connection) if task.code == "propose_waiver"]
        visitor = PortalVisitor(charged.connection, find_customer(session, "Ashdown Ltd").external_id, expired=False)
    page = build_customer_page(charged.app, visitor)
    assert [each.line.number for each in page.invoices] == [charged.number]
    tasks.complete(charged.app, [task.id], by="Ann", note="they agreed to pay it")
    charged.run_for_days(9)
    assert fee in reminders_after(charged, count)[-1]


def test_a_thank_you_does_not_say_that_nothing_is_left_to_do_while_a_fee_is_open(charged: Scenario) -> None:
    charged.company.pay(charged.number)
    charged.run_for_days(5)
    thanks = reminders_after(charged, 0)[-1]
    assert "received your payment of £1,200.00" in thanks
    assert "nothing more" not in thanks


def test_no_fee_is_charged_or_announced_where_the_accounting_system_has_made_the_customer_inactive(
    scenario: Scenario,
) -> None:
    """Neither ledger takes a new invoice for an archived contact or an inactive customer."""
    add_late_customer(scenario)
    scenario.set_policy(AUTOMATIC)
    scenario.run()
    assert "a late fee of 1% will be charged" in reminders_after(scenario, 0)[-1]
    company = scenario.company
    if company.provider == "xero":
        company.simulator.archive("Ashdown Ltd", **company.company_filter)
    else:
        company.simulator.deactivate("Ashdown Ltd")
    scenario.run_for_days(18)
    assert company.fees() == {}
    assert open_tasks(scenario) == [each for each in open_tasks(scenario) if each[0] != "rejected"]
    later = reminders_after(scenario, 1)
    assert later
    assert [text for text in later if "late fee" in text] == []
    decision = explain(scenario.app, scenario.number, None).decision
    assert decision is not None
    assert "this customer is inactive in the accounting system" in decision.reason
