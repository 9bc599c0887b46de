"""A made year of real syncs: who is reminded although a statement has their money, and who waits for nothing.

``python -m benchmarks.bank_syncs [--customers N] [--months N] [--seed N]`` runs it on both simulated ledgers and exits
1 where anybody was reminded of money that a statement had.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select
from sqlmodel import col

from benchmarks.bank_year import FIRST, Payment, Year, book, make_year
from connector.db.engine import reading
from connector.db.tables import OutboxEntry
from connector.services import bank_statements
from connector.vocabulary import OutboxKind, OutboxState
from policies.receivables import Step
from sandbox import Sandbox
from tests.connector.scenario import LEDGERS, Scenario, make_scenario

_NO_DEMAND = frozenset({Step.THANK_YOU, Step.RECEIPT_CHECK})
_ZERO, _SATURDAY = Decimal(0), 5
_OUTGOING = ("Payroll", "Tax Office VAT", "Office Rent", "Own Savings Account", "Refund to a customer")


@dataclass(slots=True)
class SyncedYear:
    """What the syncs of a year sent; ``wrong`` are emails that asked for money which a statement had."""

    sent: int = 0  # emails that asked for money
    needless: int = 0  # emails that awaited approval for money that was another's
    waiting: int = 0  # emails that awaited approval, and money was there
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _State:
    scenario: Scenario
    year: Year
    ids: dict[str, str] = field(default_factory=dict)  # of invoices in the ledger, by the year's own
    paid: dict[str, Decimal] = field(default_factory=dict)
    in_bank: list[Payment] = field(default_factory=list)  # imported, and not booked yet
    seen: set[str] = field(default_factory=set)
    result: SyncedYear = field(default_factory=SyncedYear)


def run_year(scenario: Scenario, year: Year, *, every_days: int = 3) -> SyncedYear:
    """Live through a year at a company that has no customers yet: bill, import statements, book late, sync."""
    state = _State(scenario, year, paid=dict.fromkeys(year.invoices, _ZERO))
    for family, (name,) in year.names.items():
        scenario.company.customer(name, f"accounts@{family}.example")
    scenario.go_live()
    chance, before = random.Random(1), scenario.today
    last_on = max(each.issued_on for each in year.invoices.values()) + timedelta(days=45)
    while scenario.today <= last_on:
        scenario.pass_days(1 if scenario.today.weekday() + every_days in {_SATURDAY, _SATURDAY + 1} else every_days)
        if scenario.today.weekday() >= _SATURDAY:
            scenario.pass_days(7 - scenario.today.weekday())
        _bill(state)
        _book(state)
        _import(state, chance, before)
        before = scenario.today
        scenario.run()
        _judge(state)
    return state.result


def _bill(state: _State) -> None:
    company, today = state.scenario.company, state.scenario.today
    for each in state.year.invoices.values():
        if each.id in state.ids or each.issued_on > today:
            continue
        name, due_on = state.year.names[each.family][0], each.due_on or each.issued_on
        if company.provider == "xero":
            dates = {"on": each.issued_on.isoformat(), "due_on": due_on.isoformat()}
            made = company.simulator.add_invoice(
                name, str(each.due), sent=True, number=each.number, **dates, **company.company_filter
            )
            state.ids[each.id] = made.id
        else:
            made = company.simulator.add_invoice(name, str(each.due), number=each.id, on=each.issued_on, due_on=due_on)
            state.ids[each.id] = made["Id"]
            company.simulator.renumber(made["Id"], each.number)  # as the browser does: also to one that is taken


def _book(state: _State) -> None:
    """Enter the payments whose time has come; what a bank or a discount took is entered as paid, too."""
    company, today = state.scenario.company, state.scenario.today
    for payment in state.year.payments:
        if payment.booked_on > today or payment not in state.in_bank:
            continue
        state.in_bank.remove(payment)
        for invoice_id, amount in book(state.year, payment, state.paid):
            external_id = state.ids[invoice_id]
            if company.provider == "xero":
                on = payment.receipt.booked_on.isoformat()
                company.simulator.pay(external_id, str(amount), on, **company.company_filter)
            else:
                company.simulator.pay(external_id, str(amount), on=payment.receipt.booked_on)


def _import(state: _State, chance: random.Random, before: date) -> None:
    today = state.scenario.today
    new = [each for each in state.year.payments if before <= each.receipt.booked_on < today]
    if new:
        state.in_bank += new
        name = f"{today.isoformat()}.csv"
        content = _write(chance, new, today - timedelta(days=1))
        bank_statements.import_file(state.scenario.app, state.scenario.connection, content, name=name, by="ann")


def _write(chance: random.Random, payments: Iterable[Payment], on: date) -> bytes:
    rows = ["Date;Name;Counterparty account;Description;Amount;Currency"]
    for each in payments:
        one = each.receipt
        rows.append(f"{one.booked_on};{one.payer};{one.payer_account};{one.text};{one.amount:.2f};GBP")
    rows += [f"{on};{name};;June;-{chance.randrange(100, 9000)}.00;GBP" for name in _OUTGOING if chance.random() < 0.2]
    return "\n".join(rows).encode()


def _judge(state: _State) -> None:
    """Count the emails of this sync: what asks for money in the bank, and what waits without any."""
    names = {external_id: own for own, external_id in state.ids.items()}
    money = {key for payment in state.in_bank for key in payment.invoices}
    families = {each.family for each in state.in_bank if each.family}
    with reading(state.scenario.app.engine) as session:
        query = select(OutboxEntry).where(
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
            col(OutboxEntry.state).in_([OutboxState.DONE, OutboxState.AWAITING_APPROVAL]),
        )
        for entry in session.scalars(query):
            if f"{entry.key} {entry.state}" in state.seen or entry.step in _NO_DEMAND:
                continue
            state.seen.add(f"{entry.key} {entry.state}")
            asked = {names[key]: Decimal(due) for key, due in entry.payload["due"].items() if key in names}
            if entry.state == OutboxState.AWAITING_APPROVAL:
                if not entry.payload.get("possible_payments"):
                    continue
                is_theirs = any(state.year.invoices[key].family in families for key in asked)
                state.result.waiting += is_theirs
                state.result.needless += not is_theirs
                continue
            state.result.sent += 1
            for key in money.intersection(asked):
                if asked[key] > _left(state, key):
                    invoice = state.year.invoices[key]
                    state.result.wrong.append(f"{state.scenario.today} {entry.step} {invoice.number} {asked[key]}")


def _left(state: _State, invoice_id: str) -> Decimal:
    """Return what is really owed on an invoice whose money is partly or wholly in the bank."""
    due = state.year.invoices[invoice_id].due - state.paid[invoice_id]
    for payment in state.in_bank:
        if invoice_id in payment.invoices:
            due = _ZERO if payment.settles else due - payment.receipt.amount
    return max(due, _ZERO)


def main() -> int:
    """Run the year on both ledgers, and print what was sent."""
    parser = argparse.ArgumentParser(description="A year of syncs with bank statements.")
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    wrong = 0
    for provider in LEDGERS:
        year = make_year(asked.seed, asked.customers, asked.months, repeat_numbers=provider == "quickbooks")
        sandbox = Sandbox(now=datetime(FIRST.year, FIRST.month, FIRST.day, 11, tzinfo=UTC))
        with tempfile.TemporaryDirectory() as home, sandbox.serve() as url:
            Path(home).chmod(0o700)
            scenario = make_scenario(sandbox, url, Path(home), provider)
            found = run_year(scenario, year)
            scenario.app.close()
        wrong += len(found.wrong)
        print(
            f"{provider}: {found.sent} emails asked for money, {len(found.wrong)} of them for what a statement had;"
            f" {found.waiting} awaited approval for money that was there, {found.needless} for money of others"
        )
        print("\n".join(found.wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
