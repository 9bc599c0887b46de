"""Deciding about some customers only: the plan is the one that deciding about everybody brings."""

from __future__ import annotations

import os
import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import Session

from connector.arrangements import customer_settings
from connector.arrangements.customer_settings import SettingChanges
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.outbox import approvals
from connector.run import run_connection
from connector.services import invoices
from connector.sync import changed_customers
from connector.vocabulary import ConnectionMode
from tests.connector.scenario import LEDGERS, Scenario, open_scenario_app

POLICY = "[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-01\n"
_NAMES = ("Ashdown", "Birch", "Cedar", "Dunmore", "Elder", "Fernhill")
_PLAN = (
    "SELECT invoice_id, customer_id, kind, code, reason, next_step, next_on, segment FROM invoice_decision",
    "SELECT key, kind, state, customer_id, content_hash, send_after, reason FROM outbox",
    "SELECT key, code, state, reason, customer_id FROM task",
    "SELECT customer_id, code, invoice_id, reason FROM exception",
)


Plan = list[list[tuple[object, ...]]]


def plan(session: Session) -> Plan:
    return [sorted(map(tuple, session.execute(text(each))), key=repr) for each in _PLAN]


def decide_about_everybody(scenario: Scenario, home: Path) -> Plan:
    """Return the plan after the same sync of a copy in which no decision stands."""
    app = open_scenario_app(scenario.sandbox, scenario.sandbox_url, home)
    with reading(scenario.app.engine) as session:
        [token] = session.execute(text("SELECT token, token_expires_at FROM grant_token")).all()
    with writing(app.engine) as session:
        session.execute(text("UPDATE connection SET decision_fingerprint = ''"))
        session.execute(
            text("UPDATE grant_token SET token = :token, token_expires_at = :token_expires_at"), dict(token._mapping)
        )
    assert "decisions" in run_connection(app, scenario.connection).counts
    with reading(app.engine) as session:
        found = plan(session)
    app.close()
    shutil.rmtree(home)
    return found


class Life:
    """Random business at a small company, some of it by its bookkeeper in duewell."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self.random = scenario, random.Random(seed)
        self.names = [scenario.company.customer(f"{name} Ltd") for name in _NAMES]
        shared = [scenario.company.customer(f"{name} Ltd", "office@group.example") for name in ("Garland", "Hollins")]
        self.names += shared
        self.numbers: list[str] = []
        for name in 2 * self.names:
            self.add_invoice(name)

    def add_invoice(self, name: str = "") -> None:
        due_on = self.scenario.today + timedelta(days=self.random.randrange(-30, 40))
        amount = f"{self.random.choice([90, 400, 1500, 6000])}.{self.random.randrange(10, 99)}"
        name = name or self.random.choice(self.names)
        self.numbers.append(self.scenario.company.invoice(name, amount, due_on=due_on))

    def pay(self) -> None:
        balances = self.scenario.company.open_balances()
        unpaid = [each for each in self.numbers if balances[each] > 1]
        number = self.random.choice(unpaid)
        on = self.scenario.days_ago(self.random.choice([0, 0, 0, 20]))
        self.scenario.company.pay(number, self.random.choice(["1.00", "2.00", str(balances[number])]), on=on)

    def take_back(self) -> None:
        balances = self.scenario.company.open_balances()
        if paid := [each for each in self.numbers if not balances[each]]:
            self.scenario.company.delete_payment(self.random.choice(paid))

    def move(self) -> None:
        balances = self.scenario.company.open_balances()
        number = self.random.choice([each for each in self.numbers if balances[each]])
        self.scenario.company.move_due(number, self.scenario.today + timedelta(days=self.random.randrange(-9, 20)))

    def credit(self) -> None:
        self.scenario.company.credit(self.random.choice(self.names), "55.00")

    def share_address(self) -> None:
        name = self.random.choice(self.names)
        self.scenario.company.simulator.set_email(name, "office@group.example", **self.scenario.company.company_filter)

    def pause(self) -> None:
        with reading(self.scenario.app.engine) as session:
            customer_id = invoices.find_invoice(session, self.random.choice(self.numbers)).customer_id
        until_on = self.scenario.today + timedelta(days=self.random.randrange(1, 9))
        changes: SettingChanges = {"hold_until_on": until_on}
        customer_settings.update_settings(self.scenario.app, self.scenario.connection, customer_id, changes, by="Ann")

    def approve(self) -> None:
        with writing(self.scenario.app.engine) as session:
            for entry in self.scenario.outbox("awaiting_approval")[:2]:
                approvals.approve(session, [entry.id or 0], by="Ann", at=self.scenario.app.now())

    def step(self) -> None:
        """An hour or a night passes, and something happens in it."""
        self.scenario.sandbox.clock.advance(timedelta(minutes=self.random.choice([*(9 * [20]), 960])))
        rarely = [
            self.approve,
            self.add_invoice,
            self.take_back,
            self.move,
            self.credit,
            self.share_address,
            self.pause,
        ]
        self.random.choice([*(8 * [self.pay]), *rarely])()


@pytest.mark.parametrize("scenario", LEDGERS, indirect=True)
@pytest.mark.parametrize("seed", range(3, 3 + int(os.environ.get("LIVES", "1"))))
def test_whoever_is_decided_about_the_plan_is_that_of_deciding_about_everybody(
    scenario: Scenario, seed: int, tmp_path: Path
) -> None:
    """LIVES and HOURS in the environment make it longer."""
    life = Life(scenario, seed)
    scenario.set_policy(POLICY)
    scenario.go_live()
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    scenario.run()
    for number in range(int(os.environ.get("HOURS", "5"))):
        life.step()
        home = shutil.copytree(scenario.app.settings.duewell_home, tmp_path / f"copy-{number}")
        scenario.run()
        with reading(scenario.app.engine) as session:
            found = plan(session)
        assert found == decide_about_everybody(scenario, home), f"step {number}"


@pytest.fixture
def quiet(scenario: Scenario) -> Scenario:
    """Three customers, two of whom share their mailbox, with an invoice each that is not due; nothing changes."""
    company = scenario.company
    for name, email in (
        ("Ashdown Ltd", ""),
        ("Birch Ltd", "office@group.example"),
        ("Cedar Ltd", "office@group.example"),
    ):
        company.invoice(company.customer(name, email), "120.00", due_on=scenario.today + timedelta(days=30))
    scenario.go_live()
    for _hour in range(3):
        scenario.run()
    scenario.sandbox.clock.advance(timedelta(hours=1))  # what was changed just before a sync is read again by the next
    scenario.run()
    assert scenario.run().counts["unchanged"]
    return scenario


def decided(scenario: Scenario) -> int:
    scenario.sandbox.clock.advance(timedelta(hours=1))
    return scenario.run().counts.get("decisions", 0)


def test_after_a_payment_only_those_are_decided_about_whom_it_can_affect(quiet: Scenario) -> None:
    ashdown, birch, _cedar = quiet.company.numbers
    quiet.company.pay(ashdown, "1.00", on=quiet.today)
    counts = [decided(quiet)]
    quiet.company.pay(birch, "1.00", on=quiet.today)  # who shares a mailbox with the third
    counts.append(decided(quiet))
    assert counts == [1, 2]


def test_what_all_customers_are_compared_by_brings_decisions_about_all(quiet: Scenario) -> None:
    name = quiet.company.customer("Dunmore Ltd")
    quiet.company.invoice(name, "99000.00", due_on=quiet.today + timedelta(days=30))  # what is large has changed
    counts = [decided(quiet)]
    quiet.company.pay(quiet.company.numbers[0], on=quiet.days_ago(1))  # the first that was paid in full
    assert [*counts, decided(quiet)] == [4, 4]


def test_changes_that_a_run_cannot_assign_bring_decisions_about_all(
    quiet: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    ashdown = quiet.company.numbers[0]
    quiet.company.pay(ashdown, "1.00", on=quiet.today)
    decided(quiet)
    quiet.company.delete_payment(ashdown)
    counts = [decided(quiet)]
    with writing(quiet.app.engine) as session:  # as somebody does who matches money on a bank statement
        session.execute(text("UPDATE connection SET mirror_version = mirror_version + 1"))
    quiet.company.pay(ashdown, "2.00", on=quiet.today)
    counts.append(decided(quiet))
    monkeypatch.setattr(changed_customers, "_NOTED_MAX", 1)  # many pages, each of them small
    quiet.company.pay(ashdown, "3.00", on=quiet.today)
    assert [*counts, decided(quiet)] == [3, 3, 3]
