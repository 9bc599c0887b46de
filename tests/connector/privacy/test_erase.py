"""Personal data of a customer is exported and erased; keys, amounts and the hash chain are kept."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlmodel import SQLModel, col
from typer.testing import CliRunner

from connector.arrangements import agreements
from connector.arrangements.customer_settings import UnknownCustomerError, find_customer, update_settings
from connector.audit import sync_log
from connector.cli.main import cli
from connector.db.engine import reading, sqlite_file, writing
from connector.db.tables import (
    CompletedStep,
    CustomerRow,
    DecisionRecord,
    InvoiceDecisionRow,
    InvoiceRow,
    MalformedRow,
    OutboxEntry,
    SentEmail,
)
from connector.emails import portal_links
from connector.emails.inbound.events import receive_events
from connector.portal import responses
from connector.portal.customer_response import CustomerResponse
from connector.privacy import retention
from connector.privacy.personal_data import RULES
from connector.restore.backup import write_backup
from connector.runtime import lease
from connector.services.invoices import find_invoice, record_agreement
from connector.vocabulary import OutboxKind, OutboxState, ResponseKind
from providers.ledger import RecordKind
from providers.sendgrid.webhook import parse_events

TODAY = date(2026, 6, 10)
TRACES = ("Miller", "miller.example", "Ann Lee", "chairs", "Bathtub")


@pytest.fixture
def scenario(scenario_at: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A live company: Miller got an email, has a contact, disputes one invoice and promised to pay another."""
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Miller & Sons", "accounts@miller.example")
        made.company.customer("Potter plc", "ap@potter.example")
        made.late = made.company.invoice("Miller & Sons", "1200.00", due_on=TODAY - timedelta(days=6))
        made.soon = made.company.invoice("Miller & Sons", "80.50", due_on=TODAY + timedelta(days=3))
        made.other = made.company.invoice("Potter plc", "640.00", due_on=TODAY - timedelta(days=6))
        made.go_live()
        with reading(made.app.engine) as session:
            made.miller = find_customer(session, "Miller & Sons")
            soon = find_invoice(session, made.soon)
        here = (made.connection, made.miller.external_id)
        update_settings(made.app, *here, {"contact_name": "Ann Lee", "emails": "ann@miller.example"}, by="ann")
        made.run()
        made.link = portal_links.create_link(made.app, *here, by="ann").link.rpartition("/")[2]
        who = portal_links.PortalVisitor(*here, expired=False)
        late_id = next(each for each in invoice_ids(made, made.miller.external_id) if each != soon.external_id)
        responses.record_response(
            made.app, who, CustomerResponse(ResponseKind.DISPUTE, (late_id,), text="The chairs never came.")
        )
        record_agreement(
            made.app, soon, "ann", agreements.set_promise, on=TODAY + timedelta(days=9), reason="Bathtub money"
        )
        made.run()
        monkeypatch.setattr("connector.cli.customer_data.open_command_app", lambda: nullcontext(made.app))
        yield made


def invoice_ids(scenario: Any, customer_id: str) -> list[str]:
    with reading(scenario.app.engine) as session:
        return list(
            session.scalars(select(col(InvoiceRow.external_id)).where(col(InvoiceRow.customer_id) == customer_id))
        )


def run_command(*words: str) -> Any:
    done = CliRunner().invoke(cli, ["customers", *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def traces_in_file(scenario: Any) -> list[str]:
    """Return which traces of the customer are in the database files, byte by byte."""
    file = sqlite_file(scenario.app.engine)
    assert file is not None
    held = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    return [trace for trace in TRACES if trace.encode() in held]


def kept_rows(scenario: Any) -> list[Any]:
    """Return what prevents duplicates, and what bookkeeping needs."""
    with reading(scenario.app.engine) as session:
        past_actions = session.execute(
            select(col(OutboxEntry.key), col(OutboxEntry.state), col(OutboxEntry.content_hash)).order_by(
                col(OutboxEntry.key)
            )
        )
        steps = session.execute(
            select(col(CompletedStep.invoice_id), col(CompletedStep.step)).order_by(
                col(CompletedStep.invoice_id), col(CompletedStep.step)
            )
        )
        sums = session.execute(
            select(col(InvoiceRow.number), col(InvoiceRow.due_e4), col(InvoiceRow.due_on)).order_by(
                col(InvoiceRow.number)
            )
        )
        return [sorted(map(tuple, each)) for each in (past_actions, steps, sums)]


def verified_log(scenario: Any) -> tuple[bool, list[str]]:
    with reading(scenario.app.engine) as session:
        return sync_log.verify(session).ok, [line.text for line in sync_log.list_entries(session)]


def test_everything_stored_about_a_customer_is_exported_and_nothing_about_another(
    scenario: Any, tmp_path: Path
) -> None:
    assert (
        "/c/" not in scenario.sandbox.sendgrid.emails_to("ann@miller.example")[0].text
    )  # no address customers can reach
    told = run_command("export", "Miller & Sons", str(tmp_path / "miller.zip"))
    file = tmp_path / "miller.zip"
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        text = archive.read("customer.json").decode()
    found = json.loads(text)
    for trace in TRACES:
        assert trace in text
    assert scenario.link not in text  # the export gives no access
    assert "Potter" not in text
    assert scenario.other not in text
    for table in (
        "customer",
        "customer_setting",
        "invoice",
        "agreement",
        "decision_record",
        "outbox",
        "sent_email",
        "completed_step",
        "sync_log",
    ):
        assert found[table], table
        assert told["rows"][table] == len(found[table])
    assert {each["number"]: each["total"] for each in found["invoice"]} == {
        scenario.late: "1200.00",
        scenario.soon: "80.50",
    }
    again = CliRunner().invoke(cli, ["customers", "export", "Miller & Sons", str(file)])
    assert again.exit_code == 2
    assert "exported everything stored about this customer" in verified_log(scenario)[1][-1]


@pytest.mark.parametrize("kind", ["bounce", "spamreport", "unsubscribe", "delivered"])
def test_what_an_email_service_reports_of_an_erased_customer_leaves_no_trace(scenario: Any, kind: str) -> None:
    [email] = scenario.sandbox.sendgrid.emails_to("ann@miller.example")
    run_command("erase", "Miller & Sons", "--yes")
    event = {
        "event": kind,
        "type": "bounce",
        "email": "ann@miller.example",
        "reason": "550 no Ann Lee",
        **email.custom_args,
    }
    for named in (event, {name: value for name, value in event.items() if name != "duewell_key"}):
        events = [{**named, "sg_event_id": f"e{len(named)}"}]
        receive_events(scenario.app, parse_events(json.dumps(events).encode(), scenario.app.now()))
    assert traces_in_file(scenario) == []


def test_only_keys_and_amounts_of_an_erased_customer_remain_and_they_are_never_chased(scenario: Any) -> None:
    before, texts = kept_rows(scenario), verified_log(scenario)[1]
    assert traces_in_file(scenario) == list(TRACES)
    told = run_command("erase", "Miller & Sons", "--yes")
    assert told["invoices_kept"] == 2
    assert told["incomplete"] == ""
    with reading(scenario.app.engine) as session:
        kept = session.execute(
            select(col(OutboxEntry.customer_id)).join(SentEmail, col(SentEmail.outbox_id) == OutboxEntry.id)
        )
        assert scenario.miller.external_id not in {row.customer_id for row in kept}
    assert traces_in_file(scenario) == []
    assert kept_rows(scenario) == before
    sound, now = verified_log(scenario)
    assert sound
    assert len(now) == len(texts) + 1
    assert sum(text == sync_log.ERASED for text in now) == told["log_texts_erased"] > 5
    assert any(scenario.other in text for text in now)
    opened = portal_links.open_link(scenario.app, scenario.link)
    assert opened is not None
    assert opened.expired

    mails, tasks = len(scenario.sandbox.sendgrid.emails_to("ann@miller.example")), open_tasks(scenario)
    for days in range(0, 20, 4):
        scenario.pass_days(4)
        if days == 4:
            scenario.company.invoice("Miller & Sons", "55.00", due_on=TODAY - timedelta(days=6))
            scenario.sandbox.xero.set_email(
                "Miller & Sons", "new@miller.example", organisation=scenario.company.external_id
            )
        assert scenario.run().outcome == "ok"
    assert len(scenario.sandbox.sendgrid.emails_to("ann@miller.example")) == mails
    assert scenario.sandbox.sendgrid.emails_to("new@miller.example") == []
    assert open_tasks(scenario) == tasks == []
    with reading(scenario.app.engine) as session:
        held = session.get_one(CustomerRow, (scenario.connection, scenario.miller.external_id))
        assert (held.name, held.emails, held.contact_name) == (f"Erased customer {held.external_id[-6:]}", "", "")
        answers_ = session.scalars(
            select(InvoiceDecisionRow).where(col(InvoiceDecisionRow.customer_id) == held.external_id)
        ).all()
        assert len(answers_) == 3
        assert {each.code for each in answers_} == {"erased"}
    assert any("sent an erased customer again" in text for text in verified_log(scenario)[1])
    assert verified_log(scenario)[0]
    assert traces_in_file(scenario) == []


def open_tasks(scenario: Any) -> list[str]:
    with reading(scenario.app.engine) as session:
        table = SQLModel.metadata.tables["task"]
        mine = (table.c.customer_id == scenario.miller.external_id, table.c.state == "open")
        return list(session.scalars(select(table.c.reason).where(*mine)))


def test_undoing_an_erasure_reads_the_customer_from_the_ledger_again(scenario: Any) -> None:
    run_command("erase", "Miller & Sons", "--yes")
    scenario.run()
    with reading(scenario.app.engine) as session, pytest.raises(UnknownCustomerError):
        find_customer(session, "Miller & Sons")
    run_command("erase", scenario.miller.external_id, "--undo")
    assert scenario.run().outcome == "ok"
    with reading(scenario.app.engine) as session:
        assert find_customer(session, "Miller & Sons").emails == "accounts@miller.example"
    assert verified_log(scenario)[0]
    run_command("erase", "Miller & Sons", "--yes")
    run_command("erase", scenario.miller.external_id, "--yes")  # and once more
    assert traces_in_file(scenario) == []
    assert verified_log(scenario)[0], "the lines that tell of the first erasure are its proof"


def test_nobody_is_erased_during_a_run_or_while_a_delivery_is_unconfirmed(scenario: Any) -> None:
    ask = ["customers", "erase", "Miller & Sons", "--yes"]
    with lease.acquire(scenario.app, scenario.connection):
        busy = CliRunner().invoke(cli, ask)
    with writing(scenario.app.engine) as session:
        entry = session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.EMAIL)).first()
        assert entry is not None
        entry.state = OutboxState.SENDING
    under_way = CliRunner().invoke(cli, ask)
    assert busy.exit_code == under_way.exit_code == 1
    assert traces_in_file(scenario) == list(TRACES)
    with reading(scenario.app.engine) as session:
        assert session.scalar(select(func.count()).select_from(DecisionRecord))


def test_every_table_has_an_erasure_rule() -> None:
    tables = SQLModel.metadata.tables
    assert set(RULES) == set(tables), (
        "a table without a rule, or a rule without a table: connector/privacy/personal_data.py"
    )
    for name, rule in RULES.items():
        assert set(rule.redact) | ({rule.key_column} if rule.key_column else set()) <= set(
            tables[name].columns.keys()
        ), name
        assert rule.key_column or rule.reason, name


def test_old_data_is_deleted_once_a_day_and_nothing_is_sent_twice(scenario: Any) -> None:
    def table(name: str) -> Any:
        return SQLModel.metadata.tables[name]

    def count(name: str, *where: Any) -> int:
        with reading(scenario.app.engine) as session:
            return int(session.scalar(select(func.count()).select_from(table(name)).where(*where)) or 0)

    retention.prune_daily(scenario.app)  # nothing is old yet
    before, everything = (
        kept_rows(scenario),
        {name: count(name) for name in ("decision_record", "outbox", "task", "sync_log")},
    )
    assert everything["decision_record"]
    count_before = count("sent_email")
    scenario.pass_days(20)
    retention.set_retention(scenario.app, {"decisions": 10, "emails": 10, "log": 10}, by="ann")
    with writing(scenario.app.engine) as session:
        raw = MalformedRow(
            connection_id=scenario.connection, kind=RecordKind.INVOICE, external_id="x", raw=b"{}", seen_at=long_ago()
        )
        session.add(raw)
    retention.prune_daily(scenario.app)
    assert count("decision_record") == 0
    assert (count_before, count("sent_email")) == (2, 0)
    assert count("outbox", table("outbox").c.reason == retention.REMOVED) > 0
    assert count("outbox") == everything["outbox"]
    assert count("malformed_record", table("malformed_record").c.raw != b"") == 0
    assert kept_rows(scenario) == before
    sound, texts = verified_log(scenario)
    assert sound
    assert texts[-1].startswith("Data past its retention period was deleted: 1 unreadable records, ")
    assert sync_log.ERASED in texts
    retention.prune_daily(scenario.app)
    assert verified_log(scenario)[1] == texts  # once a day
    scenario.pass_days(1)
    retention.prune_daily(scenario.app)
    assert verified_log(scenario)[1] == texts  # and nothing is logged where nothing was old
    with writing(scenario.app.engine) as session:  # of an attempt that was never confirmed, say
        kept = {"connection_id": scenario.connection, "outbox_id": scenario.outbox()[0].id, "attempt": 9}
        session.add(SentEmail(**kept, stored_at=long_ago(), content=b"sealed"))
    retention.prune(scenario.app)
    assert count("sent_email") == 0
    for wanted in ({"nonsense": 5}, {"raw": -1}, {"raw": 10**6}):
        with pytest.raises(retention.RetentionError):
            retention.set_retention(scenario.app, wanted, by="ann")
    assert scenario.run().outcome == "ok"


def long_ago() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def test_a_restored_backup_does_not_bring_an_erased_customer_back(
    scenario: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DUEWELL_HOME", str(scenario.app.settings.duewell_home))
    write_backup(scenario.app.engine, tmp_path / "before.db", scenario.app.keyring, at=scenario.app.now())
    run_command("erase", "Miller & Sons", "--yes")
    scenario.app.engine.dispose()
    monkeypatch.setattr("connector.cli.maintenance.open_command_app", lambda: nullcontext(scenario.app))
    done = CliRunner().invoke(cli, ["restore", str(tmp_path / "before.db")])
    assert done.exit_code == 0, done.output
    assert f"now erased again: {scenario.miller.external_id}" in done.output
    assert traces_in_file(scenario) == []
    assert verified_log(scenario)[0]
