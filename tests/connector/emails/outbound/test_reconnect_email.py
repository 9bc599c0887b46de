"""When an authorization expires, the account owner is emailed once where to reconnect the company."""

from __future__ import annotations

from datetime import timedelta

from connector.connections import account_owners
from connector.connections.registry import set_mode
from connector.vocabulary import ConnectionMode, RunOutcome
from sandbox.sendgrid.message_store import Email
from tests.connector.scenario import Scenario

ANN = "ann@small.example"


def alert_emails(scenario: Scenario) -> list[Email]:
    return [email for email in scenario.sandbox.sendgrid.emails_to(ANN) if "reconnect" in email.subject]


def revoke_access(scenario: Scenario) -> None:
    """Revoke the access at the provider, as its user does by disconnecting the app there."""
    scenario.sandbox.faults.refuse(400, body='{"error": "invalid_grant"}', kind="token", times=0)
    scenario.sandbox.faults.refuse(401, body="{}", service=scenario.company.provider, kind="read", times=0)
    scenario.sandbox.clock.advance(timedelta(hours=2))
    assert scenario.run().outcome == RunOutcome.ACTION_REQUIRED


def test_the_owner_is_emailed_once_each_time_an_authorization_expires(scenario: Scenario) -> None:
    scenario.go_live()
    account_owners.set_default_owner(scenario.app, scenario.connection, f"Ann <{ANN}>", by="Ann")
    revoke_access(scenario)
    [email] = alert_emails(scenario)
    assert email.subject == "Small Works Ltd: please reconnect"
    assert f"{scenario.app.settings.duewell_base_url}/companies/{scenario.connection}" in email.text
    scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.run().outcome == RunOutcome.ACTION_REQUIRED
    assert len(alert_emails(scenario)) == 1
    scenario.sandbox.faults.clear()
    scenario.connect()
    set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
    assert scenario.run().outcome == RunOutcome.OK
    revoke_access(scenario)
    assert len(alert_emails(scenario)) == 2


def test_no_email_is_sent_for_a_company_that_is_only_observed(scenario: Scenario) -> None:
    scenario.connect()
    account_owners.set_default_owner(scenario.app, scenario.connection, f"Ann <{ANN}>", by="Ann")
    revoke_access(scenario)
    assert scenario.sandbox.sendgrid.emails() == []
