"""What comes back: customers stop and reply, mail systems tell what became of mails; through the doors they use."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from sqlalchemy import select

from connector import policy_store
from connector.arrangements.customer_settings import find_customer
from connector.audit import sync_log
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import CustomerSetting, EmailEvent, OutboxEntry, Task
from connector.emails.inbound import email_stops
from connector.outbox import approvals, entries
from connector.vocabulary import OutboxState
from connector.web.app import make_app

TODAY = date(2026, 6, 10)
ASHDOWN = "accounts@ashdown.example"
HOST = "books.larkspur.example"
REPLIES = "reply.larkspur.example"


class FakeScheduler:
    def is_alive(self) -> bool:
        return True


class WebClient:
    """The web app over real HTTP, behind the proxy that a public address stands for."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, link: str, **what: Any) -> requests.Response:
        return self._request("GET", link, **what)

    def post(self, link: str, **what: Any) -> requests.Response:
        return self._request("POST", link, **what)

    def _request(self, method: str, link: str, headers: Any = None, **what: Any) -> requests.Response:
        named = {"Host": HOST, **(headers or {})}
        return requests.request(method, self.url + urlsplit(link).path, headers=named, timeout=20, **what)


@contextmanager
def serving(scenario: Any) -> Iterator[WebClient]:
    server = uvicorn.Server(uvicorn.Config(make_app(scenario.app, FakeScheduler()), log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield WebClient(f"http://127.0.0.1:{listening.getsockname()[1]}")
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def scenario(scenario_at: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A live company that can be reached over https, with a customer who is six days late; a mail has left."""
    monkeypatch.setenv("DUEWELL_BASE_URL", f"https://{HOST}")
    monkeypatch.setenv("MAIL_REPLY_DOMAIN", REPLIES)
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Ashdown Ltd", ASHDOWN)
        made.number = made.company.invoice("Ashdown Ltd", "1200.00", due_on=TODAY - timedelta(days=6))
        made.go_live().run()
        [made.mail] = made.sandbox.sendgrid.emails_to(ASHDOWN)
        with serving(made) as made.door:
            yield made


def list_tasks(scenario: Any, code: str) -> list[Task]:
    with reading(scenario.app.engine) as session:
        return [task for task in session.scalars(select(Task)) if task.code == code]


def customer_setting(scenario: Any) -> CustomerSetting | None:
    with reading(scenario.app.engine) as session:
        customer = find_customer(session, "Ashdown Ltd")
        return session.get(CustomerSetting, (customer.connection_id, customer.external_id))


def log_text(scenario: Any) -> str:
    with reading(scenario.app.engine) as session:
        return "\n".join(line.text for line in sync_log.list_entries(session))


def email_entry(scenario: Any) -> OutboxEntry:
    with reading(scenario.app.engine) as session:
        [found] = [each for each in session.scalars(select(OutboxEntry)) if each.kind == "email"]
        return found


def run_for_days(scenario: Any, days: int) -> None:
    for _day in range(days):
        scenario.pass_days(1)
        assert scenario.run().outcome == "ok"


# --- the stop link


def test_opening_the_link_stops_nothing(scenario: Any) -> None:
    link = scenario.mail.headers["List-Unsubscribe"].strip("<>")
    assert link in scenario.mail.text
    assert scenario.mail.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for _scanner in range(3):
        page = scenario.door.get(link)
        assert page.status_code == 200
    assert "<button" in page.text
    assert customer_setting(scenario) is None
    assert list_tasks(scenario, "reminders_stopped") == []


def test_one_click_stops_the_reminders_and_tells_the_bookkeeper_once(scenario: Any) -> None:
    link = scenario.mail.headers["List-Unsubscribe"].strip("<>")
    for _press in range(2):
        reply = scenario.door.post(link, data="List-Unsubscribe=One-Click")
        assert reply.status_code == 200
        assert "reminders_stopped" in reply.text
    assert scenario.door.get(link).text.count("<button") == 0
    said = customer_setting(scenario)
    assert said is not None
    assert said.no_reminders
    [task] = list_tasks(scenario, "reminders_stopped")
    assert "Ashdown Ltd stopped the reminders" in task.reason
    assert "by the link in a mail" in log_text(scenario)
    run_for_days(scenario, 30)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def shows_text(page: requests.Response, language: str, *words: str) -> bool:
    return f'<html lang="{language}">' in page.text and all(each in unescape(page.text) for each in words)


def test_the_page_speaks_the_language_of_the_mail_and_to_a_stranger_that_of_his_browser(scenario: Any) -> None:
    link, german = scenario.mail.headers["List-Unsubscribe"].strip("<>"), {"Accept-Language": "de-AT,en;q=0.5"}
    assert shows_text(
        scenario.door.get(link, headers=german), "de", "Erinnerungen beenden"
    )  # nobody said what he reads
    with writing(scenario.app.engine) as session:
        find_customer(session, "Ashdown Ltd").language = "fr-CA"
    assert shows_text(
        scenario.door.get(link, headers=german), "fr", "n’envoie plus de rappels", "Arrêter les rappels</button>"
    )
    assert shows_text(scenario.door.post(link, headers=german), "fr", "Les rappels sont arrêtés", "Ashdown Ltd")
    unknown = scenario.door.get("/stop/" + "a" * 32, headers=german)
    assert shows_text(unknown, "de", "Dieser Link ist nicht bekannt")


def test_the_page_that_stops_one_mail_speaks_the_language_of_the_daily_mail(scenario: Any) -> None:
    link = email_stops.email_stop_link(scenario.app, email_entry(scenario).key, "ann@larkspur.example")
    with writing(scenario.app.engine) as session:
        policy_store.set_policy(session, '[digest]\nlanguage = "es"', by="Ann", at=scenario.app.now())
    assert shows_text(scenario.door.get(link), "es", "Este mensaje no se puede detener", "Ya ha salido")
    assert scenario.door.post(link).status_code == 409
    with writing(scenario.app.engine) as session:
        session.get_one(OutboxEntry, email_entry(scenario).id).state = OutboxState.PLANNED
    assert shows_text(scenario.door.get(link), "es", "Detener este mensaje</button>", "va a escribir a Ashdown Ltd")
    assert shows_text(scenario.door.post(link), "es", "Ashdown Ltd no lo recibe")
    assert shows_text(scenario.door.post(link), "es", "No sale: rejected by ann@larkspur.example")


@pytest.mark.parametrize("token", ["a" * 32, "x", "2" * 32, "%00" * 32, "é" * 32])
def test_a_guessed_link_finds_nobody(scenario: Any, token: str) -> None:
    for ask in (scenario.door.get, scenario.door.post):
        assert ask(f"/stop/{token}").status_code == 404


def test_a_reply_address_does_not_open_the_stop_page(scenario: Any) -> None:
    token = scenario.mail.reply_to.partition("+")[2].partition("@")[0]
    assert scenario.door.post(f"/stop/{token}").status_code == 404


# --- replies


def post_reply(scenario: Any, text: str = "We pay on Friday.", headers: str = "", **fields: str) -> int:
    whole = f"Message-ID: <{fields.pop('id', 'm1')}@ashdown.example>\nFrom: Ann <{ASHDOWN}>\n{headers}"
    form = {
        "headers": whole,
        "from": f"Ann <{ASHDOWN}>",
        "to": scenario.mail.reply_to,
        "subject": f"Re: {scenario.mail.subject}",
        "text": text,
        "envelope": json.dumps({"to": [scenario.mail.reply_to], "from": ASHDOWN}),
        **fields,
    }
    files = {name: (None, value) for name, value in form.items()}
    return int(scenario.door.post("/webhooks/sendgrid-inbound", files=files).status_code)


def test_a_reply_pauses_the_chase_and_is_a_task_with_its_words(scenario: Any) -> None:
    quoted = "\n\nOn Wed, 10 Jun 2026 at 12:00, Larkspur wrote:\n> Your invoice is past due"
    assert post_reply(scenario, f"We pay on Friday.{quoted}") == 200
    [task] = list_tasks(scenario, "reply")
    assert "We pay on Friday." in task.reason
    assert ASHDOWN in task.reason
    assert "> Your invoice" not in task.reason
    said = customer_setting(scenario)
    assert said is not None
    assert said.hold_until_on == TODAY + timedelta(days=7)
    assert "We pay on Friday" not in log_text(scenario)  # words of others are not for the log
    run_for_days(scenario, 6)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_a_reply_that_is_brought_again_counts_once(scenario: Any) -> None:
    assert [post_reply(scenario) for _ in range(3)] == [200, 200, 200]
    assert len(list_tasks(scenario, "reply")) == 1
    assert post_reply(scenario, "And one more thing.", id="m2") == 200
    assert len(list_tasks(scenario, "reply")) == 2


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        ("Auto-Submitted: auto-replied\n", "Re: your mail"),
        ("Precedence: bulk\n", "Re: your mail"),
        ("X-Auto-Response-Suppress: All\n", "Re: your mail"),
        ("Content-Type: multipart/report; report-type=delivery-status\n", "Returned"),
        ("", "Out of office: Re: your invoice"),
        ("", "Automatische Antwort: Ihre Rechnung"),
        ("", "Réponse automatique : facture"),
        ("", "Undeliverable: invoice"),
    ],
)
def test_an_answer_of_a_machine_pauses_nothing(scenario: Any, headers: str, subject: str) -> None:
    assert post_reply(scenario, "I am away until Monday.", headers, subject=subject) == 200
    assert customer_setting(scenario) is None
    assert list_tasks(scenario, "reply") == []
    assert "automatic answer" in log_text(scenario)


def test_mail_to_nobody_is_taken_and_forgotten(scenario: Any) -> None:
    stranger = f"reply+{'a' * 32}@{REPLIES}"
    assert post_reply(scenario, envelope=json.dumps({"to": [stranger]}), to=stranger) == 200
    elsewhere = scenario.mail.reply_to.replace(REPLIES, "evil.example")
    assert post_reply(scenario, envelope=json.dumps({"to": [elsewhere]}), to=elsewhere) == 200
    assert list_tasks(scenario, "reply") == []


def test_a_reply_of_any_size_is_a_short_task_and_a_flood_is_refused(scenario: Any) -> None:
    assert post_reply(scenario, "word " * 100_000, html="<p>x</p>" * 1000, id="long") == 200
    [task] = list_tasks(scenario, "reply")
    assert len(task.reason) < 5000
    assert post_reply(scenario, "x" * (33 * 2**20), id="flood") in {400, 413}
    assert len(list_tasks(scenario, "reply")) == 1


def test_what_is_no_form_is_refused(scenario: Any) -> None:
    for content, kind in ((b"{}", "application/json"), (b"junk", "multipart/form-data"), (b"", "")):
        reply = scenario.door.post("/webhooks/sendgrid-inbound", data=content, headers={"Content-Type": kind})
        assert reply.status_code == 400


def test_a_reply_in_html_alone_is_read_too(scenario: Any) -> None:
    assert (
        post_reply(scenario, "", html="<html><style>p{}</style><p>We paid &amp; are sorry.</p><script>x()</script>")
        == 200
    )
    [task] = list_tasks(scenario, "reply")
    assert "We paid & are sorry." in task.reason
    assert "x()" not in task.reason


@pytest.mark.parametrize(
    ("charset", "words"), [("windows-1252", "Wir zahlen 50 €"), ("windows-1251", "Оплатим завтра")]
)
def test_a_reply_is_read_in_the_letters_it_was_written_in(scenario: Any, charset: str, words: str) -> None:
    form = {
        "headers": (None, f"Message-ID: <c1@ashdown.example>\nFrom: {ASHDOWN}\n"),
        "dkim": (None, "{@ashdown.example : pass}"),
        "to": (None, scenario.mail.reply_to),
        "from": (None, ASHDOWN),
        "sender_ip": (None, "203.0.113.9"),
        "spam_score": (None, "0.1"),
        "SPF": (None, "pass"),
        "subject": (None, "Re: Invoice"),
        "text": (None, words.encode(charset)),
        "charsets": (None, json.dumps({"to": "UTF-8", "subject": "UTF-8", "from": "UTF-8", "text": charset})),
        "envelope": (None, json.dumps({"to": [scenario.mail.reply_to], "from": ASHDOWN})),
        "attachments": (None, "1"),
        "attachment-info": (None, json.dumps({"attachment1": {"filename": "logo.png", "type": "image/png"}})),
        "attachment1": ("logo.png", b"\x89PNG", "image/png"),
    }
    assert scenario.door.post("/webhooks/sendgrid-inbound", files=form).status_code == 200
    [task] = list_tasks(scenario, "reply")
    assert words in task.reason


@pytest.mark.parametrize(("headers", "kinds"), [("", ["reply"]), ("Auto-Submitted: auto-replied\n", [])])
def test_a_mail_that_is_brought_whole_is_read_the_same(scenario: Any, headers: str, kinds: list[str]) -> None:
    mail = EmailMessage()
    mail["Message-ID"], mail["From"], mail["To"] = "<raw@ashdown.example>", ASHDOWN, scenario.mail.reply_to
    mail["Subject"] = "Re: Invoice"
    mail.set_content("Zahlung kommt am Freitag, schöne Grüße.", charset="iso-8859-1")
    mail.add_alternative("<p>Zahlung kommt am Freitag.</p>", subtype="html")
    envelope = json.dumps({"to": [scenario.mail.reply_to], "from": ASHDOWN})
    files = {"email": (None, headers + mail.as_string()), "envelope": (None, envelope), "from": (None, ASHDOWN)}
    assert scenario.door.post("/webhooks/sendgrid-inbound", files=files).status_code == 200
    found = list_tasks(scenario, "reply")
    assert [task.code for task in found] == kinds
    assert all("schöne Grüße" in task.reason for task in found)


# --- events


def post_events(scenario: Any, *, times: int = 1) -> None:
    """Hand the make-believe SendGrid's signed events to our door, as it would post them."""
    hook = scenario.sandbox.sendgrid.webhook
    now = int(scenario.sandbox.clock.now().timestamp())
    for _time in range(times):
        body, headers = hook.sign(list(scenario.sandbox.sendgrid.store.events), now)
        assert scenario.door.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 200


def test_delivery_is_noted_once_however_often_and_in_whatever_order_it_is_told(scenario: Any) -> None:
    post_events(scenario, times=2)
    assert email_entry(scenario).delivery_status == "delivered"
    scenario.sandbox.sendgrid.store.events.reverse()
    post_events(scenario)
    assert email_entry(scenario).delivery_status == "delivered"
    with reading(scenario.app.engine) as session:
        kinds = [event.kind for event in session.scalars(select(EmailEvent))]
    assert sorted(kinds) == ["delivered", "processed"]


def test_a_late_bounce_marks_the_address_and_makes_one_task(scenario: Any) -> None:
    post_events(scenario)
    scenario.pass_days(2)
    scenario.sandbox.sendgrid.bounce(scenario.mail.number)
    post_events(scenario, times=2)
    assert email_entry(scenario).delivery_status == "bounce"
    [task] = list_tasks(scenario, "undelivered")
    assert ASHDOWN in task.reason
    assert "no such user here" in task.reason
    run_for_days(scenario, 20)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1
    assert len(list_tasks(scenario, "suppressed")) == 1


@pytest.mark.parametrize("kind", ["spam", "unsubscribe"])
def test_who_complains_gets_no_more_mail(scenario: Any, kind: str) -> None:
    getattr(scenario.sandbox.sendgrid, kind)(scenario.mail.number)
    scenario.sandbox.sendgrid.unsuppress(ASHDOWN)  # only the event tells
    post_events(scenario)
    run_for_days(scenario, 20)
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_a_bounce_that_names_no_mail_is_known_by_its_address(scenario: Any) -> None:
    event = {
        "email": ASHDOWN.upper(),
        "event": "bounce",
        "type": "bounce",
        "sg_event_id": "e1",
        "timestamp": 1781000000,
    }
    body, headers = scenario.sandbox.sendgrid.webhook.sign([event], 1781000000)
    assert scenario.door.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 200
    assert len(list_tasks(scenario, "undelivered")) == 1


def test_an_event_settles_a_doubt(scenario: Any) -> None:
    with writing(scenario.app.engine) as session:
        row = session.get_one(OutboxEntry, email_entry(scenario).id)
        entries.mark_unconfirmed(row, at=scenario.app.now(), detail="nobody knows")
    post_events(scenario)
    assert email_entry(scenario).state == "done"


def test_what_a_killed_run_left_is_settled_by_the_event_that_came_meanwhile(scenario: Any) -> None:
    with writing(scenario.app.engine) as session:
        session.get_one(OutboxEntry, email_entry(scenario).id).state = OutboxState.SENDING
    post_events(scenario)
    assert email_entry(scenario).state == "sending"  # its own run may still be at work
    scenario.sandbox.faults.refuse(500, service="sendgrid", path="/logs", times=0)
    scenario.run()
    assert email_entry(scenario).state == "done"


def test_an_event_keeps_a_mail_from_leaving_twice_that_a_person_took_for_lost(scenario: Any) -> None:
    with writing(scenario.app.engine) as session:
        row = session.get_one(OutboxEntry, email_entry(scenario).id)
        entries.mark_unconfirmed(row, at=scenario.app.now(), detail="nobody knows")
        session.flush()
        approvals.resolve(session, row.id or 0, sent=False, by="Ann", at=scenario.app.now())
    set_mode(scenario.app, scenario.connection, "approve")
    post_events(scenario)
    set_mode(scenario.app, scenario.connection, "live")
    scenario.run()
    assert email_entry(scenario).state == "done"
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


@pytest.mark.parametrize("break_it", ["body", "signature", "timestamp", "nothing"])
def test_an_event_that_sendgrid_did_not_sign_is_refused(scenario: Any, break_it: str) -> None:
    body, headers = scenario.sandbox.sendgrid.webhook.sign(list(scenario.sandbox.sendgrid.store.events), 1781000000)
    names = {
        "signature": "X-Twilio-Email-Event-Webhook-Signature",
        "timestamp": "X-Twilio-Email-Event-Webhook-Timestamp",
    }
    if break_it == "body":
        body = body.replace(b"delivered", b"deliverex")
    elif break_it == "nothing":
        headers = {}
    else:
        headers[names[break_it]] = "MEUCIQ=="
    assert scenario.door.post("/webhooks/sendgrid", data=body, headers=headers).status_code == 401
    assert email_entry(scenario).delivery_status == ""
