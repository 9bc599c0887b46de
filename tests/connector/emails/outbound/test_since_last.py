"""Three customers in one quarter: forgetful, disputing, in trouble. What each was sent, read in a row.

On Xero they are written to in English, on QuickBooks in German. ``SHOW=1`` with ``-s`` prints all of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import SettingChanges, find_customer, update_settings
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceRow
from connector.emails.inbound.replies import receive_answer
from connector.emails.inbound.reply_parsing import Reply
from connector.vocabulary import RunOutcome
from sandbox import Sandbox
from sandbox.sendgrid.message_store import Email
from tests.connector.scenario import LEDGERS, Scenario, make_scenario

START = datetime(2026, 1, 5, 11, tzinfo=UTC)
FORGETFUL, DISPUTING, TROUBLED = CUSTOMERS = ("Forgetful Ltd", "Disputing Ltd", "Troubled Ltd")
SYNCED_DAYS = (1, 11, 15, 18, 22, 25, 29, 32, 39, 46, 50, 53, 57, 60, 67, 71, 78, 81, 85)
AMOUNT = re.compile(r"£([\d.,]*\d)|([\d.,]*\d)\s£")
# What an email says has come: "we have received £900.00", "sind 900,00 £ bei uns eingegangen"
RECEIVED = re.compile(
    r"(?:have received(?: your payment of)?|Your payment of|Ihre Zahlung von|Wir haben) (£[\d.,]*\d|[\d.,]*\d\s£)"
    r"|sind ([\d.,]*\d\s£) bei uns eingegangen"
)
FIGURES = re.compile(r"[\d.,]*\d|January|February|March|April|Januar|Februar|März|April|http\S+|AUTO-|I-")


def amounts_in(text: str) -> set[Decimal]:
    """Return every amount that a text names, in either language."""
    found = ("".join(match).replace(",", "").replace(".", "") for match in AMOUNT.findall(text))
    return {Decimal(digits) / 100 for digits in found}


@dataclass(slots=True)
class Quarter:
    """A company with three customers, and what each of them was billed and paid, by date."""

    scenario: Scenario
    numbers: dict[str, str] = field(default_factory=dict)  # of the invoices, by the name they have here
    owners: dict[str, str] = field(default_factory=dict)
    booked: list[tuple[date, str, Decimal]] = field(default_factory=list)  # payments are negative

    def bill(self, name: str, customer: str, amount: str, *, in_days: int = 20) -> None:
        today = self.scenario.today
        self.owners[name] = customer
        self.numbers[name] = self.scenario.company.invoice(
            customer, amount, on=today, due_on=today + timedelta(days=in_days)
        )
        self.booked.append((today, customer, Decimal(amount)))

    def pay(self, name: str, amount: str) -> None:
        self.scenario.company.pay(self.numbers[name], amount, on=self.scenario.today)
        self.booked.append((self.scenario.today, self.owners[name], -Decimal(amount)))

    def change(self, act: Callable[..., object], name: str, **arguments: Any) -> None:
        app = self.scenario.app
        with writing(app.engine) as session:
            query = select(InvoiceRow).where(col(InvoiceRow.number) == self.numbers[name])
            act(session, session.scalars(query).one(), Attribution("Ann", app.now()), **arguments)

    def promise(self, name: str, *, in_days: int) -> None:
        self.change(agreements.set_promise, name, on=self.scenario.today + timedelta(days=in_days))

    def reply(self, customer: str, text: str) -> None:
        app = self.scenario.app
        with reading(app.engine) as session:
            row = find_customer(session, customer)
            key = (row.connection_id, row.external_id)
        receive_answer(app, Reply(customer, (), "jo@customer.example", "Re: your email", text, ""), [key])

    def emails(self, customer: str) -> list[Email]:
        return self.scenario.sandbox.sendgrid.emails_to(f"accounts@{customer.partition(' ')[0].lower()}.example")

    def balance(self, customer: str, on: date) -> Decimal:
        return sum((each for day, who, each in self.booked if who == customer and day <= on), Decimal(0))

    def payments(self, customer: str, on: date) -> list[Decimal]:
        return [-each for day, who, each in self.booked if who == customer and day <= on and each < 0]


def begin(quarter: Quarter) -> None:
    """Bill them, and go live; each has a contact and an account owner."""
    scenario = quarter.scenario
    for customer in CUSTOMERS:
        scenario.company.customer(customer)
    quarter.bill("january", FORGETFUL, "480.00")
    quarter.bill("hall", DISPUTING, "2400.00", in_days=7)
    quarter.bill("stock", TROUBLED, "3000.00", in_days=7)
    scenario.set_policy('[promise_broken]\nkind = "email"\nby_call = []\n')
    scenario.go_live()
    language = "de" if scenario.company.provider == "quickbooks" else "en"
    with reading(scenario.app.engine) as session:
        ids = [find_customer(session, customer).external_id for customer in CUSTOMERS]
    settings = SettingChanges(language=language, contact_name="Jo Vale", owner="Anna Berg <anna@small.example>")
    for each in ids:
        update_settings(scenario.app, scenario.connection, each, settings, by="Ann")


def play(quarter: Quarter) -> None:
    """Play thirteen weeks; what happens is by the day."""
    events: dict[int, list[Callable[[], None]]] = {
        15: [lambda: quarter.reply(DISPUTING, "Two pallets were missing.")],
        18: [lambda: quarter.change(agreements.record_dispute, "hall", reason="two pallets missing")],
        22: [lambda: quarter.promise("stock", in_days=5)],
        29: [lambda: quarter.bill("february", FORGETFUL, "495.00"), lambda: quarter.pay("january", "480.00")],
        31: [lambda: quarter.change(agreements.resolve_dispute, "hall", outcome="delivered later")],
        32: [lambda: quarter.pay("stock", "500.00")],
        36: [lambda: quarter.promise("stock", in_days=7)],
        46: [lambda: quarter.pay("hall", "900.00")],
        57: [lambda: quarter.bill("march", FORGETFUL, "510.00"), lambda: quarter.pay("february", "495.00")],
        60: [lambda: quarter.pay("hall", "1500.00"), lambda: quarter.reply(TROUBLED, "We are waiting for a grant.")],
        85: [lambda: quarter.pay("march", "510.00")],
    }
    scenario = quarter.scenario
    for day in range(SYNCED_DAYS[-1] + 1):
        for act in events.get(day, []):
            act()
        if day in SYNCED_DAYS:
            assert scenario.run().outcome == RunOutcome.OK
        scenario.pass_days(1)


@pytest.fixture(scope="module", params=LEDGERS)
def quarter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]
) -> Iterator[Quarter]:
    sandbox = Sandbox(now=START)
    sandbox.xero.limits.minute = 0
    with sandbox.serve() as url:
        played = Quarter(make_scenario(sandbox, url, new_home(tmp_path_factory.mktemp("home")), request.param))
        begin(played)
        play(played)
        played.scenario.app.close()
        yield played


def body(email: Email) -> str:
    """Return what an email says without its footer."""
    return email.text.partition("\n-- \n")[0]


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_no_two_emails_to_a_customer_are_worded_alike(quarter: Quarter, customer: str) -> None:
    emails = quarter.emails(customer)
    if os.environ.get("SHOW"):
        print(*(f"=== {email.at:%d %b} {email.subject}\n{body(email)}\n" for email in emails), sep="\n")  # noqa: T201 - for whoever reads it
    assert len(emails) >= 6
    forms = [FIGURES.sub("#", body(email)) for email in emails]
    assert [form for form in forms if forms.count(form) > 1] == []
    assert all("Jo Vale" in email.text and "Anna Berg" in email.text for email in emails)


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_every_sum_is_what_they_owe_or_have_paid(quarter: Quarter, customer: str) -> None:
    for email in quarter.emails(customer):
        on = email.at.date()
        paid = quarter.payments(customer, on)
        billed = {each for day, who, each in quarter.booked if who == customer and day <= on and each > 0}
        known = {quarter.balance(customer, on), *billed, *paid, sum(paid, Decimal(0))}
        assert amounts_in(body(email)) <= known, email.subject


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_they_are_thanked_for_money_that_came_and_for_nothing_else(quarter: Quarter, customer: str) -> None:
    thanked = Decimal(0)
    for email in quarter.emails(customer):
        for match in RECEIVED.findall(body(email)):
            (amount,) = amounts_in("".join(match))
            assert amount in {
                *quarter.payments(customer, email.at.date()),
                sum(quarter.payments(customer, email.at.date())),
            }
            thanked += amount
    assert bool(thanked) == bool(quarter.payments(customer, quarter.scenario.today))


def test_an_email_says_what_came_and_what_was_said_since_the_last(quarter: Quarter) -> None:
    disputed = "\n".join(body(email) for email in quarter.emails(DISPUTING))
    troubled = "\n".join(body(email) for email in quarter.emails(TROUBLED))
    if quarter.scenario.company.provider == "xero":
        assert "the query that you raised on 23 January 2026" in disputed
        assert "we have received £900.00; thank you." in disputed
        assert "An earlier date that you had named, 1 February 2026, has passed as well." in troubled
    else:
        assert "Ihre Beanstandung vom 23. Januar 2026 haben wir bearbeitet" in disputed
        assert "sind 900,00 £ bei uns eingegangen; vielen Dank dafür" in disputed
        assert "Auch ein früherer Termin, der 1. Februar 2026, ist bereits verstrichen." in troubled
