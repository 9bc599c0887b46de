"""The witness at the services: it checks every effect when it arrives, and records violations.

It knows what the ledger showed when it was last read, and it opens the database itself, read-only, to see what was on
disk before the effect was sent.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connector.outbox.drafts import short_key
from tests.connector.scenario import SandboxCompany
from tests.faults.campaign.in_process import Sent, is_effect
from tests.faults.campaign.mailers import key_of
from tests.faults.campaign.world import World

MARK = re.compile(r"\[duewell (\w+)\]")
_FEE_PATHS = re.compile(r"/api\.xro/2\.0/Invoices$|/company/[^/]+/invoice$")
_NOTE_PATHS = re.compile(r"/History$|/attachable$|/batch$")
_INVOICE_READS = re.compile(r"/Invoices$|/cdc$")  # reads of invoices, not of their links and PDFs
_SET_UP = re.compile(r"/company/[^/]+/(item|account)$|/Accounts$")


@dataclass
class Witness:
    """Observes the effects that arrive, and the violations among them."""

    world: World
    violations: list[str] = field(default_factory=list)
    due_when_read: dict[str, Decimal] = field(
        default_factory=dict
    )  # balance due when the ledger was last read, by invoice
    stopped_invoices: set[str] = field(default_factory=set)  # invoices that were disputed or paused then
    effects: Counter[str] = field(default_factory=Counter)
    planned: set[str] = field(default_factory=set)  # keys of what was planned then
    forbidden_reason: str = ""  # why nothing at all may be sent from now on

    def __post_init__(self) -> None:
        """Observe all requests from now on."""
        self.world.services.before.append(self._before)
        self.world.services.after.append(self._after)
        self._take_snapshot()

    def _after(self, sent: Sent) -> None:
        if sent.kind == "read" and sent.service == self.world.company.provider and _INVOICE_READS.search(sent.path):
            self._take_snapshot()

    def _take_snapshot(self) -> None:
        self.due_when_read = dues_by_id(self.world.company)
        with closing(self._open()) as database:
            rows = database.execute("SELECT invoice_id FROM invoice_setting WHERE disputed_on IS NOT NULL OR paused")
            self.stopped_invoices = {row[0] for row in rows}
            self.planned = {row[0] for row in database.execute("SELECT key FROM outbox WHERE state = 'planned'")}

    def _before(self, sent: Sent) -> None:
        if not is_effect(sent) or _SET_UP.search(sent.path):
            return
        if self.forbidden_reason:
            self.violations.append(f"I6: an effect was sent although {self.forbidden_reason}")
        with closing(self._open()) as database:
            if sent.kind == "email":
                self._check_email(database, key_of(self.world, database, sent))
            else:
                self._check_write(database, sent)

    def _check_email(self, database: sqlite3.Connection, key: str) -> None:
        row = self._entry(database, "key = ?", key)
        self.effects["email"] += 1
        if row is None:
            self.violations.append(f"I5: an email was sent that is not in the outbox: {key}")
            return
        self._check_permitted(database, row)
        if row["kind"] == "owner_email":
            return
        if key not in self.planned:
            self.violations.append(f"I1: {key} was sent though the ledger was not read again since it was planned")
        for invoice, step in json.loads(row["payload"])["completed"]:
            if step != "thank_you" and (
                self.due_when_read.get(invoice, Decimal(0)) <= 0 or invoice in self.stopped_invoices
            ):
                self.violations.append(f"I1: {key} is about an invoice that was paid, void or paused when read")

    def _check_write(self, database: sqlite3.Connection, sent: Sent) -> None:
        body = sent.body.decode(errors="replace")
        rows = database.execute(
            "SELECT * FROM outbox WHERE state = 'sending' AND connection_id = ?"
            " AND kind NOT IN ('email', 'owner_email')",
            (self.world.connection,),
        ).fetchall()
        if _NOTE_PATHS.search(sent.path):
            found = [row for row in rows if row["kind"] == "note" and short_key(row["key"]) in body]
            kind = "note"
        elif _FEE_PATHS.search(sent.path) and "operation=" not in sent.query:
            found = [row for row in rows if row["kind"] == "late_fee" and json.loads(row["payload"])["number"] in body]
            kind = "late_fee"
        else:
            found = [row for row in rows if row["kind"] == "fee_waiver"]
            kind = "fee_waiver"
        written = len(MARK.findall(body)) if kind == "note" else 1
        self.effects[kind] += written
        if len(found) < written or not found:
            self.violations.append(f"I5: a {kind} was written without an outbox entry: {sent.method} {sent.path}")
        for row in found if kind == "note" else found[:1]:  # a call holds several notes
            self._check_permitted(database, row)

    def _check_permitted(self, database: sqlite3.Connection, row: sqlite3.Row) -> None:
        """Check that the intent was on disk, in the log and permitted before the effect arrived."""
        key = row["key"]
        if row["state"] != "sending":
            self.violations.append(f"I5: {key} was sent while its state was {row['state']}")
        logged = database.execute(
            "SELECT count(*) FROM sync_log WHERE kind = 'sending' AND facts LIKE ?", (f"%{key}%",)
        ).fetchone()[0]
        if not logged:
            self.violations.append(f"I5: {key} was sent without a log entry before it")
        company = database.execute("SELECT * FROM connection WHERE id = ?", (row["connection_id"],)).fetchone()
        if row["connection_id"] != self.world.connection:
            self.violations.append(f"I7: {key} belongs to another company")
        if company["mode"] == "observe" or company["pause_reason"]:
            self.violations.append(f"I6: {key} was sent in mode {company['mode']}, paused: {company['pause_reason']}")
        if company["mode"] == "approve" and row["kind"] in {"email", "late_fee"} and not row["approved_at"]:
            self.violations.append(f"I6: {key} was sent without approval")
        if row["kind"] in {"email", "late_fee"} and row["policy_version"] is None:
            self.violations.append(f"I6: {key} was sent under no dated policy")

    def _entry(self, database: sqlite3.Connection, where: str, value: str) -> Any:
        return database.execute(f"SELECT * FROM outbox WHERE {where}", (value,)).fetchone()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(f"file:{self.world.database}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        return database


def dues_by_id(company: SandboxCompany) -> dict[str, Decimal]:
    """Return the balance due on every sales invoice, by the ledger's id; zero on voided ones."""
    if company.provider == "xero":
        return {
            each.id: each.amount_due if each.status in {"AUTHORISED", "PAID"} else Decimal(0)
            for each in company.simulator.invoices(company.external_id)
        }
    return {each["Id"]: Decimal(str(each["Balance"])) for each in company.simulator.invoices()}
