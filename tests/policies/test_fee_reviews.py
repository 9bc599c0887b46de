"""Late fees that turn out wrong: what is proposed to be waived of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.decisions import CreateTask
from policies.fee_basis import FeeBasis
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, FeeOutcome, Invoice, InvoiceStatus, PastAction, SettlementKind, Step
from tests.policies.builders import MONDAY, at, decide_at, overdue_invoice, statement

CHARGED_ON = MONDAY - timedelta(days=5)
ONE_PERCENT = FeeBasis(rates=((date(2026, 1, 1), Decimal(1)),))
POLICY = ReminderPolicy.from_toml(
    '[late_fees]\nenabled = true\nterms_agreed_on = 2020-01-31\nkind = "percent"\nrate = 1'
)


def fee_invoice(total: str = "10.00", **facts: object) -> Invoice:
    own = replace(overdue_invoice(-9, total=total), id="fee", number="LF-i1", fee_of="i1")
    return replace(own, **facts)  # type: ignore[arg-type]


def charge(invoice_id: str = "i1", basis: FeeBasis | None = ONE_PERCENT, **facts: object) -> PastAction:
    own = PastAction(
        Step.LATE_FEE,
        invoice_id,
        at(CHARGED_ON),
        CHARGED_ON,
        is_contact=False,
        recurrence_key="once",
        fee_amount=Decimal("10.00"),
        fee_invoice_id="fee",
        fee_basis=basis,
    )
    return replace(own, **facts)  # type: ignore[arg-type]


def paid_in_part(amount: int, on: date, invoice_id: str = "i1") -> Invoice:
    own = replace(overdue_invoice(30, total="1000.00"), id=invoice_id, number=invoice_id)
    return replace(own, due=Decimal(1000 - amount), balance_changes=(BalanceChange(on, Decimal(-amount)),))


def proposals(*invoices: Invoice, past: tuple[PastAction, ...]) -> list[str]:
    decision = decide_at(statement(*invoices, past_actions=past), policy=POLICY)
    return [each.reason for each in decision.actions if isinstance(each, CreateTask) and each.code == "propose_waiver"]


BEFORE, ON_THE_DAY = CHARGED_ON - timedelta(days=1), CHARGED_ON


@pytest.mark.parametrize(
    ("fee", "action", "paid_on", "expected"),
    [
        (fee_invoice(), charge(), BEFORE, "Waive EUR 4.00 of the late fee LF-i1 for EUR 10.00"),
        (fee_invoice(), charge(), ON_THE_DAY, ""),  # it came too late for the fee
        (fee_invoice(), charge(basis=None), BEFORE, ""),  # it is not known how the fee was calculated
        (fee_invoice("6.00"), charge(), BEFORE, ""),  # a user has lowered it in the accounting system
        (fee_invoice("7.00"), charge(), BEFORE, "Waive EUR 1.00"),
        (fee_invoice(), charge(fee_amount=Decimal(6), fee_waived=Decimal(4)), BEFORE, ""),
        (fee_invoice(), charge(fee_outcome=FeeOutcome.WAIVED), BEFORE, ""),
        (fee_invoice(), charge(basis=replace(ONE_PERCENT, limit=Decimal(10), minimum=Decimal(8))), BEFORE, "The late"),
        (fee_invoice(), charge(basis=replace(ONE_PERCENT, compensation=Decimal(5), limit=Decimal(10))), BEFORE, ""),
        (fee_invoice(), charge(basis=FeeBasis(flat=Decimal(10), least_balance=Decimal(700))), BEFORE, "The late fee"),
        (fee_invoice(), charge(basis=FeeBasis(flat=Decimal(10), least_balance=Decimal(500))), BEFORE, ""),
    ],
)
def test_a_payment_of_a_part_that_is_entered_late_lowers_the_fee(
    fee: Invoice, action: PastAction, paid_on: date, expected: str
) -> None:
    found = proposals(paid_in_part(400, paid_on), fee, past=(action,))
    assert [text[: len(expected)] for text in found] == ([expected] if expected else [])


def test_of_one_fee_for_two_invoices_only_the_part_of_the_wrong_one_is_waived() -> None:
    voided = replace(overdue_invoice(30, total="1000.00"), id="i2", due=Decimal(0), status=InvoiceStatus.VOIDED)
    fee = fee_invoice("20.00")
    [text] = proposals(paid_in_part(0, BEFORE), voided, fee, past=(charge(), charge("i2")))
    assert text.startswith("Waive EUR 10.00 of the late fee LF-i1 for EUR 20.00: ")


def test_what_is_waived_of_a_paid_fee_is_to_be_refunded() -> None:
    paid = fee_invoice(due=Decimal(0), status=InvoiceStatus.PAID, closed_on=MONDAY)
    paid = replace(paid, balance_changes=(BalanceChange(MONDAY, Decimal(-10)),))
    [text] = proposals(paid_in_part(400, BEFORE), paid, past=(charge(fee_outcome=FeeOutcome.PAID),))
    assert text.startswith("Waive EUR 4.00")
    assert text.endswith("becomes credit of the customer, to be refunded.")


@pytest.mark.parametrize(("due", "expected"), [("0.50", ["unpaid_fee"]), ("0", [])])
def test_however_small_an_unpaid_fee_whose_invoice_is_settled_needs_a_person(due: str, expected: list[str]) -> None:
    fee = fee_invoice("0.50", due=Decimal(due), due_on=MONDAY - timedelta(days=1))
    settled = replace(overdue_invoice(30, total="1000.00"), due=Decimal(0))  # open in the ledger, with nothing due
    decision = decide_at(statement(settled, fee), policy=POLICY)
    assert [each.code for each in decision.actions if isinstance(each, CreateTask) and "fee" in each.code] == expected


@pytest.mark.parametrize(("paid", "words"), [("0.60", "was paid in time"), ("0", "was credited in time")])
def test_what_settled_an_invoice_before_its_fee_is_named(paid: str, words: str) -> None:
    credited = Decimal(1000) - Decimal(paid)
    on = MONDAY - timedelta(days=40)
    changes = (BalanceChange(on, -Decimal(paid)), BalanceChange(on, -credited, SettlementKind.CREDIT))
    settled = replace(
        overdue_invoice(30, total="1000.00"),
        due=Decimal(0),
        status=InvoiceStatus.PAID,
        closed_on=on,
        balance_changes=changes if Decimal(paid) else changes[1:],
    )
    (reason,) = proposals(settled, fee_invoice(), past=(charge(),))
    assert words in reason


def test_a_fee_that_a_user_set_to_zero_is_not_proposed_to_be_waived() -> None:
    voided = replace(overdue_invoice(30, total="1000.00"), status=InvoiceStatus.VOIDED, due=Decimal(0))
    waived = charge(fee_amount=Decimal(0), fee_waived=Decimal("10.00"))
    assert proposals(voided, fee_invoice(), past=(waived,)) == []
