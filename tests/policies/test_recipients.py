"""To whom an email goes, in which field and why: each address once, copies by the policy's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.receivables import Step
from policies.recipients import CopyRules, RecipientRole, recipients_of
from tests.policies.builders import KNOWN_CUSTOMER, overdue_invoice

CUSTOMER = replace(
    KNOWN_CUSTOMER,
    emails=("ap@blue.example",),
    owner_email="ann@works.example",
    sales_rep_email="sam@works.example",
    second_contact="ben@blue.example",
)
BOTH = frozenset({RecipientRole.OWNER, RecipientRole.SALES_REP})


@pytest.mark.parametrize(
    ("step", "cc"),
    [
        (Step.RECEIPT_CHECK, ()),
        (Step.PAST_DUE, ()),
        (Step.SECOND_NOTICE, ("ben@blue.example",)),
        (Step.PROMISE_BROKEN, ("ben@blue.example",)),
        (Step.FINAL_NOTICE, ("ben@blue.example",)),
        (Step.THANK_YOU, ()),
    ],
)
def test_a_second_contact_gets_a_copy_from_the_chosen_step_on(step: Step, cc: tuple[str, ...]) -> None:
    rules = CopyRules(second_contact_from=Step.SECOND_NOTICE)
    assert recipients_of(CUSTOMER, [overdue_invoice(20)], step, rules)[:3] == (("ap@blue.example",), cc, ())


def test_without_rules_nobody_gets_a_copy() -> None:
    assert recipients_of(CUSTOMER, [overdue_invoice(20)], Step.FINAL_NOTICE)[:3] == (("ap@blue.example",), (), ())


def test_each_address_is_in_one_field_and_has_its_reason() -> None:
    invoice = replace(overdue_invoice(20), emails=("bo@blue.example",), cc_emails=("ANN@works.example",))
    found = recipients_of(CUSTOMER, [invoice], Step.FINAL_NOTICE, CopyRules(BOTH, BOTH, Step.PAST_DUE))
    assert found.to == ("bo@blue.example",)
    assert found.cc == ("ANN@works.example", "ben@blue.example", "sam@works.example")
    assert found.bcc == ()
    assert dict(found.roles) == {
        "bo@blue.example": RecipientRole.INVOICE,
        "ANN@works.example": RecipientRole.INVOICE_COPY,
        "ben@blue.example": RecipientRole.SECOND_CONTACT,
        "sam@works.example": RecipientRole.SALES_REP,
    }
