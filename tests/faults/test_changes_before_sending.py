"""The ledger, or a person, changes something between decision and send: what leaves is right when it leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Unpack
from urllib.parse import unquote

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements
from connector.arrangements.customer_settings import SettingChanges, find_customer, update_settings
from connector.connections.registry import disconnect, pause, resume, set_mode
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceDecisionRow, InvoiceRow
from connector.evaluation import evaluate
from policies.decide import decide

START = datetime(2026, 6, 1, 11, 0, tzinfo=UTC)
REREAD_CALL: dict[str, dict[str, Any]] = {
    "xero": {"query": "IDs="},
    "quickbooks": {"path": "/cdc$", "nth": 2},
}
EVERY_ONE = (
    os.environ.get("FAULTS_EVERY") == "1"
)  # else half of them on each ledger: the campaign tries all, at every call
Change = Callable[[Any, str, str], object]


def _today(town: Any) -> date:
    today: date = town.sandbox.clock.now().date()
    return today


def _move_due_date(town: Any, number: str, _customer: str) -> None:
    later = (_today(town) + timedelta(days=40)).isoformat()
    town.company.simulator.edit(number, **town.company.company_filter, **{_due_field(town): later})


def _due_field(town: Any) -> str:
    return {"xero": "due_on", "quickbooks": "DueDate"}[town.company.provider]


def _delete(town: Any, number: str, _customer: str) -> None:
    if town.company.provider == "quickbooks":
        town.company.simulator.delete(number)
    else:
        town.company.void(number)  # Xero deletes drafts alone


def _record_for_invoice(what: Callable[..., object], **how: Any) -> Change:
    def say(town: Any, number: str, _customer: str) -> None:
        with writing(town.app.engine) as session:
            row = session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == number)).one()
            what(session, row, agreements.Attribution("Ann", town.app.now()), **how)

    return say


_dispute = _record_for_invoice(agreements.record_dispute, reason="wrong goods")
SILENT_CHANGES: dict[str, Change] = {
    "paid": lambda town, number, _customer: town.company.pay(number),
    "voided": lambda town, number, _customer: town.company.void(number),
    "credited": lambda town, _number, customer: town.company.credit(customer, "500.00"),
    "due date moved": _move_due_date,
    "deleted": _delete,
    "disputed": _dispute,
    "paused": lambda town, _number, _customer: pause(town.app, town.connection, by="Ann"),
    "observed": lambda town, _number, _customer: set_mode(town.app, town.connection, "observe"),
    "approval asked": lambda town, _number, _customer: set_mode(town.app, town.connection, "approve"),
    "disconnected": lambda town, _number, _customer: disconnect(town.app, town.connection),
}


def _set_customer(**changes: Unpack[SettingChanges]) -> Change:
    def say(town: Any, _number: str, customer: str) -> None:
        with reading(town.app.engine) as session:
            found = find_customer(session, customer).external_id
        update_settings(town.app, town.connection, found, changes, by="Ann")

    return say


SOON = START.date() + timedelta(days=5)
RECORDED_CHANGES: dict[str, Change] = {
    "disputed": _dispute,
    "promised": _record_for_invoice(agreements.set_promise, on=SOON),
    "paused": _record_for_invoice(agreements.pause_reminders, until=None),
    "held": _set_customer(hold_until_on=SOON),
    "no reminders": _set_customer(no_reminders=True),
    "nothing": lambda *_nothing: None,
    "another name": _set_customer(contact_name="Bea"),  # the mail is about the same: it leaves
}


def add_late_invoice(town: Any, name: str) -> str:
    number: str = town.company.invoice(town.company.customer(name), "300.00", due_on=_today(town) - timedelta(days=9))
    return number


def change_at_reread(town: Any, change: Change, number: str, customer: str) -> Any:
    rule = town.sandbox.faults.call(
        lambda _request: change(town, number, customer),
        times=1,
        service=town.company.provider,
        **REREAD_CALL[town.company.provider],
    )
    result = town.run()
    assert rule.fired == 1
    town.sandbox.faults.clear()
    return result


def emailed_to(town: Any, name: str) -> list[str]:
    address = f"accounts@{name.partition(' ')[0].lower()}.example"
    return [subject for to, subject in town.customer_emails() if address in to and "thank" not in subject.lower()]


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_nothing_leaves_that_is_no_longer_right(quick_town: Any, provider: str) -> None:
    with quick_town(START, provider) as town:
        town.go_live()
        for place, (what, change) in enumerate(SILENT_CHANGES.items()):
            if not EVERY_ONE and place % 2 != (provider == "quickbooks") and what != "disconnected":
                continue
            name = f"Moved{place} Ltd"
            number = add_late_invoice(town, name)
            result = change_at_reread(town, change, number, name)
            assert "fault of duewell" not in result.reason, (what, result.reason)
            assert emailed_to(town, name) == [], what
            assert what == "deleted" or town.company.notes(number) == [], what
            if what == "disconnected":
                assert town.run().outcome == "action_required"
                break
            town.company.void(number) if what not in {"voided", "deleted", "paid"} else None
            resume(town.app, town.connection)
            set_mode(town.app, town.connection, "live")
            town.sandbox.clock.advance(timedelta(minutes=20))


def test_what_is_said_between_the_look_and_the_mail_is_heard(quick_town: Any) -> None:
    """All are looked at together; each one's word comes when the mail system is asked whether his address works."""
    with quick_town(START, "quickbooks") as town:
        town.go_live()
        said = {f"accounts@said{place}.example": change for place, change in enumerate(RECORDED_CHANGES.values())}
        numbers = {address: add_late_invoice(town, f"Said{place} Ltd") for place, address in enumerate(said)}
        asked: list[str] = []

        def say(request: Any) -> None:
            address = unquote(request.path.rpartition("/")[2])
            if address not in asked:
                asked.append(address)
                said[address](town, numbers[address], f"{address[9:].partition('.')[0].title()} Ltd")

        town.sandbox.faults.call(say, service="sendgrid", method="GET", path="suppression/")
        result = town.run()
        assert (result.outcome, sorted(asked)) == ("ok", sorted(said))
        assert [to[0] for to, _subject in town.customer_emails()] == list(said)[-2:]
        town.sandbox.faults.clear()
        town.run()
        assert len(town.customer_emails()) == 2


@pytest.mark.parametrize("provider", ["xero", "quickbooks"] if EVERY_ONE else ["xero"])
def test_who_has_paid_a_part_is_asked_for_the_rest(quick_town: Any, provider: str) -> None:
    with quick_town(START, provider) as town:
        town.go_live()
        number = add_late_invoice(town, "Part Ltd")
        change_at_reread(town, lambda town, number, _c: town.company.pay(number, "120.00"), number, "Part Ltd")
        town.run()
        assert len(emailed_to(town, "Part Ltd")) == 1
        [mail] = [m for m in town.sandbox.sendgrid.emails() if "accounts@part.example" in m.to]
        assert "180.00" in mail.text
        assert "180.00" in town.company.notes(number)[0]


def test_a_machine_that_slept_while_a_mail_was_written_looks_again_and_says_what_the_ledger_says(
    quick_town: Any,
) -> None:
    """Found by the campaign: the look of weeks ago reaches further back than QuickBooks remembers."""
    with quick_town(START, "quickbooks") as town:
        town.go_live()
        faults = town.sandbox.faults

        def asleep(meanwhile: timedelta, then: int = 0) -> Any:
            def wake(_request: object) -> None:
                town.sandbox.clock.advance(meanwhile)
                if then:
                    faults.refuse(then, times=9, service="quickbooks", path="/cdc$")

            rule = faults.call(wake, times=1, service="quickbooks", path="/pdf$")
            result = town.run()
            assert rule.fired == 1
            faults.clear()
            return result

        add_late_invoice(town, "Refused Ltd")
        refused = asleep(timedelta(minutes=3), 400)
        assert "would not show the invoices" in refused.reason
        assert "fault of duewell" not in refused.reason
        assert asleep(timedelta(minutes=3), 503).outcome == "deferred"
        assert town.customer_emails() == []
        assert asleep(timedelta(days=42)).outcome == "ok"
        town.run()  # the mail of weeks ago is not right any more: another is written
        assert len(emailed_to(town, "Refused Ltd")) == 1


@pytest.mark.parametrize("provider", ["xero", "quickbooks"] if EVERY_ONE else ["quickbooks"])
def test_a_changed_address_gets_one_mail_not_two(quick_town: Any, provider: str) -> None:
    with quick_town(START, provider) as town:
        town.go_live()
        number = add_late_invoice(town, "Moving Ltd")

        def move(town: Any, _number: str, customer: str) -> None:
            town.company.simulator.set_email(customer, "new@moving.example", **town.company.company_filter)

        change_at_reread(town, move, number, "Moving Ltd")
        for _hour in range(2):
            town.sandbox.clock.advance(timedelta(minutes=30))
            town.run()
        assert len(town.customer_emails()) == 1


@pytest.mark.parametrize("provider", ["xero", "quickbooks"] if EVERY_ONE else ["xero"])
def test_a_fee_whose_call_was_lost_is_not_charged_on_an_invoice_paid_since(quick_town: Any, provider: str) -> None:
    from sandbox.faults import Rule  # noqa: PLC0415

    with quick_town(START, provider) as town:
        town.go_live()
        town.set_policy('[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2025-01-01\n')
        number = add_late_invoice(town, "Late Ltd")
        fee: dict[str, dict[str, Any]] = {
            "xero": {"method": "PUT", "path": "/Invoices$"},
            "quickbooks": {"method": "POST", "path": "/invoice$"},
        }
        rule = town.sandbox.faults.add(Rule("drop_before", times=0, service=provider, **fee[provider]))
        for _day in range(12):
            town.run()
            if rule.fired:
                break
            town.sandbox.clock.advance(timedelta(days=1))
        assert [entry.kind for entry in town.outbox("sending")] == ["late_fee"]
        town.sandbox.faults.clear()
        town.company.pay(number)
        for _hour in range(2):
            town.sandbox.clock.advance(timedelta(hours=1))
            town.run()
        assert town.company.fees() == {}
        assert town.outbox("sending", "planned", "unconfirmed") == []


def test_a_fee_is_not_charged_on_what_was_disputed_while_another_was(quick_town: Any) -> None:
    """Both fees are looked at together; the second is disputed while the first is posted."""
    with quick_town(START, "xero") as town:
        town.go_live()
        town.set_policy('[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2025-01-01\n')
        numbers = {name: add_late_invoice(town, name) for name in ("First Ltd", "Second Ltd")}
        rule = town.sandbox.faults.call(
            lambda _request: _dispute(town, numbers["Second Ltd"], ""),
            times=1,
            service="xero",
            method="PUT",
            path="/Invoices$",
        )
        for _time in range(5):
            assert town.run().outcome == "ok"
            if rule.fired:
                break
            town.sandbox.clock.advance(timedelta(days=4))
        assert len(town.company.fees()) == 1
        town.run()
        assert len(town.company.fees()) == 1
        assert town.outbox("sending", "unconfirmed") == []


def test_what_is_said_while_a_company_is_decided_about_counts_at_the_next_run(
    quick_town: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick_town(START, "xero") as town:
        town.connect()
        number = add_late_invoice(town, "Slow Ltd")
        said: list[str] = []

        def slow(*facts: Any) -> Any:
            if not said:
                said.append(number)
                _dispute(town, number, "")
            return decide(*facts)

        monkeypatch.setattr(evaluate, "decide", slow)
        codes: list[str] = []
        for _run in range(2):
            town.run()
            with reading(town.app.engine) as session:
                codes += session.scalars(select(InvoiceDecisionRow.code))  # type: ignore[call-overload]
        assert codes == ["past_due", "disputed"]
