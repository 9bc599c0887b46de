"""Every owner is emailed when the account that customers pay into changes, with the next sync."""

from __future__ import annotations

from functools import partial
from html import unescape

from connector.auth.users import add_user
from connector.db.engine import writing
from connector.services import bank_details
from connector.vocabulary import RunOutcome
from tests.connector.scenario import Scenario

ANN, BEN = "ann@small.example", "ben@small.example"
FORM = {"currency": "EUR", "payee": "Small Works GmbH", "iban": "DE89370400440532013000"}


def test_owners_are_emailed_what_changed_by_whom_and_from_when(scenario: Scenario) -> None:
    scenario.go_live()
    with writing(scenario.app.engine) as session:
        for email in (ANN, BEN):
            add_user(session, email, "owner", companies=None, by="a test", at=scenario.app.now())
    bank_details.set_bank_details(scenario.app, scenario.connection, FORM, by="ann")
    changed = FORM | {"iban": "DE02120300000000202051"}
    bank_details.set_bank_details(scenario.app, scenario.connection, changed, by="mallory")
    assert scenario.run().outcome == RunOutcome.OK
    for address in (ANN, BEN):
        first, second = scenario.sandbox.sendgrid.emails_to(address)
        assert first.subject == second.subject == "Small Works Ltd: bank details changed (EUR)"
        assert "ann entered the account …3000 of Small Works GmbH for payments in EUR." in first.text
        assert "Customers are asked to pay into it from now on." in first.text
        assert "mallory entered the account …2051" in second.text
        assert "Until now it is …3000." in second.text
        assert "or as soon as another owner confirms it" in second.text
        page = f"{scenario.app.settings.duewell_base_url}/companies/{scenario.connection}/bank-details"
        assert page in second.text
        assert page in unescape(second.html)


def test_without_users_the_senders_own_address_is_emailed_of_a_removal(scenario: Scenario) -> None:
    scenario.go_live()
    bank_details.set_bank_details(scenario.app, scenario.connection, FORM, by="ann")
    bank_details.remove_bank_details(scenario.app, scenario.connection, "EUR", by="mallory")
    scenario.run()
    [*_, last] = scenario.sandbox.sendgrid.emails_to(
        scenario.app.settings.mail_reply_to or scenario.app.settings.mail_from
    )
    assert "mallory removed the account …3000 for payments in EUR." in last.text


def test_owners_are_emailed_who_confirmed_or_cancelled_a_waiting_account(scenario: Scenario) -> None:
    scenario.go_live()
    with writing(scenario.app.engine) as session:
        add_user(session, ANN, "owner", companies=None, by="a test", at=scenario.app.now())
    enter = partial(bank_details.set_bank_details, scenario.app, scenario.connection, by=ANN)
    enter(FORM)
    first = enter(FORM | {"iban": "DE02120300000000202051"})
    bank_details.confirm_bank_details(scenario.app, scenario.connection, first.id, by="mallory@small.example")
    second = enter(FORM | {"payee": "Mallory GmbH"})
    bank_details.cancel_bank_details(scenario.app, scenario.connection, second.id, by=BEN)
    scenario.run()
    texts = [each.text for each in scenario.sandbox.sendgrid.emails_to(ANN)]
    assert len(texts) == 5
    assert any("mallory@small.example confirmed the account …2051 of Small Works GmbH" in each for each in texts)
    assert any(f"{BEN} cancelled the account …3000 of Mallory GmbH" in each for each in texts)
