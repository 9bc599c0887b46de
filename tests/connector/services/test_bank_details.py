"""What a change of the account does to emails that were approved with another one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connector.app_context import AppContext
from connector.auth.users import add_user
from connector.bank_details.store import find_in_use
from connector.connections.registry import pause, set_mode
from connector.db.engine import reading, writing
from connector.errors import NotPossible
from connector.outbox import approvals
from connector.services import bank_details
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from tests.connector.scenario import Scenario

FORM = {"currency": "GBP", "payee": "Small Works Ltd", "bank_code": "123456", "account_number": "01234567"}


@pytest.mark.parametrize(
    ("field", "old", "new"), [("account_number", "01234567", "76543210"), ("payee", "Small", "Other")]
)
def test_an_email_approved_with_one_account_is_not_sent_with_another(
    late_customer: Scenario, field: str, old: str, new: str
) -> None:
    scenario = late_customer
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    bank_details.set_bank_details(scenario.app, scenario.connection, FORM, by="ann")
    scenario.run()
    [email] = [each for each in scenario.outbox(OutboxState.AWAITING_APPROVAL) if each.kind == OutboxKind.EMAIL]
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [email.id or 0], by="ann", at=scenario.app.now())
    with writing(scenario.app.engine) as session:
        add_user(session, scenario.app.settings.mail_from, "owner", by="ann", at=scenario.app.now())
    other = bank_details.set_bank_details(
        scenario.app, scenario.connection, FORM | {field: new}, by=scenario.app.settings.mail_from
    )
    bank_details.confirm_bank_details(scenario.app, scenario.connection, other.id, by="trudy")
    scenario.run()
    assert scenario.customer_emails() == []
    [email] = [each for each in scenario.outbox(OutboxState.AWAITING_APPROVAL) if each.kind == OutboxKind.EMAIL]
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [email.id or 0], by="ann", at=scenario.app.now())
    scenario.run()
    [sent] = [each for each in scenario.sandbox.sendgrid.emails() if f": {new}" in each.text]
    assert f": {old}" not in sent.text


def test_an_account_entered_by_a_token_or_at_a_terminal_cannot_be_confirmed(late_customer: Scenario) -> None:
    app, company = late_customer.app, late_customer.connection
    bank_details.set_bank_details(app, company, FORM, by="ann")
    other = bank_details.set_bank_details(app, company, FORM | {"account_number": "76543210"}, by="Export token")
    with pytest.raises(NotPossible, match="entered by Export token, not by a signed-in user: it waits"):
        bank_details.confirm_bank_details(app, company, other.id, by="trudy@example.com")


@pytest.mark.parametrize("stop", [pause, lambda app, company: set_mode(app, company, "observe")])
def test_no_account_changes_while_owners_cannot_be_emailed_of_it(
    late_customer: Scenario, stop: Callable[[AppContext, int], object]
) -> None:
    app, company = late_customer.app, late_customer.connection
    bank_details.set_bank_details(app, company, FORM, by="ann")
    bank_details.set_bank_details(app, company, FORM | {"account_number": "76543210"}, by="mallory")
    stop(app, company)
    with pytest.raises(NotPossible, match=r"Nothing is sent for .* now, so no owner would be emailed"):
        bank_details.set_bank_details(app, company, FORM | {"account_number": "11111111"}, by="mallory")
    late_customer.pass_days(2)
    with reading(app.engine) as session:
        in_use = find_in_use(session, company, "GBP", app.now())
    assert in_use is not None
    assert in_use.account == "01234567"
