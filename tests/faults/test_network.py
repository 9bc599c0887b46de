"""Every fault of the network at every kind of call a run makes: nothing twice, nothing lost, nothing left hanging.

`make faults-long` tries all of it, the everyday tests a sample; the campaign does the same without sockets.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.audit import sync_log
from connector.db.engine import reading
from connector.db.tables import Connection, OutboxEntry, SyncLogEntry, SyncRun
from connector.vocabulary import ConnectionHealth
from providers.errors import OutcomeUnknown
from providers.mailer import SendReceipt
from providers.quickbooks.ledger import QuickBooksLedger
from providers.sendgrid.mailer import SendGridMailer
from providers.xero.ledger import XeroLedger
from sandbox.faults import Rule

POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""
START = datetime(2026, 6, 1, 11, 0, tzinfo=UTC)  # a Monday, noon in London
TIMEOUT_S = 1.0  # what a vendor that says nothing is given: long for a healthy one on a busy machine
WARM_UP_DAYS = 7  # until a fee becomes possible every day
CASES_PER_LOT = 24  # cases in one town
SAMPLE_EVERY = int(os.environ.get("FAULTS_EVERY", "61"))  # 1: all of them
LONG_AGO = "Mon, 01 Jan 2035 00:00:00 GMT"

FAULTS: dict[str, dict[str, Any]] = {
    **{f"refused_{status}": {"action": "refuse", "status": status} for status in (401, 403, 404, 409, 413)},
    "limit": {"action": "refuse", "status": 429},
    "limit_1": {"action": "refuse", "status": 429, "headers": {"Retry-After": "1"}},
    "limit_absurd": {"action": "refuse", "status": 429, "headers": {"Retry-After": "99999999999"}},
    "limit_date": {"action": "refuse", "status": 429, "headers": {"Retry-After": LONG_AGO}},
    "failed": {"action": "refuse", "status": 500},
    "failed_applied": {"action": "refuse", "status": 500, "applied": True},
    "busy": {"action": "refuse", "status": 503, "body": "<html>busy</html>"},
    "dropped": {"action": "drop_before"},
    "dropped_applied": {"action": "drop_after"},
    "reset": {"action": "drop_before", "reset": True},
    "reset_applied": {"action": "drop_after", "reset": True},
    "cut_short": {"action": "truncate"},
    "html": {"action": "html"},
    "html_applied": {"action": "html", "applied": True},
    "malformed": {"action": "malformed"},
    "redirected": {"action": "refuse", "status": 302, "headers": {"Location": "http://elsewhere.invalid/"}},
    "dripped": {"action": "drip", "seconds": 0.005},
    "silent": {"action": "hang_before"},
    "silent_applied": {"action": "hang_after"},
}
EMAIL_CALLS: dict[str, dict[str, Any]] = {
    "email": {"service": "sendgrid", "kind": "email"},
    "suppressions": {"service": "sendgrid", "path": "/v3/(suppression|asm)"},
}
CALLS: dict[str, dict[str, dict[str, Any]]] = {
    "xero": {
        "token": {"service": "xero", "kind": "token"},
        "organisation": {"service": "xero", "path": "/Organisation"},
        "invoices": {"service": "xero", "method": "GET", "path": "/Invoices$", "query": "order="},
        "contacts": {"service": "xero", "path": "/Contacts$"},
        "look": {"service": "xero", "query": "IDs="},
        "pay_link": {"service": "xero", "path": "/OnlineInvoice"},
        "pdf": {"service": "xero", "method": "GET", "path": r"/Invoices/[0-9a-f-]{36}$"},
        "note": {"service": "xero", "method": "PUT", "path": "/History$"},
        "fee": {"service": "xero", "method": "PUT", "path": "/Invoices$"},
        **EMAIL_CALLS,
    },
    "quickbooks": {
        "token": {"service": "quickbooks", "kind": "token"},
        "changes": {"service": "quickbooks", "path": "/cdc$"},
        "query": {"service": "quickbooks", "path": "/query$"},
        "second_query": {"service": "quickbooks", "path": "/query$", "nth": 2},
        "third_query": {"service": "quickbooks", "path": "/query$", "nth": 3},
        "look": {"service": "quickbooks", "path": "/cdc$", "nth": 2},
        "pay_link": {"service": "quickbooks", "query": "invoiceLink"},
        "pdf": {"service": "quickbooks", "path": "/pdf$"},
        "note": {"service": "quickbooks", "method": "POST", "path": "/attachable$"},
        "fee": {"service": "quickbooks", "method": "POST", "path": "/invoice$"},
        **EMAIL_CALLS,
    },
}
SECRETS = re.compile(r"[Bb]earer [\w.-]{12}|SG\.[\w-]{8}|refresh_token=|client_secret=|eyJ[\w-]{20}")


class Case(NamedTuple):
    """One fault at one kind of call; ``times`` of a rule, 0 for as long as the run lasts."""

    provider: str
    fault: str
    call: str
    times: int = 1

    @property
    def rule(self) -> Rule:
        return Rule(**{"times": self.times, **FAULTS[self.fault], **CALLS[self.provider][self.call]})


def sample_cases(provider: str) -> list[list[Case]]:
    """All cases of a ledger, or every so many-th, in lots that one town bears."""
    pairs = [(fault, call) for fault in FAULTS for call in CALLS[provider]]
    cases = [Case(provider, fault, call, 1 + n % 2) for n, (fault, call) in enumerate(pairs)]
    chosen = cases[::SAMPLE_EVERY]
    return [chosen[at : at + CASES_PER_LOT] for at in range(0, len(chosen), CASES_PER_LOT)]


LOTS = [pytest.param(p, lot, id=f"{p}-{n}") for p in CALLS for n, lot in enumerate(sample_cases(p))]


class LiveTown:
    """A live town where every working day one more customer falls late and another's fee becomes possible."""

    def __init__(self, town: Any) -> None:
        self.town = town
        self.day = 0
        self.runs = 0
        town.go_live()
        town.set_policy(POLICY)
        for _ in range(WARM_UP_DAYS):
            self.next_day()
            self.run()
        self.assert_finished("warm-up")

    def next_day(self) -> str:
        """Go to the next working day, a minute later than the day before: what was read then is a day old."""
        self.day += 1
        clock = self.town.sandbox.clock
        on = clock.now().date() + timedelta(days=1)
        while on.weekday() >= 5:
            on += timedelta(days=1)
        clock.set(datetime(on.year, on.month, on.day, 11, 0, tzinfo=UTC) + timedelta(minutes=self.day))
        name = self.town.company.customer(f"Late{self.day:03} Ltd")
        return str(self.town.company.invoice(name, f"{100 + self.day}.00", due_on=on - timedelta(days=9)))

    def run(self) -> Any:
        self.runs += 1
        return self.town.run()

    def run_with_fault(self, case: Case) -> int:
        """Run a day with a fault and let it recover; return how often the fault came."""
        self.next_day()
        rule = self.town.sandbox.faults.add(case.rule)
        result = self.run()
        self.town.sandbox.faults.clear()
        if "token" in case.call and result.outcome == "deferred":
            with reading(self.town.app.engine) as session:
                next_run_at = session.get_one(Connection, self.town.connection).next_run_at
            assert next_run_at is not None
            patience = timedelta(days=1) if "limit" in case.fault else timedelta(minutes=6)
            assert next_run_at - self.town.sandbox.clock.now() <= patience, case
        assert "fault of duewell" not in result.reason, (case, result.reason)
        self.check(str(case))
        self.reconnect_if_needed()
        for minutes in (5, 60):  # a lost token is asked for again within the minutes that the old one is good for
            self.town.sandbox.clock.advance(timedelta(minutes=minutes))
            assert self.run().outcome in {"ok", "deferred"}, case
        if case.fault in {"limit_absurd", "limit_date"}:  # it asked for a day of patience
            self.town.sandbox.clock.advance(timedelta(days=1))
            self.next_day()
            self.run()
        self.assert_finished(str(case))
        return int(rule.fired)

    def reconnect_if_needed(self) -> None:
        """Do what a person does where a grant died."""
        with reading(self.town.app.engine) as session:
            dead = session.get_one(Connection, self.town.connection).health == ConnectionHealth.AUTHORIZATION_EXPIRED
        if dead:
            self.town.connect()

    def check(self, label: str) -> None:
        """Count at the vendors: each mail, note and fee at most once, and none of which we know nothing."""
        town = self.town
        mails = Counter(mail.custom_args["duewell_key"] for mail in town.sandbox.sendgrid.emails())
        assert max(mails.values(), default=0) <= 1, label
        entries = town.outbox()
        done = {e.key for e in entries if e.state == "done" and e.kind == "email"}
        known = {e.key for e in entries if e.state in {"done", "unconfirmed", "sending"}}
        assert done <= set(mails), f"{label}: said to be sent, but the mail system has nothing"
        assert {key for key in mails if ":owner_email:" not in key} <= known, f"{label}: sent, but forgotten"
        for number in town.company.numbers:
            marks = [re.findall(r"\[duewell (\w+)\]", note) for note in town.company.notes(number)]
            assert len(marks) == len({str(mark) for mark in marks}), f"{label}: a note twice"
        fees = fee_numbers(town)
        assert len(fees) == len(set(fees)), f"{label}: a fee twice"
        assert len(fees) <= len([e for e in entries if e.kind == "late_fee" and e.key in known]), label

    def assert_finished(self, label: str) -> None:
        """After the faults: nothing hangs, nothing waits, and everything unsure is there to be seen."""
        self.check(label)
        left = [(e.kind, e.state, e.response) for e in self.town.outbox("planned", "awaiting_approval", "sending")]
        assert left == [], f"{label}: {left}"
        with reading(self.town.app.engine) as session:
            open_runs = session.scalars(select(SyncRun).where(col(SyncRun.ended_at).is_(None))).all()
        assert open_runs == [], label

    def find_secrets(self, said: str) -> list[str]:
        """Find secrets in everything that is kept in the open or was said."""
        settings = self.town.app.settings
        own = {settings.sendgrid_api_key, settings.xero_client_secret, settings.quickbooks_client_secret} - {""}
        with reading(self.town.app.engine) as session:
            assert sync_log.verify(session).ok
            texts = [f"{line.text} {line.facts}" for line in session.scalars(select(SyncLogEntry))]
            texts += [f"{row.response} {row.payload} {row.reason}" for row in session.scalars(select(OutboxEntry))]
        whole = "\n".join([*texts, said])
        return [whole[max(0, m.start() - 80) : m.end() + 20] for m in SECRETS.finditer(whole)] + [
            each for each in own if each in whole
        ]


def fee_numbers(town: Any) -> list[str]:
    if town.company.provider == "xero":
        return [
            i.number for i in town.company.simulator.invoices(town.company.external_id) if i.number.startswith("LF-")
        ]
    return [i["DocNumber"] for i in town.company.simulator.invoices() if i["DocNumber"].startswith("LF-")]


@pytest.mark.parametrize(("provider", "lot"), LOTS)
def test_no_fault_of_the_network_makes_anything_happen_twice_or_never(
    quick_town: Any, provider: str, lot: list[Case], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with quick_town(START, provider, TIMEOUT_S) as town:
        street = LiveTown(town)
        fired = {case: street.run_with_fault(case) for case in lot}
        assert street.find_secrets(caplog.text) == []
        states = Counter(entry.state for entry in town.outbox())
        print(f"\n{provider}: {len(lot)} faults, {street.runs} runs, {dict(states)}")  # noqa: T201 - the campaign's count
    never = [case for case, times in fired.items() if not times]
    assert never == []


# Planted bugs: what the campaign is worth is whether it finds them.

XERO, BOOKS = "providers.xero.ledger.XeroLedger", "providers.quickbooks.ledger.QuickBooksLedger"
SEND, NOTE, FEE = SendGridMailer.send, XeroLedger.add_note, QuickBooksLedger.post_late_fee
ATTEMPTS = count(1)


def resend(self: Any, mail: Any) -> SendReceipt:
    try:
        return SEND(self, mail)
    except OutcomeUnknown:
        return SEND(self, mail)


def accept_without_id(self: Any, mail: Any) -> SendReceipt:
    try:
        return SEND(self, mail)
    except OutcomeUnknown:
        return SendReceipt("believed")


def release(entry: Any, *, at: datetime, answer: str) -> None:
    del at
    entry.state, entry.response = "planned", answer


def other_key(self: Any, invoice_id: str, text: str, key: str) -> Any:
    return NOTE(self, invoice_id, text, f"{key}{next(ATTEMPTS)}")


def other_fee(self: Any, fee: Any, key: str) -> Any:
    attempt = next(ATTEMPTS)
    return FEE(self, fee._replace(number=f"{fee.number}-{attempt}"), f"{key}{attempt}")


def skip(_hour: Any) -> None:
    """Settle nothing."""


def only_new(_connection: Any, entry: Any, _now: datetime) -> bool:
    return not entry.attempts


class Bug(NamedTuple):
    """A bug that is planted, and the case that must find it."""

    what: str
    where: str
    bug: Any
    case: Case


SEND_EMAIL = "providers.sendgrid.mailer.SendGridMailer.send"
PLANTED = [
    Bug("sends again after a timeout", SEND_EMAIL, resend, Case("xero", "silent_applied", "email")),
    Bug("sends again after an error", SEND_EMAIL, resend, Case("quickbooks", "failed_applied", "email")),
    Bug("believes an answer without an id", SEND_EMAIL, accept_without_id, Case("xero", "html", "email")),
    Bug(
        "frees what is in doubt",
        "connector.outbox.entries.mark_doubt",
        release,
        Case("quickbooks", "dropped_applied", "email"),
    ),
    Bug("keys a note by attempt", f"{XERO}.add_note", other_key, Case("xero", "dropped_applied", "note")),
    Bug("numbers a fee by attempt", f"{BOOKS}.post_late_fee", other_fee, Case("quickbooks", "dropped_applied", "fee")),
    Bug("never settles", "connector.delivery.recover.settle_what_was_left", skip, Case("xero", "dropped", "note", 2)),
    Bug("gives up after a limit", "connector.outbox.entries.may_leave", only_new, Case("xero", "limit", "email")),
]
SELECTED_BUGS = PLANTED if SAMPLE_EVERY == 1 else PLANTED[4:5]


@pytest.mark.parametrize("bug", SELECTED_BUGS, ids=[bug.what for bug in SELECTED_BUGS])
def test_the_campaign_finds_a_planted_bug(quick_town: Any, monkeypatch: pytest.MonkeyPatch, bug: Bug) -> None:
    with quick_town(START, bug.case.provider, TIMEOUT_S) as town:
        street = LiveTown(town)
        monkeypatch.setattr(bug.where, bug.bug)
        with pytest.raises(AssertionError):
            street.run_with_fault(bug.case)
