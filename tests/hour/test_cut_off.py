"""When a grant dies: its people are told once, by mail, where to connect again; the others go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector.access import team
from connector.access.connections import set_mode

ANN = "ann@small.example"


def told(town: Any) -> list[Any]:
    return [mail for mail in town.sandbox.sendgrid.mails_to(ANN) if "connect again" in mail.subject]


def die(town: Any) -> None:
    """Let the vendor end the access, as where its owner removed the app there."""
    town.sandbox.faults.refuse(400, body='{"error": "invalid_grant"}', kind="token", times=0)
    town.sandbox.faults.refuse(401, body="{}", vendor=town.books.provider, kind="read", times=0)
    town.sandbox.clock.advance(timedelta(hours=2))
    assert town.run().outcome == "person"


def test_its_people_are_told_once_where_to_connect_again_and_again_when_it_dies_again(town: Any) -> None:
    town.live()
    team.set_default_owner(town.installation, town.connection, f"Ann <{ANN}>", by="Ann")
    die(town)
    [mail] = told(town)
    assert mail.subject == "Small Works Ltd: please connect again"
    assert f"{town.installation.settings.duewell_base_url}/companies/{town.connection}" in mail.text
    town.sandbox.clock.advance(timedelta(hours=1))
    assert town.run().outcome == "person"
    assert len(told(town)) == 1
    town.sandbox.faults.clear()
    town.connect()
    set_mode(town.installation, town.connection, "live")
    assert town.run().outcome == "ok"
    die(town)
    assert len(told(town)) == 2


def test_a_company_that_is_only_observed_mails_nobody(town: Any) -> None:
    town.connect()
    team.set_default_owner(town.installation, town.connection, f"Ann <{ANN}>", by="Ann")
    die(town)
    assert town.sandbox.sendgrid.mails() == []
