"""The customer's own page: what he sees, what he says, and what becomes of it in the next hour; over real HTTP."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from sqlalchemy import select
from sqlmodel import col
from typer.testing import CliRunner

from connector.arrangements import agreements
from connector.arrangements.customer_settings import find_customer
from connector.audit import sync_log
from connector.cli.main import cli
from connector.db.engine import reading
from connector.db.tables import Agreement, CustomerSetting, InvoiceDecisionRow, OutboxEntry, Task
from connector.services.invoices import find_invoice, record_agreement
from connector.web.app import make_app

TODAY = date(2026, 6, 10)
MILLER = "accounts@miller.example"
HOST = "books.larkspur.example"


class FakeScheduler:
    def is_alive(self) -> bool:
        return True


class PortalClient:
    """A browser that holds the link of a mail, behind the proxy that the public address stands for."""

    def __init__(self, url: str, link: str) -> None:
        self.url, self.link = url, urlsplit(link).path

    def get(self, path: str = "", link: str = "", **headers: str) -> requests.Response:
        return requests.get(self.url + (link or self.link) + path, headers={"Host": HOST, **headers}, timeout=20)

    def submit(self, kind: str, path: str = "", **fields: Any) -> requests.Response:
        where = self.url + self.link + path
        told = requests.post(
            where, data={"action": kind, **fields}, headers={"Host": HOST}, timeout=20, allow_redirects=False
        )
        return self.get(told.headers["location"].removeprefix(self.link)) if told.status_code == 303 else told


def serving(scenario: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(make_app(scenario.app, FakeScheduler()), log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def scenario(scenario_at: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A live company that customers reach over https: Miller owes two invoices, one of them late; a mail has left."""
    monkeypatch.setenv("DUEWELL_BASE_URL", f"https://{HOST}")
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), getattr(request, "param", "xero")) as made:
        made.company.customer("Miller & Sons", MILLER)
        made.company.customer("Potter plc", "ap@potter.example")
        made.late = made.company.invoice("Miller & Sons", "1200.00", due_on=TODAY - timedelta(days=6))
        made.soon = made.company.invoice("Miller & Sons", "80.50", due_on=TODAY + timedelta(days=20))
        made.foreign = made.company.invoice("Potter plc", "640.00", due_on=TODAY - timedelta(days=2))
        made.go_live().run()
        [mail] = made.sandbox.sendgrid.emails_to(MILLER)
        [link] = re.findall(rf"https://{HOST}/c/[a-z2-7]{{32}}", mail.text)
        assert link in mail.html.replace("&#x2f;", "/")
        for url in serving(made):
            made.door = PortalClient(url, link)
            yield made


def visible_text(page: requests.Response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).replace("\u00a0", " ").split())


def list_tasks(scenario: Any, code: str) -> list[Task]:
    with reading(scenario.app.engine) as session:
        return [task for task in session.scalars(select(Task).order_by(col(Task.id))) if task.code == code]


def find_row(scenario: Any, number: str) -> Any:
    with reading(scenario.app.engine) as session:
        return find_invoice(session, number, scenario.connection)


def decision_of(scenario: Any, number: str) -> tuple[str, date | None]:
    with reading(scenario.app.engine) as session:
        found = session.get_one(InvoiceDecisionRow, (scenario.connection, find_row(scenario, number).external_id))
        return found.code, found.next_on


def customer(scenario: Any, name: str = "Miller & Sons") -> Any:
    with reading(scenario.app.engine) as session:
        return find_customer(session, name, scenario.connection)


def customer_setting(scenario: Any) -> CustomerSetting | None:
    with reading(scenario.app.engine) as session:
        return session.get(CustomerSetting, (scenario.connection, customer(scenario).external_id))


def stored_state(scenario: Any) -> str:
    """Everything that an answer could change, in one text."""
    with reading(scenario.app.engine) as session:
        tables = (Task, Agreement, CustomerSetting, OutboxEntry)
        rows = [repr(each) for table in tables for each in session.scalars(select(table))]
        return "\n".join([*rows, *(line.text for line in sync_log.list_entries(session))])


@pytest.mark.parametrize("scenario", ["xero", "quickbooks"], indirect=True)
def test_the_page_shows_one_customer_what_he_owes_and_looking_changes_nothing(scenario: Any) -> None:
    scenario.set_policy('ways_to_pay = { GBP = "Bank: Larkspur <GB29 NWBK>\\nQuote the number." }')
    before = stored_state(scenario)
    for path in ("", "?notice=done_paid", "?notice=%3Cscript%3E"):
        page = scenario.door.get(path)
        assert page.status_code == 200
    seen = visible_text(page)
    for said in (
        scenario.late,
        "6 days late",
        "£1,200.00",
        scenario.soon,
        "£80.50",
        "£1,280.50",
        "Small Works Ltd",
        "Bank: Larkspur <GB29 NWBK> Quote the number.",
    ):
        assert said in seen
    assert "Potter" not in seen
    assert scenario.foreign not in seen
    assert "640" not in seen
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in page.headers["X-Robots-Tag"]
    assert "no-store" in page.headers["Cache-Control"]
    assert page.headers.get("Set-Cookie") is None
    statement = scenario.door.get("/statement/GBP.pdf")
    invoice = scenario.door.get(f"/invoice/{find_row(scenario, scenario.late).external_id}.pdf")
    for paper in (statement, invoice):
        assert (paper.status_code, paper.content[:5]) == (200, b"%PDF-")
        assert "no-store" in paper.headers["Cache-Control"]
    assert scenario.door.get("/statement/EUR.pdf").status_code == 404
    assert scenario.door.get(f"/invoice/{find_row(scenario, scenario.foreign).external_id}.pdf").status_code == 404
    scenario.door.submit("", f"/pay/{find_row(scenario, scenario.soon).external_id}")
    scenario.door.submit("", f"/pay/{find_row(scenario, scenario.foreign).external_id}")
    pay = re.findall(r'class="button" href="([^"]+)"', scenario.door.get().text)
    assert len(pay) == 2
    assert stored_state(scenario) == before


@pytest.mark.parametrize("scenario", ["xero", "quickbooks"], indirect=True)
def test_who_paid_is_left_in_peace_for_the_policys_days_and_a_person_looks_for_it(scenario: Any) -> None:
    paid = {
        "invoice": find_row(scenario, scenario.late).external_id,
        "paid_on": (TODAY - timedelta(days=2)).isoformat(),
    }
    assert "We look for your payment" in visible_text(scenario.door.submit("paid", **paid))
    assert "told us already" in visible_text(scenario.door.submit("paid", **paid))
    assert scenario.run().outcome == "ok"
    assert decision_of(scenario, scenario.late) == ("paused", TODAY + timedelta(days=7))
    [task] = list_tasks(scenario, "payment_reported")
    assert f"Miller & Sons says that {scenario.late} (GBP 1,200.00) was paid on 8 Jun 2026" in task.reason
    [note] = [each for each in scenario.company.notes(scenario.late) if "paid on" in each]
    assert note.startswith("10 Jun 2026, Miller & Sons at his own page: says it was paid on 8 Jun 2026")
    assert scenario.company.notes(scenario.soon) == []
    scenario.pass_days(8)
    scenario.door.submit("paid", **{**paid, "paid_on": (TODAY + timedelta(days=5)).isoformat()})
    scenario.run()
    assert decision_of(scenario, scenario.late)[0] != "paused"  # once a month; a person has a second task
    assert len(list_tasks(scenario, "payment_reported")) == 2
    scenario.company.pay(scenario.late)
    scenario.run()
    assert [each.state for each in list_tasks(scenario, "payment_reported")] == ["cancelled", "cancelled"]


def test_a_promise_holds_the_chase_until_its_day_and_the_third_one_is_for_a_person(scenario: Any) -> None:
    both = [find_row(scenario, number).external_id for number in (scenario.late, scenario.soon)]
    said = visible_text(scenario.door.submit("promise", invoice=both, promise_on="2026-06-20"))
    assert "We count on your payment" in said
    assert "You promised to pay on 20 June 2026" in said
    scenario.run()
    assert decision_of(scenario, scenario.late)[0] == "promised"
    assert any("promises to pay on 20 Jun 2026" in note for note in scenario.company.notes(scenario.soon))
    for day in ("2026-06-21", "2026-06-22"):
        scenario.door.submit("promise", invoice=both[0], promise_on=day)
    assert [each.reason for each in list_tasks(scenario, "promise_received")][-1].endswith(
        "promised before, or agreed otherwise."
    )
    with reading(scenario.app.engine) as session:
        kept = [each for each in session.scalars(select(Agreement)) if each.state == "open"]
    assert sorted((each.invoice_id, str(each.until_on)) for each in kept) == sorted(
        [(both[0], "2026-06-21"), (both[1], "2026-06-20")]
    )


def test_a_dispute_stops_the_chase_with_his_words_and_keeps_what_a_person_said(scenario: Any) -> None:
    late, soon = find_row(scenario, scenario.late), find_row(scenario, scenario.soon)
    record_agreement(scenario.app, soon, "ann", agreements.record_dispute, reason="wrong price")
    words_of_his = "Two of the\nfive chairs <b>never</b> came."
    page = scenario.door.submit("dispute", invoice=[late.external_id, soon.external_id], wrong_what=words_of_his)
    assert "A person looks into it" in visible_text(page)
    scenario.run()
    assert decision_of(scenario, scenario.late)[0] == "disputed"
    raised = [task.reason for task in list_tasks(scenario, "dispute_raised")]
    assert any("Two of the five chairs <b>never</b> came." in reason for reason in raised)
    assert any("wrong price" in reason for reason in raised)
    [told] = list_tasks(scenario, "dispute_received")  # of the one that was disputed already
    assert scenario.soon in told.reason
    assert any(
        "says that something is wrong: Two of the five chairs" in note for note in scenario.company.notes(scenario.late)
    )


def test_a_new_address_counts_at_once_only_at_the_customers_own_domain(scenario: Any) -> None:
    scenario.door.submit("add_contact", contact_name="Eve", contact_email="eve@elsewhere.example")
    assert customer_setting(scenario) is None
    [asked] = list_tasks(scenario, "contact_change")
    assert "Make sure that it is his, then: duewell customers set" in asked.reason
    scenario.door.submit("add_contact", contact_name="Ann Lee", contact_email="ann@miller.example")
    said = customer_setting(scenario)
    assert said is not None
    assert said.emails == f"{MILLER}, ann@miller.example"
    scenario.pass_days(14)
    scenario.run()
    assert any({MILLER, "ann@miller.example"} <= set(mail.to) for mail in scenario.sandbox.sendgrid.emails())


def test_his_language_and_his_wish_for_no_reminders_are_followed(scenario: Any) -> None:
    assert "Ihre Rechnungen von" in visible_text(scenario.door.get(**{"Accept-Language": "de-AT,en;q=0.5"}))
    page = scenario.door.submit("language", language="fr")
    assert "Désormais, nous vous écrivons dans cette langue" in visible_text(page)
    assert '<html lang="fr">' in scenario.door.get(**{"Accept-Language": "de"}).text
    stopped = visible_text(scenario.door.submit("stop"))
    assert "Vous ne recevez plus de rappels" in stopped
    said = customer_setting(scenario)
    assert said is not None
    assert (said.no_reminders, said.language) == (True, "fr")
    assert "stopped the reminders, at his own page" in list_tasks(scenario, "reminders_stopped")[0].reason
    scenario.run()
    assert any("wants no more reminders" in note for note in scenario.company.notes(scenario.late))


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("paid", {"paid_on": "2026-06-11"}, "Choose the day on which you paid"),
    ("paid", {"paid_on": "soon"}, "Choose the day on which you paid"),
    ("promise", {"promise_on": "2026-06-09"}, "Choose a day from today to 10 July 2026"),
    ("promise", {"promise_on": "2026-12-24"}, "Choose a day from today to 10 July 2026"),
    ("dispute", {"dispute_reason": " \n "}, "Say in a few words what is wrong"),
    ("paid", {"paid_on": "2026-06-09", "invoice": "another"}, "Choose the invoices"),
    ("add_contact", {"contact_email": "a@b.example>, <x@y.example"}, "not an e-mail address"),
    ("nonsense", {}, "Choose the invoices"),
]


def test_what_cannot_be_kept_is_refused_in_words_and_changes_nothing(scenario: Any) -> None:
    before = stored_state(scenario)
    for kind, fields, says in REFUSED:
        page = scenario.door.submit(kind, **{"invoice": find_row(scenario, scenario.late).external_id, **fields})
        assert page.status_code == 422
        assert says in visible_text(page)
    foreign = {"invoice": find_row(scenario, scenario.foreign).external_id, "paid_on": "2026-06-09"}
    assert scenario.door.submit("paid", **foreign).status_code == 422
    assert stored_state(scenario) == before


def run_command(*words: str) -> str:
    done = CliRunner().invoke(cli, ["customers", "link", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_link_ends_is_revoked_and_opens_nothing_to_guesses(scenario: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.cli.customer_data.open_command_app", lambda: nullcontext(scenario.app))
    token = scenario.door.link.removeprefix("/c/")
    for guess in ("a" * 32, token[:-1], token[:-1] + ("a" if token[-1] != "a" else "b"), "%00" * 32, "é" * 32):
        assert scenario.door.get(link=f"/c/{guess}").status_code == 404
    assert scenario.door.get(link=f"/stop/{token}").status_code == 404
    assert run_command("Miller & Sons").endswith(scenario.door.link + "\n")
    assert json.loads(run_command("Miller & Sons", "--revoke", "--json"))["revoked"] == 1
    assert scenario.door.get().status_code == 410
    assert scenario.door.submit("stop").status_code == 410
    again = urlsplit(json.loads(run_command("Miller & Sons", "--json"))["link"]).path
    assert again != scenario.door.link
    assert scenario.door.get(link=again).status_code == 200
    scenario.pass_days(121)
    assert scenario.door.get(link=again).status_code == 410
    assert customer_setting(scenario) is None


def test_who_asks_too_often_is_told_to_come_back(scenario: Any) -> None:
    codes = [scenario.door.submit("promise", promise_on="never").status_code for _try in range(22)]
    assert codes == [422] * 20 + [429] * 2
    codes = [scenario.door.get(link=f"/c/{'a' * 32}").status_code for _try in range(31)]
    assert codes == [404] * 30 + [429]
