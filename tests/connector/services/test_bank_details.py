"""What a change of the account does to emails that were approved with another one."""

from __future__ import annotations

from connector.connections.registry import set_mode
from connector.db.engine import writing
from connector.outbox import approvals
from connector.services import bank_details
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from tests.connector.scenario import Scenario

FORM = {"currency": "GBP", "payee": "Small Works Ltd", "bank_code": "123456", "account_number": "01234567"}


def test_an_email_approved_with_one_account_is_not_sent_with_another(late_customer: Scenario) -> None:
    scenario = late_customer
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    bank_details.set_bank_details(scenario.app, scenario.connection, FORM, by="ann")
    scenario.run()
    [email] = [each for each in scenario.outbox(OutboxState.AWAITING_APPROVAL) if each.kind == OutboxKind.EMAIL]
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [email.id or 0], by="ann", at=scenario.app.now())
    other = bank_details.set_bank_details(
        scenario.app, scenario.connection, FORM | {"account_number": "76543210"}, by="mallory"
    )
    bank_details.confirm_bank_details(scenario.app, scenario.connection, other.id, by="trudy")
    scenario.run()
    assert scenario.customer_emails() == []
    [email] = [each for each in scenario.outbox(OutboxState.AWAITING_APPROVAL) if each.kind == OutboxKind.EMAIL]
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [email.id or 0], by="ann", at=scenario.app.now())
    scenario.run()
    [sent] = [each for each in scenario.sandbox.sendgrid.emails() if "76543210" in each.text]
    assert "01234567" not in sent.text
