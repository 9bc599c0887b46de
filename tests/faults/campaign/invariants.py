"""The twelve invariants, checked at the services and in the database after a broken sync and its recovery."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

from connector.audit import sync_log
from connector.db.engine import reading
from connector.outbox.drafts import note_key, short_key
from sandbox.sendgrid.service import API_KEY
from tests.connector.scenario import SandboxCompany
from tests.faults.campaign.mailers import Arrived, list_arrived
from tests.faults.campaign.witness import MARK, Witness, dues_by_id
from tests.faults.campaign.world import World

INVARIANTS = {
    "I1": "no email about what was paid, void, disputed or paused when the ledger was last read",
    "I2": "an email arrives at most once for an invoice and a step, counted at the email service",
    "I3": "a late fee is charged at most once for an invoice and a period, and never on a fee",
    "I4": "a note is in the ledger exactly once, or shown as unconfirmed",
    "I5": "every effect is recorded on disk and in the log before it is sent, and is completed",
    "I6": "nothing is sent without a live company, a dated policy and, where required, an approval",
    "I7": "nothing crosses from one company into another",
    "I8": "after the faults, everything due is done, or shown as unconfirmed, within two hours of syncs",
    "I9": "the mirror equals the ledger after a run",
    "I10": "no secret is in the log, in the database's plain text or in an email",
    "I11": "the log's chain of hashes verifies",
    "I12": "nobody gets more than one email a day, whatever happened before",
}
_TOKENS = re.compile(rb"[Bb]earer [\w.-]{12}|refresh_token=|client_secret=|eyJ[\w-]{20}")


@dataclass(frozen=True, slots=True)
class NeighbourSnapshot:
    """The neighbouring company before the fault."""

    notes: tuple[str, ...]
    dues: tuple[tuple[str, Decimal], ...]


class LogCapture(logging.Handler):
    """Captures what the program logs, to search it for secrets."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Capture a message."""
        self.lines.append(record.getMessage())


def snapshot_neighbour(world: World) -> NeighbourSnapshot:
    """Return the state of the neighbouring company."""
    company = world.neighbour
    notes = tuple(note for number in company.numbers for note in company.notes(number))
    return NeighbourSnapshot(notes, tuple(sorted(dues_by_id(company).items())))


def find_unfinished(world: World) -> list[str]:
    """Return what is unfinished: calls without a reply, and planned entries that are due.

    Not a company's part of a digest that a person was, or may have been, sent on the same day: it waits for the next.
    """
    now = world.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    with closing(_open(world)) as database:
        rows = database.execute(
            "SELECT key, state, response FROM outbox WHERE connection_id = ?"
            " AND (state = 'sending' OR (state = 'planned'"
            " AND (send_after IS NULL OR send_after <= ?)"
            " AND NOT EXISTS (SELECT 1 FROM daily_digest WHERE outbox.kind = 'owner_email'"
            " AND slot = json_extract(outbox.payload, '$.slot'))))",
            (world.connection, now),
        )
        return [f"{row['key']} is {row['state']} {row['response']}" for row in rows]


def count_unconfirmed(world: World) -> tuple[int, int]:
    """Return how many deliveries are unconfirmed, and how many of them arrived in fact."""
    arrived = {email.key for email in list_arrived(world)}
    with closing(_open(world)) as database:
        keys = [row["key"] for row in database.execute("SELECT key FROM outbox WHERE state = 'unconfirmed'")]
    return len(keys), len([key for key in keys if key in arrived])


def find_visible(world: World) -> set[str]:
    """Return the keys, marks and numbers of what users see as unconfirmed, rejected or awaiting approval."""
    with closing(_open(world)) as database:
        rows = database.execute(
            "SELECT key, payload FROM outbox WHERE state IN ('unconfirmed', 'rejected', 'awaiting_approval')"
        )
        found = {row["key"]: json.loads(row["payload"]) for row in rows}
    marks = {short_key(key) for key in found}
    marks |= {
        short_key(note_key(key, each)) for key, payload in found.items() for each, _step in payload.get("completed", ())
    }
    return {*found, *marks, *(str(payload.get("number", "")) for payload in found.values())}


def find_duplicates(world: World) -> list[str]:
    """Return what happened twice, which must never be, also in the middle of faults."""
    with closing(_open(world)) as database:
        entries = database.execute("SELECT * FROM outbox WHERE connection_id = ?", (world.connection,)).fetchall()
        found = _check_emails(world, entries) + _check_fees(world, entries) + _check_notes(world, entries)
    return [each for each in found if each.startswith(("I2", "I3", "I4: a note was written", "I12"))]


def find_violations(world: World, witness: Witness, before: NeighbourSnapshot, *, read: bool = True) -> list[str]:
    """Return every violation. ``read``: the last run read the ledger to the end."""
    with closing(_open(world)) as database:
        entries = database.execute("SELECT * FROM outbox WHERE connection_id = ?", (world.connection,)).fetchall()
        found = list(witness.violations)
        found += _check_emails(world, entries) + _check_fees(world, entries) + _check_notes(world, entries)
        found += (
            [f"I7: the neighbour changed: {before} {snapshot_neighbour(world)}"]
            if snapshot_neighbour(world) != before
            else []
        )
        found += [f"I8: {each}" for each in find_unfinished(world)]
        found += check_mirror(world) if read else []
        open_runs = database.execute("SELECT count(*) FROM sync_run WHERE ended_at IS NULL").fetchone()[0]
        found += [f"I5: {open_runs} runs have no end"] if open_runs else []
    return found + _check_secrets(world) + check_chain(world)


def _check_emails(world: World, entries: list[sqlite3.Row]) -> list[str]:
    emails = list_arrived(world)
    arrived = Counter(email.key for email in emails)
    rows = {row["key"]: row for row in entries}
    found = [f"I2: {key} arrived {times} times" for key, times in arrived.items() if times > 1]
    found += [
        f"I5: {key} arrived, but is {rows[key]['state']}"
        for key in arrived
        if key in rows and rows[key]["state"] not in {"done", "unconfirmed", "sending"}
    ]
    found += [
        f"I5: {row['key']} is marked as sent, but the email service does not have it"
        for row in entries
        if row["kind"] == "email" and row["state"] == "done" and row["key"] not in arrived
    ]
    own = world.app.settings.mail_from
    daily = Counter(
        (_company_of(email), address, email.at.date()) for email in emails for address in email.to if address != own
    )
    found += [f"I12: {address} got {n} emails on {day}" for (_, address, day), n in daily.items() if n > 1]
    steps = Counter(
        (invoice, step)
        for key in arrived
        if key in rows and rows[key]["kind"] == "email"
        for invoice, step in json.loads(rows[key]["payload"])["completed"]
    )
    return found + [
        f"I2: step {step} of invoice {each} was emailed twice" for (each, step), n in steps.items() if n > 1
    ]


def _company_of(email: Arrived) -> str:
    """Return the company an email is from: two companies may have the same customer."""
    return ":".join(email.key.split(":")[:2])


def _check_fees(world: World, entries: list[sqlite3.Row]) -> list[str]:
    numbers = Counter(fee_numbers(world.company))
    known = {
        json.loads(row["payload"])["number"]: row["state"]
        for row in entries
        if row["kind"] == "late_fee" and row["state"] in {"done", "unconfirmed", "sending"}
    }
    found = [f"I3: fee {number} was charged {times} times" for number, times in numbers.items() if times > 1]
    found += [f"I3: a fee on a fee: {number}" for number in numbers if number.count("LF-") > 1]
    found += [f"I5: fee {number} was charged, but is not recorded" for number in numbers if number not in known]
    return found + [
        f"I5: fee {number} is marked as charged, but the ledger does not have it"
        for number, state in known.items()
        if state == "done" and number not in numbers
    ]


def _check_notes(world: World, entries: list[sqlite3.Row]) -> list[str]:
    company = world.company
    marks = Counter(mark for each in dues_by_id(company) for note in company.notes(each) for mark in MARK.findall(note))
    found = [f"I4: a note was written {times} times: {mark}" for mark, times in marks.items() if times > 1]
    notes = {row["key"]: row for row in entries if row["kind"] == "note"}
    found += [
        f"I4: {key} is marked as written, but the ledger does not have it"
        for key, row in notes.items()
        if row["state"] == "done" and not marks[short_key(key)]
    ]
    for row in entries:
        if row["kind"] in {"email", "late_fee", "fee_waiver"} and row["state"] == "done":
            completed = json.loads(row["payload"])["completed"]
            missing = [invoice for invoice, _step in completed if f"{row['key']}:note:{invoice}" not in notes]
            found += [f"I4: {row['key']} has no note planned on {invoice}" for invoice in missing]
    return found


def check_mirror(world: World) -> list[str]:
    """Return where the mirror differs from the ledger."""
    with closing(_open(world)) as database:
        rows = database.execute(
            "SELECT external_id, due_e4, is_open FROM invoice WHERE connection_id = ?", (world.connection,)
        ).fetchall()
    ours = {row["external_id"]: Decimal(row["due_e4"]) / 10000 if row["is_open"] else Decimal(0) for row in rows}
    ledger = dues_by_id(world.company)
    return [
        f"I9: invoice {each}: {ours.get(each)} in the mirror, {due} in the ledger"
        for each, due in ledger.items()
        if ours.get(each, Decimal(0)) != due
    ]


def _check_secrets(world: World) -> list[str]:
    settings = world.app.settings
    own = [settings.sendgrid_api_key, settings.xero_client_secret, settings.quickbooks_client_secret, API_KEY]
    own += [settings.microsoft365_client_secret, settings.gmail_client_secret]
    stored = b"".join(
        file.read_bytes() for file in sorted(world.folder.glob("duewell.db*")) if file.suffix != ".db-shm"
    )
    logged = "\n".join(
        line for handler in logging.getLogger().handlers if isinstance(handler, LogCapture) for line in handler.lines
    )
    whole = stored + logged.encode()
    found = [secret[:6] for secret in own if secret and secret.encode() in whole]
    return [f"I10: {each}" for each in [*found, *(str(match) for match in _TOKENS.findall(whole))]]


def check_chain(world: World) -> list[str]:
    """Return where the log's chain is broken."""
    with reading(world.app.engine) as session:
        verdict = sync_log.verify(session)
    return [] if verdict.ok else [f"I11: entry {verdict.broken_at_id}: {verdict.reason}"]


def fee_numbers(company: SandboxCompany) -> list[str]:
    """Return the numbers of all fee invoices in the ledger, including voided ones."""
    if company.provider == "xero":
        return [
            each.number for each in company.simulator.invoices(company.external_id) if each.number.startswith("LF-")
        ]
    numbers = [str(each.get("DocNumber", "")) for each in company.simulator.invoices()]
    return [number for number in numbers if number.startswith("LF-")]


def _open(world: World) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{world.database}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    return database
