"""The links in emails that stop a customer's reminders, or one email: what they do, and in which language."""

from __future__ import annotations

from html import unescape

import pytest
import requests
from sqlalchemy import delete

from connector import policy_store
from connector.arrangements.customer_settings import find_customer, update_settings
from connector.db.engine import reading, writing
from connector.db.tables import ContactToken, OutboxEntry
from connector.emails import contact_tokens
from connector.emails.inbound import email_stops
from connector.restore.restore_gap import mark_restored_by_hand
from connector.vocabulary import OutboxState, TaskCode, TokenPurpose
from tests.connector.emails.inbound.conftest import (
    ASHDOWN,
    InboundScenario,
    customer_setting,
    email_entry,
    list_tasks,
    log_text,
    run_for_days,
)


def test_opening_the_link_stops_nothing(scenario: InboundScenario) -> None:
    link = scenario.email.headers["List-Unsubscribe"].strip("<>")
    assert link in scenario.email.text
    assert scenario.email.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for _scanner in range(3):
        page = scenario.client.get(link)
        assert page.status_code == 200
    assert "<button" in page.text
    assert customer_setting(scenario) is None
    assert list_tasks(scenario, TaskCode.REMINDERS_STOPPED) == []


def test_one_click_stops_the_reminders_and_creates_one_task(scenario: InboundScenario) -> None:
    link = scenario.email.headers["List-Unsubscribe"].strip("<>")
    for _press in range(2):
        reply = scenario.client.post(link, data="List-Unsubscribe=One-Click")
        assert reply.status_code == 200
        assert "Reminders stopped" in reply.text
    assert scenario.client.get(link).text.count("<button") == 0
    setting = customer_setting(scenario)
    assert setting is not None
    assert setting.no_reminders
    [task] = list_tasks(scenario, TaskCode.REMINDERS_STOPPED)
    assert "Ashdown Ltd stopped the reminders" in task.reason
    assert "with the link in an email" in log_text(scenario)
    run_for_days(scenario, 30, every=5)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_customers_can_stop_reminders_with_a_link_that_is_newer_than_a_restored_backup(
    scenario: InboundScenario,
) -> None:
    link = scenario.email.headers["List-Unsubscribe"].strip("<>")
    reply_token = scenario.email.reply_to.partition("+")[2].partition("@")[0]
    with writing(scenario.app.engine) as session:
        session.execute(delete(ContactToken))  # as in a database that was backed up before the email was composed
        mark_restored_by_hand(session, None, scenario.app.now())
    assert scenario.client.post(link).status_code == 404
    scenario.run()
    with reading(scenario.app.engine) as session:
        assert contact_tokens.find_customer(session, reply_token, TokenPurpose.REPLY) is not None
    assert scenario.client.post(link).status_code == 200
    setting = customer_setting(scenario)
    assert setting is not None
    assert setting.no_reminders


def shows_text(page: requests.Response, language: str, *texts: str) -> bool:
    return f'<html lang="{language}">' in page.text and all(each in unescape(page.text) for each in texts)


def test_the_page_is_in_the_language_of_the_email_or_else_of_the_browser(scenario: InboundScenario) -> None:
    link, german = scenario.email.headers["List-Unsubscribe"].strip("<>"), {"Accept-Language": "de-AT,en;q=0.5"}
    assert shows_text(scenario.client.get(link, headers=german), "de", "Zahlungserinnerungen abbestellen</button>")
    with writing(scenario.app.engine) as session:
        find_customer(session, "Ashdown Ltd").language = "fr-CA"
    assert shows_text(
        scenario.client.get(link, headers=german), "fr", "n’envoie plus de relances", "Arrêter les relances</button>"
    )
    assert shows_text(scenario.client.post(link, headers=german), "fr", "Relances arrêtées", "Ashdown Ltd")
    unknown = scenario.client.get("/stop/" + "a" * 32, headers=german)
    assert shows_text(unknown, "de", "Dieser Link ist ungültig")


def test_the_page_that_stops_one_email_is_in_the_language_of_the_digest(scenario: InboundScenario) -> None:
    stop = email_stops.email_stop_link(scenario.app, email_entry(scenario), "ann@larkspur.example")
    link = stop.link
    with writing(scenario.app.engine) as session:
        email_stops.store_links(session, [stop])
        policy_store.set_policy(session, '[digest]\nlanguage = "es"', by="Ann", at=scenario.app.now())
    assert shows_text(scenario.client.get(link), "es", "Este correo ya no se puede detener", "Ya se ha enviado")
    assert scenario.client.post(link).status_code == 409
    with writing(scenario.app.engine) as session:
        session.get_one(OutboxEntry, email_entry(scenario).id).state = OutboxState.PLANNED
    assert shows_text(
        scenario.client.get(link), "es", "Detener el correo</button>", "a punto de enviar un correo a Ashdown Ltd"
    )
    assert shows_text(scenario.client.post(link), "es", "Ashdown Ltd no lo recibirá")
    assert shows_text(scenario.client.post(link), "es", "No se enviará: rejected by ann@larkspur.example")


@pytest.mark.parametrize("after", [".", ")", "%3E", "%22.", "%20"])
def test_a_link_with_what_stood_behind_it_in_the_text_works_too(scenario: InboundScenario, after: str) -> None:
    link = scenario.email.headers["List-Unsubscribe"].strip("<>")
    for tried in (f"{link}{after}", link.replace("?", f"{after}?utm_source=mail&")):
        page = scenario.client.get(tried)
        assert (page.status_code, "Stop payment reminders" in page.text) == (200, True), tried
    assert scenario.client.get(link.replace("?", "x?")).status_code == 404


@pytest.mark.parametrize("token", ["a" * 32, "x", "2" * 32, "%00" * 32, "é" * 32])
def test_a_guessed_link_is_not_found(scenario: InboundScenario, token: str) -> None:
    for request in (scenario.client.get, scenario.client.post):
        assert request(f"/stop/{token}").status_code == 404


def test_a_reply_address_does_not_open_the_stop_page(scenario: InboundScenario) -> None:
    token = scenario.email.reply_to.partition("+")[2].partition("@")[0]
    assert scenario.client.post(f"/stop/{token}").status_code == 404


BEN, REP = "ben@ashdown.example", "rep@larkspur.example"


def one_choice(scenario: InboundScenario, **form: str) -> requests.Response:
    link = scenario.email.headers["List-Unsubscribe"].strip("<>")
    return scenario.client.post(link.partition("?")[0], data={"scope": "one", **form})  # as from an email to several


@pytest.fixture
def with_colleague(scenario: InboundScenario) -> InboundScenario:
    """The customer has a second address by now, and a sales rep of the company gets copies."""
    with reading(scenario.app.engine) as session:
        found = find_customer(session, "Ashdown Ltd")
    key = (found.connection_id, found.external_id)
    update_settings(scenario.app, *key, {"emails": f"{ASHDOWN},{BEN}", "sales_rep": REP}, by="Ann")
    with writing(scenario.app.engine) as session:
        policy_store.set_policy(session, '[copies]\nbcc = ["sales_rep"]', by="Ann", at=scenario.app.now())
    return scenario


def test_one_click_stops_only_its_reader_where_colleagues_get_reminders_too(with_colleague: InboundScenario) -> None:
    scenario, link = with_colleague, with_colleague.email.headers["List-Unsubscribe"].strip("<>")
    question = scenario.client.get(link).text
    assert f"Only those to {ASHDOWN}" in question
    assert "All reminders to Ashdown Ltd" in question
    for _press in range(2):
        page = scenario.client.post(link, data="List-Unsubscribe=One-Click")
        assert f"no more payment reminders about Ashdown Ltd to {ASHDOWN}" in page.text
    setting = customer_setting(scenario)
    assert setting is not None
    assert (setting.stopped_emails, setting.no_reminders) == (ASHDOWN, False)
    [task] = list_tasks(scenario, TaskCode.REMINDERS_STOPPED)
    assert f"{ASHDOWN} asked for no more reminders about Ashdown Ltd" in task.reason
    run_for_days(scenario, 30)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1
    last = scenario.sandbox.sendgrid.emails_to(BEN)[-1]
    assert "List-Unsubscribe-Post" not in last.headers  # it went to the sales rep as well
    assert "?to=" not in last.headers["List-Unsubscribe"]


def test_one_click_counts_for_a_reader_who_gets_nothing_at_the_moment(scenario: InboundScenario) -> None:
    link = scenario.email.headers["List-Unsubscribe"].strip("<>")
    with reading(scenario.app.engine) as session:
        found = find_customer(session, "Ashdown Ltd")
    key = (found.connection_id, found.external_id)
    update_settings(scenario.app, *key, {"emails": BEN}, by="Ann")
    page = scenario.client.post(link, data="List-Unsubscribe=One-Click")
    assert (page.status_code, f"Ashdown Ltd to {ASHDOWN}" in page.text) == (200, True)
    setting = customer_setting(scenario)
    assert setting is not None
    assert (setting.stopped_emails, setting.no_reminders) == (ASHDOWN, False)
    update_settings(scenario.app, *key, {"emails": ""}, by="Ann")
    run_for_days(scenario, 30, every=10)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_the_last_reader_who_stops_ends_all_reminders(with_colleague: InboundScenario) -> None:
    one_choice(with_colleague, address=BEN)
    one_choice(with_colleague, address=ASHDOWN.upper())
    setting = customer_setting(with_colleague)
    assert setting is not None
    assert (setting.stopped_emails, setting.no_reminders) == (BEN, True)


@pytest.mark.parametrize(
    ("form", "shown", "code"),
    [
        ({"address": REP}, f"Ashdown Ltd to {REP}", 200),
        ({"address": "x@else.example"}, "sends no reminders to x@else.example", 422),
        ({}, "This is not a valid email address.", 422),
        ({"scope": "all"}, "Reminders stopped", 200),
    ],
    ids=["somebody with a copy", "a stranger", "nobody named", "everybody"],
)
def test_the_page_of_an_email_to_several_people_asks_whose_reminders_stop(
    with_colleague: InboundScenario, form: dict[str, str], shown: str, code: int
) -> None:
    page = one_choice(with_colleague, **form)
    assert (page.status_code, shown in unescape(page.text)) == (code, True)
    setting = customer_setting(with_colleague)
    assert setting is not None
    assert setting.no_reminders == (form.get("scope") == "all")
    assert setting.stopped_emails == (REP if form.get("address") == REP else "")
