"""Late fees for months in which nobody looked: duewell was off, the company paused, the invoice disputed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements
from connector.arrangements.agreements import Attribution
from connector.connections.registry import pause, resume
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceRow
from connector.services import fees
from connector.services.fees import FeeItem
from policies.receivables import Instalment
from tests.connector.scenario import LEDGERS, ResumeAfter, Scenario, add_late_customer

MONTHLY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
kind = "percent_per_month"
rate = 1
"""


@pytest.fixture(params=LEDGERS)
def warned(request: pytest.FixtureRequest, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company whose one customer has just been warned of a fee."""
    with resume_after(warn_of_fee, request.param) as scenario:
        yield scenario


def warn_of_fee(scenario: Scenario) -> None:
    scenario.set_policy(MONTHLY)
    add_late_customer(scenario)
    scenario.run()
    assert [step for _on, step in scenario.sent_steps()] == ["past_due"]


def list_fees(scenario: Scenario) -> list[FeeItem]:
    """List all fees, oldest first."""
    with reading(scenario.app.engine) as session:
        return fees.find_fees(session)[::-1]


def set_day(scenario: Scenario, month: int, day: int) -> None:
    """Advance the time without a sync; after 60 days Xero's grant has expired, and somebody connects again."""
    scenario.sandbox.clock.set(datetime(2026, month, day, 11, 0, tzinfo=UTC))
    scenario.connect()


def test_after_months_without_a_sync_every_month_is_charged_oldest_first(warned: Scenario) -> None:
    set_day(warned, 9, 9)
    warned.run()
    number = warned.number
    assert [(fee.number, fee.amount, fee.state) for fee in list_fees(warned)] == [
        (f"LF-{number}-{month}", "12.00", "posted") for month in ("2606", "2607", "2608")
    ]
    assert sum(warned.company.fees().values()) == Decimal("36.00")
    assert len(warned.sent_steps()) == 2  # one email, not the backlog
    warned.run_for_days(3)
    assert len(list_fees(warned)) == 3


def test_the_monthly_fee_invoice_after_an_outage_has_a_line_for_each_month(warned: Scenario) -> None:
    warned.set_policy(f'{MONTHLY}invoicing = "monthly"\n')
    set_day(warned, 9, 9)
    warned.run()
    (fee,) = list_fees(warned)
    assert (fee.amount, len(fee.calculation), fee.invoice, fee.state) == ("24.00", 2, warned.number, "posted")
    assert fee.reason.startswith("Late fees for 2 months of one invoice, charged together: GBP 24.00")
    assert len({line.text for line in fee.calculation}) == 2
    warned.run_for_days(20, every=5)
    assert len(list_fees(warned)) == 1  # the month that ended on 4 September is on the invoice of 1 October
    set_day(warned, 10, 5)
    warned.run()
    assert [fee.amount for fee in list_fees(warned)] == ["24.00", "12.00"]


def test_a_waived_fee_for_several_months_is_not_charged_again(warned: Scenario) -> None:
    warned.set_policy(f'{MONTHLY}invoicing = "monthly"\n')
    set_day(warned, 9, 9)
    warned.run()
    (fee,) = list_fees(warned)
    fees.waive(warned.app, [fee.id], by="ann@example.com", reason="goodwill")
    warned.run()
    assert [fee.state for fee in list_fees(warned)] == ["waived"]
    assert sum(warned.company.fees().values()) == 0
    set_day(warned, 10, 2)
    warned.run()
    assert [(fee.state, fee.amount) for fee in list_fees(warned)] == [("waived", "24.00"), ("posted", "12.00")]


def test_a_rejected_month_does_not_keep_back_the_others(warned: Scenario) -> None:
    warned.set_policy(MONTHLY.replace("automatic", "person"))
    set_day(warned, 9, 9)
    warned.run()
    drafts = list_fees(warned)
    assert [fee.state for fee in drafts] == ["draft"] * 3
    fees.waive(warned.app, [drafts[0].id], by="ann@example.com")
    warned.run()
    with writing(warned.app.engine) as session:
        fees.approve(session, [drafts[1].id, drafts[2].id], by="ann@example.com", at=warned.app.now())
    warned.run()
    assert [fee.state for fee in list_fees(warned)] == ["waived", "posted", "posted"]


def test_months_of_a_pause_of_the_company_are_charged_after_it(warned: Scenario) -> None:
    pause(warned.app, warned.connection, by="ann@example.com", reason="holiday")
    set_day(warned, 8, 10)
    warned.run()
    assert [fee for fee in list_fees(warned) if fee.state == "posted"] == []
    resume(warned.app, warned.connection, by="ann@example.com")
    warned.run()
    assert [fee.amount for fee in list_fees(warned) if fee.state == "posted"] == ["12.00", "12.00"]


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_dispute_that_is_lost_costs_its_months_and_one_that_is_won_does_not(warned: Scenario, is_lost: bool) -> None:
    with writing(warned.app.engine) as session:
        invoice = session.query(InvoiceRow).filter_by(number=warned.number).one()
        agreements.record_dispute(session, invoice, Attribution("ann@example.com", warned.app.now()), reason="price")
    warned.run_for_days(60, every=6)
    assert list_fees(warned) == []
    if not is_lost:
        warned.company.pay(warned.number, "900.00")
        if warned.company.provider == "xero":
            warned.company.simulator.credit(warned.number, "300.00", warned.company.external_id)
        else:
            credit = warned.company.simulator.credit("Ashdown Ltd", "300.00")
            warned.company.simulator.apply_credit(credit["Id"], warned.number)
    with writing(warned.app.engine) as session:
        invoice = session.query(InvoiceRow).filter_by(number=warned.number).one()
        agreements.resolve_dispute(session, invoice, Attribution("ann@example.com", warned.app.now()))
    warned.run()
    assert [fee.amount for fee in list_fees(warned)] == (["12.00", "12.00"] if is_lost else [])


def find_invoice(scenario: Scenario) -> InvoiceRow:
    with reading(scenario.app.engine) as session:
        return session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == scenario.number)).one()


def by_ann(scenario: Scenario) -> Attribution:
    return Attribution("ann@example.com", scenario.app.now())


def test_a_dispute_won_in_part_is_charged_as_if_that_part_had_never_been_due(warned: Scenario) -> None:
    with writing(warned.app.engine) as session:
        agreements.record_dispute(session, find_invoice(warned), by_ann(warned), reason="price")
    warned.run_for_days(60, every=6)
    warned.company.credit_invoice(warned.number, "300.00")
    warned.run()
    with writing(warned.app.engine) as session:
        agreements.resolve_dispute(session, find_invoice(warned), by_ann(warned))
    warned.run()
    assert [fee.amount for fee in list_fees(warned)] == ["9.00", "9.00"]


def test_days_under_a_payment_plan_are_never_charged(warned: Scenario) -> None:
    instalments = [Instalment(warned.today + timedelta(days=days), Decimal(600)) for days in (45, 90)]
    with writing(warned.app.engine) as session:
        agreements.set_payment_plan(session, find_invoice(warned), by_ann(warned), instalments=instalments)
    warned.run_for_days(40, every=10)
    with writing(warned.app.engine) as session:
        agreements.set_payment_plan(session, find_invoice(warned), by_ann(warned), instalments=None)
    warned.run_for_days(20, every=5)
    # 4 June to 4 July: 6 days before the plan; 4 July to 4 August: 15 days after it
    assert [fee.amount for fee in list_fees(warned)] == ["2.40", "5.81"]


def test_days_on_which_the_ledger_said_paid_are_never_charged(warned: Scenario) -> None:
    warned.company.pay(warned.number)
    warned.run_for_days(40, every=10)
    warned.company.delete_payment(warned.number)
    warned.run_for_days(30, every=10)
    assert [fee.amount for fee in list_fees(warned) if fee.state == "posted"] == ["2.40", "5.81"]


def test_a_payment_that_is_entered_again_is_counted_once(warned: Scenario) -> None:
    paid_on = warned.today
    warned.company.pay(warned.number, "600.00")
    warned.run()
    warned.company.delete_payment(warned.number)
    warned.company.pay(warned.number, "600.00", on=paid_on)
    warned.run_for_days(30, every=8)
    assert [fee.amount for fee in list_fees(warned)] == ["7.20"]  # 1,200 for 6 days, 600 for 24
