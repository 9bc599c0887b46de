"""The commands as users and scripts see them: data on stdout, messages on stderr, exit codes 0, 1 and 2."""

from __future__ import annotations

import csv
import io
import json
import stat
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.cli import options
from connector.connections.tokens import reconnect_hint
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerSetting, Grant, InvoiceSetting, OutboxEntry, Task
from connector.sync.mirror.pages import store_page
from connector.vocabulary import ConnectionHealth, ConnectionMode, LogKind, OutboxKind, OutboxState
from policies.receivables import InvoiceStatus
from providers.ledger import ChangePage, CustomerRecord, InvoiceRecord
from tests.connector.installed import Command, GiveConsent, SandboxServices

NOW = datetime.now(UTC)


def customer_record(number: int, name: str) -> CustomerRecord:
    return CustomerRecord(f"c{number}", name, "", f"c{number}@example.com", "GB", "", "", True, None, NOW)


def invoice_record(number: int, customer_id: str, due: date) -> InvoiceRecord:
    total = Decimal("120.50")
    issued = due - timedelta(days=30)
    return InvoiceRecord(
        f"i{number}",
        f"INV-{number}",
        customer_id,
        "GBP",
        issued,
        due,
        total,
        total,
        InvoiceStatus.OPEN,
        True,
        None,
        None,
        None,
        None,
        "",
        False,
        "1",
        "[]",
        NOW,
    )


@pytest.fixture
def company(app: AppContext, give_consent: GiveConsent) -> Connection:
    """A connected company with two customers, one of them with an overdue invoice and one that is not due yet."""
    (row,) = give_consent(app, "quickbooks")
    today = NOW.date()
    page = ChangePage(
        cursor="{}",
        customers=[customer_record(1, "Ada & Sons"), customer_record(2, "=HYPERLINK(evil)\x1b[2J")],
        invoices=[
            invoice_record(1, "c1", today - timedelta(days=20)),
            invoice_record(2, "c1", today + timedelta(days=40)),
        ],
        is_last=True,
    )
    with writing(app.engine) as session:
        store_page(session, row.id or 0, page)
        connection = session.get_one(Connection, row.id)
        connection.synced_at = connection.first_pull_done_at = NOW
        sync_log.write(session, at=NOW, kind=LogKind.PULLED, text="=cmd|'/c calc'!A1", connection_id=row.id)
    return row


@pytest.fixture
def pending_entries(app: AppContext, company: Connection) -> list[int]:
    """Two entries that await approval and an unconfirmed one."""
    made = []
    with writing(app.engine) as session:
        for number, state in enumerate(("awaiting_approval", "awaiting_approval", "unconfirmed")):
            whose: Any = {"connection_id": company.id or 0, "customer_id": "c1", "invoice_id": "i1"}
            entry = OutboxEntry(
                **whose, key=f"k{number}", kind=OutboxKind.EMAIL, state=OutboxState(state), planned_at=NOW
            )
            entry.reason = "The friendly reminder."
            entry.payload = {"completed": [["i1", "past_due"]], "listed": ["i1"], "due": {"i1": "120.50"}, "to": []}
            session.add(entry)
            session.flush()
            made.append(entry.id or 0)
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["connections", "lst"],
        ["connections", "mode", "1", "faster"],
        ["connections", "mode", "1"],
        ["connect", "sage"],
        ["outbox", "approve"],
        ["outbox", "approve", "x"],
        ["outbox", "approve", "99999999999999999999"],
        ["outbox", "resolve", "1"],
        ["outbox", "resolve", "1", "--sent", "--not-sent"],
        ["outbox", "edit", "1"],
        ["outbox", "list", "--state", "gone"],
        ["customers", "set", "Ada & Sons"],
        ["customers", "set", "Ada & Sons", "--segment", "best"],
        ["customers", "set", "Ada & Sons", "--hold-until", "soon"],
        ["customers", "set", "Ada & Sons", "--language", "klingon"],
        ["customers", "set", "Ada & Sons", "--owner", "nobody in particular"],
        ["customers", "set", "Ada & Sons", "--contact", "Ada <ada>"],
        ["customers", "set", "Ada & Sons", "--contact", "a@example.com, b@example.com"],
        ["invoices", "promise", "INV-1"],
        ["log", "--since", "long ago"],
        ["log", "--json", "--csv"],
        ["plan", "--days", "-1"],
        ["privacy", "retention", "emails=0"],
        ["connections", "owner", "1", "nobody in particular"],
        ["reports", "taxes"],
        ["reports", "ageing", "--json", "--csv"],
        ["templates", "show", "call"],
        ["templates", "show", "past_due", "--language", "klingon"],
        ["tasks", "assign", "1", "--to", "nobody"],
        ["tokens", "create", "company", "everything"],
        ["tokens", "create", "company", "read", "--days", "0"],
        ["users", "add", "ann@example.com", "king"],
        ["users", "passkeys", "maybe"],
    ],
)
def test_wrong_usage_exits_with_2_and_prints_nothing_on_stdout(arguments: list[str], duewell: Command) -> None:
    said = duewell(*arguments)
    assert (said.exit_code, said.out) == (2, "")
    assert said.err


@pytest.mark.parametrize(
    "arguments", [["run", "nobody"], ["plan", "nobody"], ["log", "nobody"], ["connections", "pause", "nobody"]]
)
def test_an_unknown_connection_lists_the_known_ones(
    arguments: list[str], duewell: Command, company: Connection
) -> None:
    said = duewell(*arguments)
    assert (said.exit_code, said.out) == (1, "")
    assert f"There are: {company.short_name} ({company.id})" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["connections"],
        ["status"],
        ["outbox"],
        ["customers"],
        ["invoices"],
        ["fees"],
        ["plan"],
        ["log"],
        ["run"],
    ],
)
def test_lists_are_one_json_document_of_objects_with_an_id(
    arguments: list[str], duewell: Command, app: AppContext, pending_entries: list[int]
) -> None:
    with writing(app.engine) as session:
        session.get_one(Connection, 1).pause_reason = "for the test of run"
    items = json.loads(duewell(*arguments, "--json").out)
    assert isinstance(items, list)
    assert all("id" in item for item in items)
    assert items or arguments in (["fees"], ["run"])


def test_an_unknown_policy_version_is_reported(duewell: Command) -> None:
    said = duewell("policy", "show", "--version", "9")
    assert (said.exit_code, said.out) == (1, "")
    assert "There is no policy version 9" in said.err


def test_a_statutory_rate_is_added_listed_and_logged(duewell: Command, company: Connection, tmp_path: Path) -> None:
    today = NOW.date()
    first = date(today.year, 1 if today.month < 7 else 7, 1).isoformat()
    missing = duewell("policy", "rates", "add", "uk", first, "8.2")
    assert (missing.exit_code, "Missing: --source" in missing.err) == (2, True)
    named = duewell("policy", "rates", "add", "none", "2022-02-01", "8.2 per cent", "--source", "Bank Rate").err
    assert "PRESET: Must be one of uk, eu" in named
    assert "FROM: Must be the first day of a half-year" in named
    assert "RATE: Must be a number" in named
    wrong = duewell("policy", "rates", "add", "uk", "2022-01-01", "88", "--source", "Bank Rate", "--replace")
    assert (wrong.exit_code, wrong.out) == (1, "")
    assert "88 % is too far from 9.25 % from 1 Jul 2022" in wrong.err
    known = duewell("policy", "rates", "add", "uk", "2022-01-01", "8.2", "--source", "Bank Rate")
    assert (known.exit_code, "To replace it, add --replace." in known.err) == (1, True)
    said = duewell("policy", "rates", "add", "uk", "2022-01-01", "8.2", "--source", "Bank Rate", "--replace")
    assert "8.2 % from 2022-01-01 was added to uk." in said.out
    listed = json.loads(duewell("policy", "rates", "--preset", "uk", "--json").out)
    assert listed[0] | {"id": "uk:2022-01-01", "rate": "8.2", "source": "Bank Rate"} == listed[0]
    assert "8.2 % from 1 Jan 2022 (source: Bank Rate" in duewell("log").out
    file = tmp_path / "rates.toml"
    file.write_text('[[rates]]\npreset = "eu"\nfrom_on = 2023-01-01\nrate = 10.4\nsource = "ECB"\n')
    assert "rate 1: checked_on is missing" in duewell("policy", "rates", "add", "--file", str(file)).err
    file.write_text(file.read_text() + "checked_on = 2026-01-01\n")
    added = duewell(
        "policy", "rates", "add", "--file", str(file), "--replace", "--connection", company.short_name, "--json"
    )
    assert json.loads(added.out)["rates"] == ["eu:2023-01-01"]
    own = json.loads(duewell("policy", "rates", "--preset", "eu", "--connection", company.short_name, "--json").out)
    assert own[0]["rate"] == "10.4"
    assert json.loads(duewell("policy", "rates", "--preset", "eu", "--json").out)[0]["rate"] == "10.5"


def test_an_empty_document_returns_to_the_general_policy(duewell: Command, company: Connection, tmp_path: Path) -> None:
    nothing = tmp_path / "empty.toml"
    nothing.write_text("")
    said = duewell("policy", "set", str(nothing), "--connection", company.short_name)
    assert "the general policy applies again" in said.out
    (version,) = json.loads(duewell("policy", "versions", "--json").out)
    assert version["active"] is False


def test_connections_are_found_by_id_and_by_short_name(duewell: Command, company: Connection) -> None:
    assert duewell("connections", "mode", str(company.id), "approve").exit_code == 0
    over = duewell("connections", "pause", company.short_name, "--until", "2020-01-01")
    assert (over.exit_code, over.out) == (1, "")
    assert "1 Jan 2020 is not in the future" in over.err
    assert duewell("connections", "pause", company.short_name, "--reason", "audit").exit_code == 0
    (row,) = json.loads(duewell("connections", "list", "--json").out)
    assert (row["mode"], row["pause_reason"], row["provider"]) == ("approve", "audit", "quickbooks")
    owner = duewell("connections", "owner", company.short_name, "Ann Lee <ann@example.org>", "--json")
    assert json.loads(owner.out) == {"id": company.id, "name": company.name, "owner": "Ann Lee <ann@example.org>"}
    assert {"id", "provider", "name", "mode", "health"} <= set(row)
    duewell("connections", "resume", company.short_name)
    (row,) = json.loads(duewell("connections", "--json").out)
    assert row["pause_reason"] == ""
    assert [row["pause_reason"] for row in json.loads(duewell("connections", "pause", "all", "--json").out)] != [""]
    assert "resumed" in duewell("connections", "resume", "all").out
    assert "No company is paused" in duewell("connections", "resume", "all").err


def test_disconnecting_says_what_is_kept(duewell: Command, company: Connection) -> None:
    said = duewell("connections", "disconnect", company.short_name)
    assert said.exit_code == 0
    assert "Kept here" in said.out
    (row,) = json.loads(duewell("connections", "--json").out)
    assert row["health"] == "disconnected"
    for command in (
        ("mode", company.short_name, "live"),
        ("pause", company.short_name),
        ("resume", company.short_name),
    ):
        again = duewell("connections", *command)
        assert again.exit_code == 1
        assert "duewell connect" in again.err


def test_entries_are_approved_and_rejected_and_unconfirmed_ones_resolved(
    duewell: Command, pending_entries: list[int]
) -> None:
    first, second, doubt = map(str, pending_entries)
    assert duewell("outbox", "approve", first).exit_code == 0
    assert duewell("outbox", "reject", second, "--reason", "they called").exit_code == 0
    assert duewell("outbox", "resolve", doubt, "--not-sent").exit_code == 0
    states = {str(item["id"]): item["state"] for item in json.loads(duewell("outbox", "list", "--json").out)}
    assert {first: "planned", second: "rejected", doubt: "planned"}.items() <= states.items()
    twice = duewell("outbox", "approve", first)
    assert (twice.exit_code, twice.out) == (1, "")
    assert "Traceback" not in twice.err


@pytest.mark.parametrize("command", [["outbox", "approve"], ["outbox", "reject"]])
def test_entries_that_changed_since_they_were_read_are_left_alone(
    command: list[str], duewell: Command, app: AppContext, pending_entries: list[int]
) -> None:
    first, second, _doubt = pending_entries
    read = {item["id"]: item["etag"] for item in json.loads(duewell("outbox", "--json").out)}
    with writing(app.engine) as session:
        row = session.get_one(OutboxEntry, second)
        row.changed_at, row.changed_by = NOW, "Ann"
    both = [*command, str(first), str(second), "--seen", read[first], "--seen", read[second]]
    refused = duewell(*both)
    assert (refused.exit_code, refused.out) == (1, "")
    assert "was changed by Ann" in refused.err
    uneven = duewell(*command, str(first), str(second), "--seen", read[first])
    assert (uneven.exit_code, uneven.out) == (2, "")
    repeated = duewell(*command, str(first), str(first), "--seen", "another version", "--seen", read[first])
    assert (repeated.exit_code, repeated.out) == (2, "")
    assert {item["id"]: item["state"] for item in json.loads(duewell("outbox", "--json").out)}[first] == (
        "awaiting_approval"
    )
    assert duewell(*command, str(first), "--seen", read[first]).exit_code == 0


def test_an_email_that_changed_since_it_was_read_is_not_edited(duewell: Command, pending_entries: list[int]) -> None:
    said = duewell("outbox", "edit", str(pending_entries[0]), "--subject", "Other", "--seen", "another version")
    assert (said.exit_code, said.out) == (1, "")
    assert "has changed since you read it" in said.err


def test_a_policy_that_somebody_saved_meanwhile_is_not_overwritten(duewell: Command, tmp_path: Path) -> None:
    document = tmp_path / "policy.toml"
    document.write_text("[thank_you]\nenabled = false\n")
    assert duewell("policy", "set", str(document), "--seen", "default").exit_code == 0
    late = duewell("policy", "set", str(document), "--seen", "default")
    assert (late.exit_code, late.out) == (1, "")
    assert "The policy has changed since you read it: version 1 was saved by" in late.err
    version = json.loads(duewell("policy", "show", "--json").out)["version"]
    assert duewell("policy", "set", str(document), "--seen", str(version)).exit_code == 0


def test_several_entries_are_approved_all_or_none(duewell: Command, pending_entries: list[int]) -> None:
    first, _second, doubt = map(str, pending_entries)
    assert duewell("outbox", "approve", first, doubt).exit_code == 1
    states = {str(item["id"]): item["state"] for item in json.loads(duewell("outbox", "--json").out)}
    assert states[first] == "awaiting_approval"


def test_customer_settings_are_saved_and_removed(duewell: Command, app: AppContext, company: Connection) -> None:
    options = ["--segment", "strategic", "--hold-until", "2030-01-31", "--no-reminders", "--no-fees"]
    more = ["--fees-agreed-on", "2029-01-01", "--contact", "Lee, Ada <ada@example.org>"]
    assert duewell("customers", "set", "ada & sons", *options, *more).exit_code == 0
    with reading(app.engine) as session:
        row = session.get_one(CustomerSetting, (company.id, "c1"))
        assert (row.segment, row.hold_until_on, row.no_reminders, row.no_fees) == (
            "strategic",
            date(2030, 1, 31),
            True,
            True,
        )
        assert (row.fees_agreed_on, row.contact_name, row.emails) == (date(2029, 1, 1), "Lee, Ada", "ada@example.org")
    duewell("customers", "set", "c1", "--segment", "auto", "--hold-until", "none", "--reminders")
    (ada,) = json.loads(duewell("customers", "--search", "ada", "--json").out)
    assert ada["settings"] == {
        "no_fees": True,
        "fees_agreed_on": "2029-01-01",
        "emails": "ada@example.org",
        "contact_name": "Lee, Ada",
    }
    assert ada["open_balance"] == {"GBP": "241.00"}
    over = duewell("customers", "set", "c1", "--hold-until", "2020-01-31")
    assert (over.exit_code, "A hold until 31 Jan 2020 would already be over" in over.err) == (1, True)
    assert "to end a hold" in over.err
    assert "changed the settings of Ada & Sons: segment: strategic" in duewell("log").out


def test_an_unknown_customer_is_reported_with_similar_names(duewell: Command, company: Connection) -> None:
    said = duewell("customers", "set", "Ada", "--no-fees")
    assert said.exit_code == 1
    assert "Similar: Ada & Sons" in said.err


def test_agreements_about_an_invoice_are_recorded_and_withdrawn(
    duewell: Command, app: AppContext, company: Connection
) -> None:
    for arguments in (
        ["dispute", "INV-1", "--reason", "wrong sum"],
        ["promise", "INV-1", "2030-02-01"],
        ["pause", "INV-1"],
    ):
        assert duewell("invoices", *arguments).exit_code == 0
    with reading(app.engine) as session:
        row = session.get_one(InvoiceSetting, (company.id, "i1"))
        assert (row.dispute_reason, row.promised_on, row.paused) == ("wrong sum", date(2030, 2, 1), True)
        assert row.disputed_on is not None
    for arguments in (["undispute", "INV-1"], ["promise", "INV-1", "none"], ["resume", "i1"]):
        assert duewell("invoices", *arguments).exit_code == 0
    (first, _second) = json.loads(duewell("invoices", "--json").out)
    assert (first["number"], first["active_agreements"]) == ("INV-1", {})
    assert "invoice INV-1 is disputed: wrong sum" in duewell("log", company.short_name).out


def test_a_date_in_the_distant_future_is_rejected(duewell: Command, company: Connection) -> None:
    for what in (["invoices", "promise", "INV-1"], ["invoices", "pause", "INV-1", "--until"]):
        said = duewell(*what, "9999-12-31")
        assert (said.exit_code, "too far away" in said.err) == (1, True)
    assert duewell("customers", "set", "c1", "--hold-until", "9999-12-31").exit_code == 1
    assert duewell("plan", "--days", "3", "--json").exit_code == 0


def test_a_payment_plan_must_cover_the_whole_amount_due(duewell: Command, company: Connection) -> None:
    (first, _second) = json.loads(duewell("invoices", "--json").out)
    short = duewell("invoices", "plan", "INV-1", "2030-02-01=1", "2030-03-01=2")
    assert short.exit_code == 1
    assert f"{first['due']} is due on INV-1" in short.err.replace(",", "")
    for wrong in ([], ["none=120.50"], ["2030-01-31=120.50", "none"], ["2030-01-31=much"]):
        assert duewell("invoices", "plan", "INV-1", *wrong).exit_code == 2
    far = duewell("invoices", "plan", "INV-1", "--count", "3", "--first", "9999-12-01")
    assert (far.exit_code, "1 Dec 9999 is too far away" in far.err) == (1, True)
    assert (
        duewell("invoices", "plan", "INV-1", "--count", "3", "--first", "2030-01-31", "--reason", "by post").exit_code
        == 0
    )
    (first, _second) = json.loads(duewell("invoices", "--json").out)
    assert [part.partition(" by ")[2] for part in first["active_agreements"]["payment_plan"].split(", ")] == [
        "31 Jan 2030",
        "28 Feb 2030",
        "31 Mar 2030",
    ]
    assert duewell("invoices", "plan", "INV-1", "none").exit_code == 0
    assert json.loads(duewell("invoices", "--json").out)[0]["active_agreements"] == {}


def test_a_task_is_listed_assigned_and_completed_with_its_outcome(
    duewell: Command, app: AppContext, company: Connection
) -> None:
    about: dict[str, Any] = {
        "connection_id": company.id,
        "customer_id": "c1",
        "invoice_ids": ["i1"],
        "code": "call",
        "reason": "Call them.",
    }
    with writing(app.engine) as session:
        for key in ("first", "second"):
            session.add(Task(key=key, due_on=date(2030, 1, 2), created_at=app.now(), **about))
    first, second = json.loads(duewell("tasks", "--json").out)
    assert (first["invoices"], first["customer"]) == (["INV-1"], "Ada & Sons")
    assert duewell("tasks", "assign", str(second["id"]), "--to", "Bo <bo@example.com>").exit_code == 0
    assert [task["id"] for task in json.loads(duewell("tasks", "--owner", "bo", "--json").out)] == [second["id"]]
    assert duewell("tasks", "outcome", str(first["id"])).exit_code == 2
    said = duewell("tasks", "outcome", str(first["id"]), "--promised", "2030-02-01", "--note", "Mr Ash")
    assert "Completed. promised to pay by 1 Feb 2030; Mr Ash" in said.out
    assert json.loads(duewell("invoices", "--json").out)[0]["active_agreements"] == {"promised_on": "2030-02-01"}
    for blank in ((), ("--note", " ")):
        assert duewell("tasks", "done", str(second["id"]), *blank).exit_code == 2
    assert duewell("tasks", "done", str(second["id"]), "--note", "Left a message").exit_code == 0
    again = duewell("tasks", "done", str(second["id"]), "--note", "Left a message")
    assert (again.exit_code, "is already completed" in again.err) == (1, True)


def test_a_brand_is_set_shown_and_refused_where_it_cannot_be_read(
    duewell: Command, company: Connection, tmp_path: Path
) -> None:
    logo, wrong = tmp_path / "logo.png", tmp_path / "logo.svg"
    Image.new("RGB", (600, 200), "navy").save(logo)
    wrong.write_text("<svg/>")
    empty = tmp_path / "empty.png"
    empty.touch()
    given = ("--colour", "#7a285a", "--logo", str(logo), "--link", "Terms https://a.example/t", "--json")
    changed = json.loads(duewell("brand", "set", str(company.id), *given).out)
    assert (changed["accent_colour"], changed["logo"], changed["links"]) == (
        "#7a285a", "480 × 160", ["Terms https://a.example/t"],
    )  # fmt: skip
    shown = duewell("brand", "show", str(company.id)).out
    assert "Logo:          480 × 160" in shown
    for options_, problem in (
        (("--colour", "#ffcc00"), "nearest colour"),
        (("--logo", str(wrong)), "not a PNG"),
        (("--picture", str(tmp_path / "none.png")), "cannot be read"),
        (("--logo", str(empty)), "is empty"),
        (("--signer", "x" * 81), "81 characters"),
        ((), "Nothing was given to change"),
    ):
        refused = duewell("brand", "set", str(company.id), *options_)
        assert refused.exit_code in {1, 2}
        assert problem in refused.err


def test_confirming_an_account_that_is_not_there_says_so(duewell: Command, company: Connection) -> None:
    refused = duewell("bank-details", "confirm", str(company.id), "99")
    assert (refused.exit_code, refused.err.strip()) == (
        1, "Error: There is no such account. List them: duewell bank-details",
    )  # fmt: skip


def test_a_customer_is_shown_with_their_account_owner(duewell: Command, company: Connection) -> None:
    assert duewell("connections", "owner", "1", "Bo <bo@example.com>").exit_code == 0
    assert duewell("customers", "set", "Ada & Sons", "--sales-rep", "Cy <cy@example.com>").exit_code == 0
    told = json.loads(duewell("customers", "show", "ada & sons", "--json").out)
    assert (told["owner"], told["sales_rep"]) == ("Bo <bo@example.com>", "Cy <cy@example.com>")
    text = duewell("customers", "show", "Ada & Sons").out
    assert f"  {told['segment_reason']}" in text
    assert "Open invoices:" in text


def test_a_report_is_printed_as_a_table_as_json_and_as_csv(duewell: Command, company: Connection) -> None:
    named = {row["id"] for row in json.loads(duewell("reports", "--json").out)}
    assert {"ageing", "cash-forecast", "fees"} <= named
    [row] = json.loads(duewell("reports", "ageing", "--json").out)
    assert (row["id"], row["not_due"], row["days_1_30"], row["total"]) == ("GBP", "120.50", "120.50", "241.00")
    [line] = csv.DictReader(io.StringIO(duewell("reports", "ageing", company.short_name, "--csv").out))
    assert (line["Currency"], line["Total"], line["Overdue %"]) == ("GBP", "241.00", "50.0")
    assert "GBP" in duewell("reports", "ageing").out
    first = json.loads(duewell("reports", "cash-forecast", "--json").out)[1]["id"]
    behind = ("reports", "cash-forecast", "--row", first, "--column", "expected")
    assert {row["currency"] for row in json.loads(duewell(*behind, "--json").out)} == {"GBP"}
    assert duewell("reports", "cash-forecast", "--row", "GBP:1999-01-04").exit_code == 2


def test_the_log_as_csv_cannot_run_formulas_and_its_chain_holds(duewell: Command, company: Connection) -> None:
    rows = list(csv.DictReader(io.StringIO(duewell("log", "--csv").out)))
    assert [row["text"] for row in rows if row["kind"] == "pulled"] == ["'=cmd\\|'/c calc'!A1"]
    assert {row["connection"] for row in rows} == {company.short_name}
    assert duewell("log", "verify").exit_code == 0


def test_empty_lists_mention_that_no_company_is_connected(duewell: Command) -> None:
    for command in ("plan", "exceptions", "policy backtest"):
        assert "duewell connect xero" in duewell(*command.split()).err


def test_the_log_is_filtered_by_company_and_time(duewell: Command, company: Connection) -> None:
    everything = json.loads(duewell("log", "--json").out)
    assert all(isinstance(line["facts"], dict) for line in everything)
    assert json.loads(duewell("log", company.short_name, "--json").out) == everything
    assert json.loads(duewell("log", "--since", "2999-01-01", "--json").out) == []
    assert len(json.loads(duewell("log", "--limit", "1", "--json").out)) == 1


def test_a_changed_log_is_detected(duewell: Command, app: AppContext, company: Connection) -> None:
    with app.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS sync_log_never_changes")
        for (name,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'sync_log'"
        ).fetchall():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("UPDATE sync_log SET text = 'nothing happened' WHERE id = 1")
    said = duewell("log", "verify")
    assert said.exit_code == 1
    assert "entry 1" in said.err


def test_text_from_the_ledger_cannot_control_the_terminal(duewell: Command, company: Connection) -> None:
    assert "\x1b" not in duewell("customers").out
    assert json.loads(duewell("customers", "--json").out)


def test_the_plan_lists_what_would_be_sent_and_sends_nothing(
    duewell: Command, company: Connection, services: SandboxServices
) -> None:
    calls = len(services.sandbox.requests)
    items = json.loads(duewell("plan", "--days", "45", "--json").out)
    assert {item["customer"] for item in items} == {"Ada & Sons"}
    assert "past_due" in {item["step"] for item in items}
    assert "before_due" in {item["step"] for item in items}
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)
    assert len(services.sandbox.requests) == calls
    assert json.loads(duewell("outbox", "--json").out) == []


@pytest.mark.parametrize("name", ["plan", "log", "exceptions", "reports ageing", "policy control-group"])
def test_a_company_is_named_by_an_option_as_with_every_other_command(
    name: str, duewell: Command, company: Connection
) -> None:
    by_option = duewell(*name.split(), "--connection", company.short_name)
    assert by_option.exit_code == 0
    assert by_option.out == duewell(*name.split(), company.short_name).out
    both = duewell(*name.split(), company.short_name, "--connection", "nobody")
    assert (both.exit_code, "name one company" in both.err) == (2, True)
    assert duewell(*name.split(), "--connection", "nobody").exit_code == 1


def test_long_lists_show_the_newest_and_say_how_many_more_there_are(
    duewell: Command, pending_entries: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pending_entries
    monkeypatch.setattr(options, "_ROWS_MAX", 1)
    assert len(duewell("outbox").out.splitlines()) == len(pending_entries) + 1, "a pipe gets everything"
    monkeypatch.setattr(options, "terminal_width", lambda: 80)
    for name in ("log", "outbox", "customers", "invoices", "plan --days 60"):
        everything = duewell(*name.split(), "--all")
        short = duewell(*name.split())
        count = len(json.loads(duewell(*name.split(), "--json").out))
        assert count > 1, f"{name}: programs get everything"
        assert len(everything.out.splitlines()) == count + 1, name
        assert len(short.out.splitlines()) == 1 + 1, name
        assert str(count - 1) in short.err, name
        assert "--all" in short.err, name
        assert len(json.loads(duewell(*name.split(), "--limit", "1", "--json").out)) == 1, name
        assert duewell(*name.split(), "--limit", "1", "--all").exit_code == 2
    for name in ("fees", "tasks"):
        assert duewell(name, "--limit", "1").exit_code == 0
        assert duewell(name, "--limit", "1", "--all").exit_code == 2


def test_the_policy_is_told_in_words(duewell: Command, company: Connection) -> None:
    told = duewell("policy", "show", "--words")
    assert "Strategic customers. The customers who make 80 % of" in told.out
    assert "  Medium invoices: 14 days after the invoice date we ask by email whether the invoice arrived;" in told.out
    assert "at most 2 in 7 and 7 in 30 days" in told.out
    document = json.loads(duewell("policy", "show", "--words", "--json").out)
    assert [each["id"] for each in document["schedule"]] == ["strategic", "established", "new"]
    assert document["schedule"][0]["stories"][0]["events"][0]["step"] == "receipt_check"


def test_a_customer_on_hold_has_no_emails_in_the_plan(duewell: Command, company: Connection) -> None:
    duewell("customers", "set", "c1", "--hold-until", "2999-01-01")
    items = json.loads(duewell("plan", "--days", "45", "--json").out)
    assert [item for item in items if item["kind"] == "email"] == []


def test_an_invoice_is_explained(duewell: Command, company: Connection) -> None:
    duewell("invoices", "dispute", "INV-1", "--reason", "wrong sum")
    told = json.loads(duewell("explain", "INV-1", "--json").out)
    assert told["current_decision"]["code"] == "disputed"
    assert told["active_agreements"]["dispute_reason"] == "wrong sum"
    text = duewell("explain", "INV-1").out
    assert "GBP 120.50 of GBP 120.50 is due" in text
    assert "wrong sum" in text
    assert f"What happens next, if nothing changes; none of it is sent, because {company.name} is in observe" in text
    duewell("connections", "mode", company.short_name, "approve")
    assert "if nothing changes; emails and late fees await approval first:" in duewell("explain", "INV-1").out
    duewell("connections", "pause", company.short_name, "--reason", "holidays")
    assert f"if nothing changes; none of it is sent while {company.name} is paused:" in duewell("explain", "INV-1").out
    missing = duewell("explain", "INV-99")
    assert missing.exit_code == 1
    assert "duewell run" in missing.err


def test_checking_a_policy_names_fees_that_can_never_be_charged(duewell: Command, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[late_fees]\nenabled = true\nkind = "flat"\namounts = { GBP = 5 }\nterms_agreed_on = 2026-01-31\n')
    checked = duewell("policy", "check", str(file))
    assert checked.exit_code == 0
    warning = "A flat fee of GBP 5.00 is neither charged nor announced on a balance below GBP 372.45 (14 days late)"
    assert warning in checked.out
    assert warning in json.loads(duewell("policy", "check", str(file), "--json").out)["notes"][0]


def test_a_policy_is_shown_checked_compared_and_activated(
    duewell: Command, company: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(duewell("policy").out, encoding="utf-8")
    assert duewell("policy", "check", str(file)).exit_code == 0
    assert json.loads(duewell("policy", "diff", str(file), "--json").out) == []
    file.write_text("[past_due]\nnew = { large = 4, medium = 5, small = 6 }\n")
    assert duewell("policy", "check", str(file)).exit_code == 0
    assert duewell("policy", "set", str(file)).exit_code == 0
    assert json.loads(duewell("policy", "show", "--json").out)["version"] == 1
    file.write_text("[past_due]\nestablished = { large = -90 }\n")
    refused = duewell("policy", "set", str(file))
    assert (refused.exit_code, refused.out) == (1, "")
    assert "past_due" in refused.err
    assert f"{file} is not a valid policy; nothing was changed." in refused.err
    assert json.loads(duewell("policy", "show", "--json").out)["version"] == 1


def test_a_backup_is_restored(duewell: Command, app: AppContext, company: Connection, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    assert duewell("backup", str(file)).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    duewell("connections", "mode", "1", "approve")
    running = duewell("restore", str(file))
    assert (running.exit_code, "stop it" in running.err) == (1, True)
    app.close()
    assert duewell("restore", str(file)).exit_code == 0
    (row,) = json.loads(duewell("connections", "--json").out)
    assert row["mode"] == "observe"
    assert duewell("restore", str(tmp_path / "nothing.db")).exit_code == 1
    (tmp_path / "letter.txt").write_text("Dear all")
    other = duewell("backup", str(tmp_path / "letter.txt"))
    assert (other.exit_code, "exists and is not a backup; choose another file" in other.err) == (1, True)
    nowhere = duewell("backup", str(tmp_path / "nowhere" / "copy.db"))
    assert (nowhere.exit_code, f"The folder {tmp_path / 'nowhere'} does not exist" in nowhere.err) == (1, True)


def test_a_restore_names_the_companies_it_takes_out_of_live_mode_and_warns_of_a_file_without_seal(
    duewell: Command, app: AppContext, company: Connection, tmp_path: Path
) -> None:
    with writing(app.engine) as session:
        session.get_one(Connection, company.id).mode = ConnectionMode.LIVE
    file = tmp_path / "copy.db"
    duewell("backup", str(file))
    app.close()
    said = duewell("restore", str(file))
    assert f"Now in approve mode instead of live: {company.short_name}." in said.err
    assert "WARNING" not in said.err
    (tmp_path / "home" / "secret.key").unlink()
    file.chmod(0o644)
    refused = duewell("restore", str(file))
    assert (refused.exit_code, "Nothing was changed" in refused.err) == (1, True)
    assert not (tmp_path / "home" / "secret.key").exists()
    done = duewell("restore", str(file), "--unsealed", "--json")
    assert (done.exit_code, json.loads(done.out)["sealed"]) == (0, False)
    assert "WARNING" in done.err
    assert f"chmod 600 '{file}'" in done.err


def test_a_worker_on_sqlite_reports_that_it_needs_postgresql(duewell: Command) -> None:
    said = duewell("worker")
    assert (said.exit_code, said.out) == (1, "")
    assert "PostgreSQL" in said.err


def test_an_unknown_setting_is_named_in_one_line(duewell: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWELL_INTERVALL", "5")
    said = duewell("status")
    assert said.exit_code == 1
    assert "DUEWELL_INTERVALL" in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_an_internal_error_gives_a_message_and_a_private_file(
    duewell: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(_installation: AppContext) -> list[dict[str, Any]]:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr("connector.services.status.list_statuses", broken)
    said = duewell("status")
    assert said.exit_code == 1
    assert "Traceback" not in said.err
    assert "secret detail" not in said.err
    (file,) = (tmp_path / "home" / "logs").iterdir()
    assert str(file) in said.err
    assert "secret detail" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_doctor_finds_problems_and_suggests_fixes(
    duewell: Command, app: AppContext, services: SandboxServices, company: Connection, tmp_path: Path
) -> None:
    services.sandbox.clock.set(datetime.now(UTC))
    assert duewell("doctor").exit_code == 0
    (tmp_path / "home" / "secret.key").chmod(0o640)
    with writing(app.engine) as session:
        row = session.get_one(Connection, company.id)
        row.health, row.health_reason, row.ledger_reminders = (
            ConnectionHealth.AUTHORIZATION_EXPIRED,
            "the grant is dead",
            True,
        )
    said = duewell("doctor")
    assert said.exit_code == 1
    assert "duewell connect quickbooks" in said.out or "chmod 600" in said.err


def test_doctor_checks_each_company(
    duewell: Command, app: AppContext, services: SandboxServices, company: Connection
) -> None:
    services.sandbox.clock.set(datetime.now(UTC) + timedelta(hours=1))
    with writing(app.engine) as session:
        row = session.get_one(Connection, company.id)
        row.health, row.ledger_reminders = ConnectionHealth.AUTHORIZATION_EXPIRED, True
        row.health_reason = f"The grant is dead. {reconnect_hint('quickbooks')}"
        session.get_one(Grant, row.grant_id).refresh_started_at = NOW
    told = json.loads(duewell("doctor", "--json").out)
    findings = {item["id"]: item for item in told}
    assert len(findings) == len(told)
    assert findings[f"connection.{company.short_name}"]["fix"].endswith("page, or with: duewell connect quickbooks")
    assert findings[f"connection.{company.short_name}"]["message"].endswith("The grant is dead.")
    reminders = findings[f"connection.{company.short_name}.reminders"]
    assert (reminders["status"], "QuickBooks Online sends its own" in reminders["message"]) == ("warning", True)
    assert "Xero" not in reminders["message"] + reminders["fix"]
    assert findings["scopes.sendgrid"]["status"] == "ok"
    assert findings["keys"]["status"] == "ok"
    skewed = findings["clock.quickbooks"]
    assert (skewed["status"], skewed["fix"] != "") == ("error", True)
    assert "clock differs by 3" in skewed["message"]
    with writing(app.engine) as session:
        session.get_one(Connection, company.id).health = ConnectionHealth.DISCONNECTED
    told = json.loads(duewell("doctor", "--json").out)
    assert f"connection.{company.short_name}.reminders" not in {item["id"] for item in told}


def test_a_company_of_a_plug_in_is_listed_by_the_name_of_its_ledger(
    duewell: Command, app: AppContext, company: Connection
) -> None:
    with writing(app.engine) as session:
        session.get_one(Connection, company.id).provider = "clearbooks"
    assert "clearbooks" in duewell("connections").out


def test_invoices_paused_together_are_resumed_together_by_one_command(duewell: Command, company: Connection) -> None:
    assert duewell("invoices", "undo").exit_code == 1  # nothing was recorded
    assert duewell("invoices", "pause", "INV-1", "INV-2", "INV-9").exit_code == 1
    assert duewell("invoices", "pause", "INV-2", "--until", "2099-01-01").exit_code == 0
    paused = duewell("invoices", "pause", "INV-1", "INV-2", "--reason", "moving house")
    assert paused.out.splitlines() == ["INV-1: reminders paused", "INV-2: reminders paused"]
    assert "duewell invoices undo" in paused.err
    undone = duewell("invoices", "undo").out.splitlines()
    assert undone == [  # what the pause of both replaced applies again
        "Undone: paused reminders for 2 invoices.", "INV-1: no agreements", "INV-2: reminders paused until 1 Jan 2099",
    ]  # fmt: skip
    found = json.loads(duewell("invoices", "pause", "INV-1", "--json").out)
    assert [each["number"] for each in found["invoices"]] == ["INV-1"]
    assert duewell("invoices", "promise", "INV-2", "2099-02-01").exit_code == 0
    undone = json.loads(duewell("invoices", "undo", "--at", found["recorded_at"], "--json").out)
    assert (undone["title"], undone["invoices"][0]["active_agreements"]) == ("paused reminders for 1 invoice", {})
    assert "promise to pay" in duewell("invoices", "undo").out


def test_a_new_role_shows_a_user_no_more_companies_than_before(duewell: Command, company: Connection) -> None:
    def companies() -> str:
        (found,) = [each for each in json.loads(duewell("users", "--json").out) if each["email"] == "bob@example.com"]
        return str(found["companies"])

    duewell("users", "add", "bob@example.com", "bookkeeper", "--company", company.short_name)
    only = companies()
    assert company.short_name in only
    assert duewell("users", "role", "bob@example.com", "viewer").exit_code == 0
    assert companies() == only
    both = duewell("users", "role", "bob@example.com", "viewer", "--company", company.short_name, "--all-companies")
    assert both.exit_code == 2
    assert duewell("users", "role", "bob@example.com", "viewer", "--all-companies").exit_code == 0
    assert companies() == "None"
    duewell("users", "role", "bob@example.com", "viewer", "--company", company.short_name)
    assert duewell("users", "role", "bob@example.com", "owner").exit_code == 0
    assert companies() == "None"
