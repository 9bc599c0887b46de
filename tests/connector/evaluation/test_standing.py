"""How long decisions stand: every fact that one depends on brings new ones at the next sync, whoever changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements, customer_settings, suppressions, undone_agreements
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import SettingChanges
from connector.auth import preferences, users
from connector.connections import account_owners, registry
from connector.db.engine import reading, writing
from connector.db.tables import Agreement, Connection, InvoiceRow, User
from connector.emails.outbound import digests
from connector.evaluation import evaluate, standing
from connector.restore.restore_gap import mark_restored_by_hand
from connector.services import added_rates, bank_details, invoices
from connector.sync.mirror.pages import store_page
from connector.vocabulary import ConnectionMode, OutboxKind
from policies.fee_rules import FeePreset
from policies.rate_tables import AddedRate
from providers.ledger import ChangePage
from tests.connector.scenario import Scenario

pytestmark = pytest.mark.parametrize("scenario", ["xero"], indirect=True)
ACCOUNT = {"currency": "GBP", "payee": "Small Works Ltd", "bank_code": "12-34-56", "account_number": "01234567"}
OTHER_ACCOUNT = ACCOUNT | {"account_number": "76543210"}


def invoice_row(scenario: Scenario) -> InvoiceRow:
    with reading(scenario.app.engine) as session:
        return invoices.find_invoice(session, scenario.number)


def settle(scenario: Scenario) -> None:
    """Sync until nobody is decided about."""
    for _run in range(5):
        if scenario.run().counts.get("unchanged"):
            return
    pytest.fail("every sync decides anew, though nothing changes")


def set_up(scenario: Scenario, **changes: Any) -> None:
    settings = scenario.app.settings.model_copy(update=changes)
    scenario.app = replace(scenario.app, settings=settings)


def agree(change: Callable[..., Any], **details: Any) -> Callable[[Scenario], object]:
    return lambda scenario: invoices.record_agreement(
        scenario.app, invoice_row(scenario), "ann@late.example", change, **details
    )


def undo_newest(scenario: Scenario) -> None:
    attribution = Attribution("ann@late.example", scenario.app.now())
    with writing(scenario.app.engine) as session:
        newest = session.scalars(select(Agreement).order_by(col(Agreement.id).desc())).first()
        assert newest is not None
        invoice = invoices.find_invoice(session, scenario.number)
        undone_agreements.undo_agreement(session, invoice, newest.id or 0, attribution)


def customer(changes: SettingChanges) -> Callable[[Scenario], object]:
    def change(scenario: Scenario) -> None:
        customer_id = invoice_row(scenario).customer_id
        customer_settings.update_settings(scenario.app, scenario.connection, customer_id, changes, by="Ann")

    return change


def write(change: Callable[..., object], *arguments: Any, **details: Any) -> Callable[[Scenario], object]:
    """Return the change as a user makes it, in a transaction."""

    def act(scenario: Scenario) -> None:
        with writing(scenario.app.engine) as session:
            change(session, *arguments, **details)

    return act


def prefer(scenario: Scenario) -> None:
    with writing(scenario.app.engine) as session:
        user = session.scalars(select(User)).first()
        assert user is not None
        zone = "Asia/Tokyo" if user.time_zone != "Asia/Tokyo" else "UTC"
        preferences.update_preferences(session, user.id or 0, time_zone=zone, digest_at="07:30", digest_off=False)


def at(scenario: Scenario) -> datetime:
    return scenario.app.now()


RATE = AddedRate(
    preset=FeePreset.UK,
    from_on=date(2026, 7, 1),
    rate=Decimal("12.5"),
    source="https://bank.example/rates",
    checked_on=date(2026, 6, 9),
)
DAY = date(2026, 6, 22)
CHANGES: dict[str, Callable[[Scenario], object]] = {
    "a policy": lambda scenario: scenario.set_policy('tone = "firm"\n'),
    "a rate": lambda scenario: write(
        added_rates.add_rates, [RATE], by="Ann", at=at(scenario), connection_id=None, replace=True
    )(scenario),
    "a promise": agree(agreements.set_promise, on=DAY),
    "an undone promise": undo_newest,
    "a second contact": customer({"second_contact": "boss@late.example"}),
    "a customer's address": customer({"emails": "new@late.example"}),
    "a customer's owner": customer({"owner": "Bo <bo@small.example>"}),
    "a stop": customer({"no_reminders": True}),
    "a default owner": lambda scenario: account_owners.set_default_owner(
        scenario.app, scenario.connection, "ann@small.example", by="Ann"
    ),
    "a user": lambda scenario: write(users.add_user, "cy@small.example", "bookkeeper", by="Ann", at=at(scenario))(
        scenario
    ),
    "a user's digest": prefer,
    "a disabled user": lambda scenario: write(users.disable, "cy@small.example", by="Ann", at=at(scenario))(scenario),
    "an unsubscribed address": lambda scenario: write(
        suppressions.suppress, "new@late.example", suppressions.GROUP_UNSUBSCRIBE, at(scenario)
    )(scenario),
    "a released address": write(suppressions.release, "new@late.example"),
    "an unsubscribed address again": lambda scenario: write(
        suppressions.suppress, "new@late.example", suppressions.GROUP_UNSUBSCRIBE, at(scenario)
    )(scenario),
    "the same address, which bounces": lambda scenario: write(
        suppressions.suppress, "new@late.example", "bounced", at(scenario)
    )(scenario),
    "an address that works again": write(suppressions.unsuppress, ["new@late.example"]),
    "a sender": lambda scenario: set_up(scenario, mail_from="office@small.example"),
    "an address for answers": lambda scenario: set_up(scenario, mail_reply_to="answers@small.example"),
    "a web address": lambda scenario: set_up(scenario, duewell_base_url="https://pay.small.example"),
    "approval before sending": lambda scenario: registry.set_mode(
        scenario.app, scenario.connection, ConnectionMode.APPROVE
    ),
    "live mode": lambda scenario: registry.set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE),
    "a pause of the company": lambda scenario: registry.pause(scenario.app, scenario.connection, reason="holidays"),
    "a bank account": lambda scenario: bank_details.set_bank_details(
        scenario.app, scenario.connection, ACCOUNT, by="Ann"
    ),
    "a restored backup": lambda scenario: write(mark_restored_by_hand, at(scenario), at(scenario))(scenario),
    "three days asleep": lambda scenario: scenario.pass_days(3),
    "a clock set back": lambda scenario: scenario.sandbox.clock.advance(timedelta(hours=-2)),
    "the money": lambda scenario: scenario.company.pay(scenario.number),
}


def test_whatever_a_decision_depends_on_brings_new_ones_at_the_next_sync(late_customer: Scenario) -> None:
    unnoticed = []
    for name, change in CHANGES.items():
        settle(late_customer)
        change(late_customer)
        if late_customer.run().counts.get("unchanged"):
            unnoticed.append(name)
    assert unnoticed == []


def test_another_version_of_the_program_decides_anew(late_customer: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(late_customer)
    monkeypatch.setattr(standing, "_program_version", lambda: "99.0")
    assert late_customer.run().counts["decisions"] == 1


def test_a_bank_account_that_comes_into_use_brings_new_decisions_at_that_instant(late_customer: Scenario) -> None:
    bank_details.set_bank_details(late_customer.app, late_customer.connection, ACCOUNT, by="Ann")
    bank_details.set_bank_details(late_customer.app, late_customer.connection, OTHER_ACCOUNT, by="Ann")
    late_customer.sandbox.clock.advance(timedelta(hours=23, minutes=30))
    settle(late_customer)
    late_customer.sandbox.clock.advance(timedelta(minutes=31))  # still the same send window
    assert late_customer.run().counts.get("decisions") == 1
    settle(late_customer)


def test_what_changes_while_decisions_are_made_is_decided_about_at_the_next_sync(
    late_customer: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's digest time leaves no trace in the log: it only has the decisions not stand."""
    write(users.add_user, "cy@small.example", "bookkeeper", by="Ann", at=at(late_customer))(late_customer)
    original = evaluate._decide

    def decide_slowly(*arguments: Any) -> Any:
        batch = original(*arguments)
        prefer(late_customer)
        return batch

    settle(late_customer)
    late_customer.set_policy('tone = "firm"\n')
    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "_decide", decide_slowly)
        assert late_customer.run().counts["decisions"] == 1
    assert late_customer.run().counts.get("decisions") == 1


def test_decisions_from_old_data_do_not_stand_once_the_ledger_is_read(
    late_customer: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(late_customer)
    late_customer.pass_days(3)
    with monkeypatch.context() as patched:
        patched.setattr("connector.run.pull.pull_changes", lambda _ctx: None)
        for _run in range(3):
            late_customer.run()
    assert late_customer.run().counts["decisions"] == 1


def test_a_digest_goes_to_the_sender_that_was_set_since(late_customer: Scenario) -> None:
    late_customer.sandbox.clock.advance(timedelta(hours=18))  # before the digest of the day after is sent
    settle(late_customer)
    set_up(late_customer, mail_from="office@small.example", mail_reply_to="")
    late_customer.run()
    (digest,) = [each for each in late_customer.outbox("planned") if each.kind == OutboxKind.OWNER_EMAIL]
    assert digest.payload["to"] == [digests.default_recipient(late_customer.app.settings)]


def test_a_payment_that_turns_out_to_be_a_write_off_counts_as_a_change(late_customer: Scenario) -> None:
    late_customer.company.pay(late_customer.number, "10.00")
    late_customer.run()
    page = ChangePage(cursor="", write_offs=["a payment"])
    with writing(late_customer.app.engine) as session:
        counts = [store_page(session, late_customer.connection, page, at=datetime.now(UTC)).changed for _time in "12"]
        page = ChangePage(cursor="", no_write_offs=["a payment"])
        counts.append(store_page(session, late_customer.connection, page, at=datetime.now(UTC)).changed)
        assert session.get_one(Connection, late_customer.connection).mirror_version > 0
    assert counts == [1, 0, 1]
