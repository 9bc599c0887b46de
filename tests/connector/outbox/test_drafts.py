"""Drafts: what is planned about a customer, and what a person has to approve first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from connector.outbox.drafts import Draft, build_drafts
from connector.vocabulary import OutboxKind
from policies.policy import ReminderPolicy
from policies.receivables import PossiblePayment, Statement, Step
from tests.policies.builders import MONDAY, decide_at, overdue_invoice, sent_email, statement

FEES = '[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\napproval = "automatic"\ninvoice_day = 23\n'


def fee_draft(owed: Statement, policy: ReminderPolicy) -> Draft:
    drafts = build_drafts("xero:x", decide_at(owed, policy=policy), [owed], MONDAY, policy)
    return next(each for each in drafts if each.kind == OutboxKind.LATE_FEE)


@pytest.mark.parametrize("invoicing", ["per_fee", "monthly"])
def test_a_fee_awaits_approval_where_money_in_the_bank_may_be_for_its_invoice(invoicing: str) -> None:
    policy = ReminderPolicy.from_toml(f'{FEES}invoicing = "{invoicing}"\n')
    past = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=35)),)
    owed = statement(overdue_invoice(40, total="1000.00"), past_actions=past)
    payment = PossiblePayment("bank 1", "i1", Decimal(900), "EUR", MONDAY - timedelta(days=1), "ASHDOWN")
    assert not fee_draft(owed, policy).needs_approval
    draft = fee_draft(replace(owed, possible_payments=(payment,)), policy)
    assert draft.needs_approval
    assert "EUR 900.00 from ASHDOWN" in draft.reason
