"""When a grant dies: its people are told once, by mail, where to connect again; the others go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector.connections import account_owners
from connector.connections.registry import set_mode

ANN = "ann@small.example"


def alert_emails(scenario: Any) -> list[Any]:
    return [mail for mail in scenario.sandbox.sendgrid.emails_to(ANN) if "connect again" in mail.subject]


def revoke_access(scenario: Any) -> None:
    """Let the vendor end the access, as where its owner removed the app there."""
    scenario.sandbox.faults.refuse(400, body='{"error": "invalid_grant"}', kind="token", times=0)
    scenario.sandbox.faults.refuse(401, body="{}", service=scenario.company.provider, kind="read", times=0)
    scenario.sandbox.clock.advance(timedelta(hours=2))
    assert scenario.run().outcome == "action_required"


def test_its_people_are_told_once_where_to_connect_again_and_again_when_it_dies_again(scenario: Any) -> None:
    scenario.go_live()
    account_owners.set_default_owner(scenario.app, scenario.connection, f"Ann <{ANN}>", by="Ann")
    revoke_access(scenario)
    [mail] = alert_emails(scenario)
    assert mail.subject == "Small Works Ltd: please connect again"
    assert f"{scenario.app.settings.duewell_base_url}/companies/{scenario.connection}" in mail.text
    scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.run().outcome == "action_required"
    assert len(alert_emails(scenario)) == 1
    scenario.sandbox.faults.clear()
    scenario.connect()
    set_mode(scenario.app, scenario.connection, "live")
    assert scenario.run().outcome == "ok"
    revoke_access(scenario)
    assert len(alert_emails(scenario)) == 2


def test_a_company_that_is_only_observed_mails_nobody(scenario: Any) -> None:
    scenario.connect()
    account_owners.set_default_owner(scenario.app, scenario.connection, f"Ann <{ANN}>", by="Ann")
    revoke_access(scenario)
    assert scenario.sandbox.sendgrid.emails() == []
