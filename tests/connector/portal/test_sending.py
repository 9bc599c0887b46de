"""From the form to what was sent: the summary, the second tap, two tabs, the back button, and undo within an hour."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from connector.app_context import open_app
from connector.arrangements import agreements
from connector.arrangements.customer_settings import find_customer
from connector.cli.main import cli
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Agreement, CustomerRow, PortalResponse
from connector.emails import portal_links
from connector.restore.backup import restore_backup, write_backup
from connector.services.invoices import record_agreement
from connector.vocabulary import (
    AgreementKind,
    AgreementState,
    ConnectionMode,
    OutboxKind,
    ResponseState,
    TaskCode,
    TaskState,
)
from tests.connector.portal.conftest import (
    TODAY,
    PortalClient,
    PortalScenario,
    customer_setting,
    decision_of,
    draft_key,
    find_row,
    list_tasks,
    serve,
    stored_state,
    visible_text,
)


def states(scenario: PortalScenario) -> list[tuple[AgreementKind, AgreementState]]:
    with reading(scenario.app.engine) as session:
        return [(each.kind, each.state) for each in session.scalars(select(Agreement))]


def test_nothing_is_told_before_the_summary_is_confirmed_and_two_taps_tell_it_once(scenario: PortalScenario) -> None:
    overdue, upcoming = (find_row(scenario, each).external_id for each in (scenario.overdue, scenario.upcoming))
    summary = scenario.client.draft("dispute", invoice=overdue, text="Two chairs are missing")
    shown = visible_text(summary)
    assert "You are about to tell Small Works Ltd: Something is wrong" in shown
    assert "Two chairs are missing" in shown
    assert scenario.overdue in shown
    assert scenario.upcoming not in shown
    assert states(scenario) == []
    key = draft_key(summary)
    with ThreadPoolExecutor(4) as taps:
        assert {page.status_code for page in taps.map(scenario.client.send, [key] * 4)} == {200}
    assert states(scenario) == [(AgreementKind.DISPUTE, AgreementState.OPEN)]
    assert find_row(scenario, scenario.upcoming).external_id == upcoming
    back = scenario.client.get(f"/check/{key}")  # the back button: it was sent, and can be undone
    assert "This was sent." in visible_text(back)
    assert "Send<" not in back.text.replace("</button>", "<")


def test_two_tabs_do_not_disturb_each_other(scenario: PortalScenario) -> None:
    invoice = find_row(scenario, scenario.overdue).external_id
    first = scenario.client.draft("promise", invoice=invoice, on="2026-06-15")
    second = scenario.client.draft("promise", invoice=invoice, on="2026-06-18", amount="200")
    scenario.client.send(draft_key(first))
    shown = visible_text(scenario.client.send(draft_key(second)))
    assert "£200.00 promised for 18 June 2026" in shown
    assert states(scenario) == [
        (AgreementKind.PROMISE, AgreementState.REPLACED),
        (AgreementKind.PROMISE, AgreementState.OPEN),
    ]
    undone = visible_text(scenario.client.undo(draft_key(second)))
    assert "Payment promised for 15 June 2026" in undone  # what the second one replaced applies again
    draft = scenario.client.draft("promise", invoice=invoice, on="2026-06-19")
    scenario.company.pay(scenario.overdue, "700.00", on=TODAY)
    scenario.run()
    changed = scenario.client.post(f"/check/{draft_key(draft)}")
    assert changed.status_code == 409
    assert "has changed meanwhile" in visible_text(changed)
    assert scenario.client.send(draft_key(draft)).status_code == 200  # they have seen the new balance
    gone = scenario.client.draft("paid", invoice=invoice, on=TODAY.isoformat())
    scenario.company.pay(scenario.overdue, "500.00", on=TODAY)
    scenario.run()
    refused = scenario.client.post(f"/check/{draft_key(gone)}")
    assert (refused.status_code, "no longer open" in visible_text(refused)) == (409, True)
    for kind, code, offered in (("paid", 200, 1), ("dispute", 404, 0)):  # a tab that was opened before it was paid
        stale = scenario.client.get(f"/tell/{kind}?invoice={invoice}")
        assert (stale.status_code, "no longer open" in visible_text(stale)) == (code, True)
        assert stale.text.count('type="checkbox"') == offered


@pytest.mark.parametrize("scenario", ["xero", "quickbooks"], indirect=True)
def test_each_answer_can_be_undone_for_an_hour_and_leaves_nothing_behind(scenario: PortalScenario) -> None:
    scenario.set_policy('[payment_plans]\napproval = "automatic"')
    invoice = find_row(scenario, scenario.overdue).external_id
    answers: list[tuple[str, dict[str, str]]] = [
        ("paid", {"on": "2026-06-08", "amount": "600", "method": "bank_transfer", "reference": "ABC"}),
        ("promise", {"on": "2026-06-20"}),
        ("dispute", {"text": "wrong price"}),
        ("plan", {"on": "2026-06-20", "instalments": "3", "interval": "two-weeks"}),
        ("contact", {"email": "ann@miller.example"}),
        ("stop", {}),
    ]
    for kind, fields in answers:
        about: dict[str, str] = {} if kind in {"contact", "stop"} else {"invoice": invoice}
        done = scenario.client.submit(kind, **about, **fields)
        assert "possible until" in visible_text(done), kind
        key = draft_key(done)
        assert "Undone:" in visible_text(scenario.client.undo(key))
        assert scenario.client.undo(key).status_code == 200  # a second tap
    assert [state for _kind, state in states(scenario) if state == AgreementState.OPEN] == []
    for code in (
        TaskCode.PAYMENT_REPORTED,
        TaskCode.PROMISE_RECEIVED,
        TaskCode.PLAN_REQUESTED,
        TaskCode.CONTACT_CHANGE,
    ):
        assert [task.state for task in list_tasks(scenario, code)] == [TaskState.CANCELLED], code
    setting = customer_setting(scenario)
    assert setting is not None
    assert (setting.no_reminders, setting.emails) == (False, "")  # the addresses of the ledger apply
    assert [entry for entry in scenario.outbox("planned") if entry.kind == OutboxKind.NOTE] == []
    scenario.run()
    assert decision_of(scenario, scenario.overdue)[0] not in {"paused", "promised", "disputed", "payment_plan"}
    assert [note for note in scenario.company.notes(scenario.overdue) if "portal" in note] == []
    scenario.client.submit("paid", invoice=invoice, on="2026-06-08")
    scenario.run()
    assert decision_of(scenario, scenario.overdue)[0] == "paused"  # what was undone does not count as said before


def test_an_answer_that_was_undone_after_another_took_its_place_does_not_come_back(scenario: PortalScenario) -> None:
    invoice = find_row(scenario, scenario.overdue).external_id

    def tell(kind: str, **fields: str) -> str:
        scenario.sandbox.clock.advance(timedelta(minutes=1))
        return draft_key(scenario.client.submit(kind, invoice=invoice, **fields))

    promises = [tell("promise", on="2026-06-17", amount=amount) for amount in ("500", "800")]
    disputes = [tell("dispute", text=text) for text in ("wrong price", "too few", "too many")]
    for key in (*promises, disputes[1]):
        scenario.client.undo(key)
    shown = visible_text(scenario.client.undo(disputes[2]))
    assert "In dispute since" in shown  # the first one, which nobody undid
    assert "promised for" not in visible_text(scenario.client.undo(disputes[0]))
    assert [state for _kind, state in states(scenario) if state == AgreementState.OPEN] == []


def test_what_a_user_ended_meanwhile_can_be_told_again(scenario: PortalScenario) -> None:
    invoice = find_row(scenario, scenario.overdue)
    answers = (
        ("dispute", {"text": "wrong price"}, "In dispute since", agreements.resolve_dispute),
        ("promise", {"on": "2026-06-20"}, "promised for 20 June", partial(agreements.set_promise, on=None)),
    )
    for kind, fields, status, end in answers:
        for _time in ("first", "second"):
            shown = visible_text(scenario.client.submit(kind, invoice=invoice.external_id, **fields))
            assert ("already told us" in shown, status in shown) == (False, True), kind
            assert "already told us" in visible_text(
                scenario.client.submit(kind, invoice=invoice.external_id, **fields)
            )
            record_agreement(scenario.app, invoice, "ann", end)


def test_what_was_noted_in_the_ledger_is_taken_back_there_and_after_an_hour_only_a_new_answer_helps(
    scenario: PortalScenario,
) -> None:
    invoice = find_row(scenario, scenario.overdue).external_id
    key = draft_key(scenario.client.submit("dispute", invoice=invoice, text="wrong price"))
    scenario.run()
    scenario.client.undo(key)
    scenario.run()
    assert any("takes back what they reported" in note for note in scenario.company.notes(scenario.overdue))
    assert [task.state for task in list_tasks(scenario, TaskCode.DISPUTE_RAISED)] == [TaskState.DONE]
    key = draft_key(scenario.client.submit("dispute", invoice=invoice, text="wrong price again"))
    scenario.sandbox.clock.advance(timedelta(minutes=61))
    late = scenario.client.post(f"/undo/{key}")
    assert (late.status_code, "can no longer be undone" in visible_text(late)) == (409, True)
    assert "In dispute since" in visible_text(scenario.client.get())
    withdrawn = scenario.client.submit("withdraw", invoice=invoice)
    assert "It no longer applies" in visible_text(withdrawn)
    assert "In dispute since" not in visible_text(withdrawn)


def test_no_link_opens_the_answers_of_another_customer_or_of_a_link_that_was_revoked(
    scenario: PortalScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = find_row(scenario, scenario.overdue).external_id
    draft = draft_key(scenario.client.draft("promise", invoice=invoice, on="2026-06-18"))
    sent = draft_key(scenario.client.submit("dispute", invoice=invoice, text="secret words"))
    with reading(scenario.app.engine) as session:
        potter = find_customer(session, "Potter plc", scenario.connection)
    link = portal_links.create_link(scenario.app, scenario.connection, potter.external_id, by="a test").link
    other = PortalClient(scenario.client.url, link)
    before = stored_state(scenario)
    for key in (draft, sent, "x" * 24, "%00", "é"):
        assert other.get(f"/check/{key}").status_code == 404
        assert other.post(f"/check/{key}").status_code in {404, 409}
        assert other.post(f"/undo/{key}").status_code in {404, 409}
        assert "secret" not in other.get(f"?done={key}").text
    assert other.get(f"/tell/dispute?invoice={invoice}&draft={sent}").status_code == 404
    assert "secret" not in other.get(f"/tell/dispute?draft={sent}").text
    assert stored_state(scenario) == before
    with writing(scenario.app.engine) as session:  # Miller turns out to be a second record of Potter
        miller = session.get_one(CustomerRow, (scenario.connection, find_row(scenario, scenario.overdue).customer_id))
        miller.merged_into = potter.external_id
    assert "secret words" in other.get(f"/check/{sent}").text  # the survivor of a merger keeps both histories
    monkeypatch.setattr("connector.cli.customer_data.open_command_app", lambda: nullcontext(scenario.app))
    assert CliRunner().invoke(cli, ["customers", "link", "Potter plc", "--revoke"]).exit_code == 0
    for path in ("", f"/check/{sent}", "/account", "/invoices.zip", "/tell/paid"):
        assert other.get(path).status_code == 410, path
    assert other.post(f"/undo/{sent}").status_code == 410


def test_a_draft_that_nobody_sent_is_deleted_after_a_day(scenario: PortalScenario) -> None:
    from connector.privacy import retention  # noqa: PLC0415

    invoice = find_row(scenario, scenario.overdue).external_id
    draft = draft_key(scenario.client.draft("paid", invoice=invoice, on="2026-06-09"))
    scenario.client.submit("dispute", invoice=invoice, text="wrong price")
    scenario.pass_days(2)
    retention.prune(scenario.app)
    with reading(scenario.app.engine) as session:
        assert [each.state for each in session.scalars(select(PortalResponse))] == [ResponseState.SENT]
    gone = scenario.client.post(f"/check/{draft}")
    assert (gone.status_code, "start again" in visible_text(gone)) == (404, True)
    scenario.pass_days(400)
    retention.prune(scenario.app)
    with reading(scenario.app.engine) as session:
        assert session.scalars(select(PortalResponse)).all() == []


def test_history_shows_what_was_said_on_both_sides_and_several_invoices_can_be_paid_at_once(
    scenario: PortalScenario,
) -> None:
    form = scenario.client.get("/tell/paid")
    assert re.findall(r'type="checkbox"[^>]* checked', form.text) == []
    both = [find_row(scenario, each).external_id for each in (scenario.overdue, scenario.upcoming)]
    scenario.client.submit("paid", invoice=both, on="2026-06-09", amount="1280.50", reference="TRF 77")
    shown = visible_text(scenario.client.get())
    [email] = scenario.sandbox.sendgrid.emails_to("accounts@miller.example")
    assert " ".join(email.subject.replace("\u00a0", " ").split()) in shown
    assert f"you I have paid: {scenario.overdue}, {scenario.upcoming}, 9 June 2026, £1,280.50, TRF 77" in shown
    [task] = list_tasks(scenario, TaskCode.PAYMENT_REPORTED)
    assert "(GBP 1,280.50, reference “TRF 77”)" in task.reason


def test_a_draft_in_a_restored_backup_is_sent_again_without_doing_anything_twice(scenario: PortalScenario) -> None:
    invoice = find_row(scenario, scenario.overdue).external_id
    key = draft_key(scenario.client.draft("promise", invoice=invoice, on="2026-06-20"))
    app = scenario.app
    backup = app.settings.duewell_home / "backup.db"
    write_backup(app.engine, backup, app.keyring, at=app.now())
    scenario.client.send(key)
    scenario.run()
    noted = len([each for each in scenario.company.notes(scenario.overdue) if "promises to pay" in each])
    app.close()
    clock = scenario.sandbox.clock
    restore_backup(app.settings.duewell_database_url, backup, app.keyring, at=clock.now())
    scenario.app = open_app(app.settings, now=clock.now, sleep=clock.sleep)
    scenario.connect()
    set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
    with contextmanager(serve)(scenario) as url:
        assert "expect your payment by then" in visible_text(PortalClient(url, scenario.client.link).send(key))
    scenario.run()
    assert len(list_tasks(scenario, TaskCode.PROMISE_RECEIVED)) == 1
    notes = [each for each in scenario.company.notes(scenario.overdue) if "promises to pay" in each]
    assert (noted, len(notes)) == (1, 1)
