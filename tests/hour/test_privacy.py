"""What is held about one customer can be given to him and erased; keys, amounts and the log's proof stay."""

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

from connector import lease, sync_log
from connector.backup import write_backup
from connector.cli import app
from connector.database import reading, sqlite_file, writing
from connector.people import agreements
from connector.people.customers import UnknownCustomerError, find_customer, set_customer
from connector.people.invoices import find_invoice, say
from connector.portal import answers, links
from connector.portal.answers import Answer
from connector.privacy import retention
from connector.privacy.held import RULES
from connector.tables import AnswerRow, CustomerRow, DecisionRow, InvoiceRow, MalformedRow, OutboxEntry, TakenStep

TODAY = date(2026, 6, 10)
TRACES = ("Miller", "miller.example", "Ann Lee", "chairs", "Bathtub")


@pytest.fixture
def town(town_at: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A live company: Miller got a mail, has a contact of his own, disputes one invoice and promises another."""
    with town_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.books.customer("Miller & Sons", "accounts@miller.example")
        made.books.customer("Potter plc", "ap@potter.example")
        made.late = made.books.invoice("Miller & Sons", "1200.00", due_on=TODAY - timedelta(days=6))
        made.soon = made.books.invoice("Miller & Sons", "80.50", due_on=TODAY + timedelta(days=3))
        made.other = made.books.invoice("Potter plc", "640.00", due_on=TODAY - timedelta(days=6))
        made.live()
        with reading(made.installation.engine) as session:
            made.miller = find_customer(session, "Miller & Sons")
            soon = find_invoice(session, made.soon)
        contact = {"contact_name": "Ann Lee", "emails": "ann@miller.example"}
        here = (made.connection, made.miller.external_id)
        set_customer(made.installation, *here, contact, by="ann")
        made.run()
        made.link = links.give(made.installation, *here, by="ann")["link"].rpartition("/")[2]
        who = links.Opened(*here, over=False)
        late_id = next(each for each in invoice_ids(made, made.miller.external_id) if each != soon.external_id)
        answers.take(made.installation, who, Answer("wrong", (late_id,), text="The chairs never came."))
        say(made.installation, soon, agreements.promise, by="ann", on=TODAY + timedelta(days=9), why="Bathtub money")
        made.run()
        monkeypatch.setattr("connector.commands.customer_data.opened", lambda: nullcontext(made.installation))
        yield made


def invoice_ids(town: Any, customer_id: str) -> list[str]:
    with reading(town.installation.engine) as session:
        return list(
            session.scalars(select(col(InvoiceRow.external_id)).where(col(InvoiceRow.customer_id) == customer_id))
        )


def command(*words: str) -> Any:
    done = CliRunner().invoke(app, ["customers", *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def in_the_file(town: Any) -> list[str]:
    """Which traces of him the database's files hold, byte by byte."""
    file = sqlite_file(town.installation.engine)
    assert file is not None
    held = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    return [trace for trace in TRACES if trace.encode() in held]


def kept(town: Any) -> list[Any]:
    """What makes effects once-only, and what the books need."""
    with reading(town.installation.engine) as session:
        deeds = session.execute(
            select(col(OutboxEntry.key), col(OutboxEntry.state), col(OutboxEntry.content)).order_by(
                col(OutboxEntry.key)
            )
        )
        steps = session.execute(
            select(col(TakenStep.invoice_id), col(TakenStep.step)).order_by(
                col(TakenStep.invoice_id), col(TakenStep.step)
            )
        )
        sums = session.execute(
            select(col(InvoiceRow.number), col(InvoiceRow.due_e4), col(InvoiceRow.due_on)).order_by(
                col(InvoiceRow.number)
            )
        )
        return [sorted(map(tuple, each)) for each in (deeds, steps, sums)]


def log(town: Any) -> tuple[bool, list[str]]:
    with reading(town.installation.engine) as session:
        return sync_log.verify(session).ok, [line.text for line in sync_log.entries(session)]


def test_everything_held_about_a_customer_is_exported_and_nothing_about_another(town: Any, tmp_path: Path) -> None:
    assert "/c/" not in town.sandbox.sendgrid.mails_to("ann@miller.example")[0].text  # no address customers can reach
    told = command("export", "Miller & Sons", str(tmp_path / "miller.zip"))
    file = tmp_path / "miller.zip"
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        text = archive.read("customer.json").decode()
    found = json.loads(text)
    for trace in TRACES:
        assert trace in text
    assert town.link not in text  # whoever gets the export is not thereby let in
    assert "Potter" not in text
    assert town.other not in text
    for table in (
        "customer",
        "customer_setting",
        "invoice",
        "agreement",
        "decision",
        "outbox",
        "taken_step",
        "sync_log",
    ):
        assert found[table], table
        assert told["rows"][table] == len(found[table])
    assert {each["number"]: each["total"] for each in found["invoice"]} == {town.late: "1200.00", town.soon: "80.50"}
    again = CliRunner().invoke(app, ["customers", "export", "Miller & Sons", str(file)])
    assert again.exit_code == 2
    assert "exported everything held about this customer" in log(town)[1][-1]


def test_an_erased_customer_leaves_no_trace_but_keys_and_amounts_and_is_never_chased(town: Any) -> None:
    before, texts = kept(town), log(town)[1]
    assert in_the_file(town) == list(TRACES)
    told = command("erase", "Miller & Sons", "--yes")
    assert told["invoices_kept"] == 2
    assert told["left_over"] == ""
    assert in_the_file(town) == []
    assert kept(town) == before
    sound, now = log(town)
    assert sound
    assert len(now) == len(texts) + 1
    assert sum(text == sync_log.ERASED for text in now) == told["log_texts"] > 5
    assert any(town.other in text for text in now)
    opened = links.opened(town.installation, town.link)
    assert opened is not None
    assert opened.over

    mails, tasks = len(town.sandbox.sendgrid.mails_to("ann@miller.example")), open_tasks(town)
    for _day in range(20):
        town.pass_days(1)
        if _day == 5:
            town.books.invoice("Miller & Sons", "55.00", due_on=TODAY - timedelta(days=6))
            town.sandbox.xero.set_email("Miller & Sons", "new@miller.example", organisation=town.books.company)
        assert town.run().outcome == "ok"
    assert len(town.sandbox.sendgrid.mails_to("ann@miller.example")) == mails
    assert town.sandbox.sendgrid.mails_to("new@miller.example") == []
    assert open_tasks(town) == tasks == []
    with reading(town.installation.engine) as session:
        held = session.get_one(CustomerRow, (town.connection, town.miller.external_id))
        assert (held.name, held.emails, held.contact_name) == (f"Erased customer {held.external_id[-6:]}", "", "")
        answers_ = session.scalars(select(AnswerRow).where(col(AnswerRow.customer_id) == held.external_id)).all()
        assert len(answers_) == 3
        assert {each.code for each in answers_} == {"erased"}
    assert any("tells of an erased customer again" in text for text in log(town)[1])
    assert log(town)[0]
    assert in_the_file(town) == []


def open_tasks(town: Any) -> list[str]:
    with reading(town.installation.engine) as session:
        table = SQLModel.metadata.tables["task"]
        mine = (table.c.customer_id == town.miller.external_id, table.c.state == "open")
        return list(session.scalars(select(table.c.why).where(*mine)))


def test_an_erased_customer_is_taken_back_with_what_the_ledger_has(town: Any) -> None:
    command("erase", "Miller & Sons", "--yes")
    town.run()
    with reading(town.installation.engine) as session, pytest.raises(UnknownCustomerError):
        find_customer(session, "Miller & Sons")
    command("erase", town.miller.external_id, "--undo")
    assert town.run().outcome == "ok"
    with reading(town.installation.engine) as session:
        assert find_customer(session, "Miller & Sons").emails == "accounts@miller.example"
    assert log(town)[0]
    command("erase", "Miller & Sons", "--yes")
    command("erase", town.miller.external_id, "--yes")  # and once more
    assert in_the_file(town) == []
    assert log(town)[0], "the lines that tell of the first erasure are its proof"


def test_nobody_is_erased_under_a_run_or_while_an_effect_has_no_end(town: Any) -> None:
    ask = ["customers", "erase", "Miller & Sons", "--yes"]
    with lease.hold(town.installation, town.connection):
        busy = CliRunner().invoke(app, ask)
    with writing(town.installation.engine) as session:
        entry = session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == "mail")).first()
        assert entry is not None
        entry.state = "calling"
    under_way = CliRunner().invoke(app, ask)
    assert busy.exit_code == under_way.exit_code == 1
    assert in_the_file(town) == list(TRACES)
    with reading(town.installation.engine) as session:
        assert session.scalar(select(func.count()).select_from(DecisionRow))


def test_of_every_table_it_is_said_what_becomes_of_a_customer_in_it() -> None:
    tables = SQLModel.metadata.tables
    assert set(RULES) == set(tables), "a table without a rule, or a rule without a table: connector/privacy/held.py"
    for name, rule in RULES.items():
        assert set(rule.blank) | ({rule.by} if rule.by else set()) <= set(tables[name].columns.keys()), name
        assert rule.by or rule.why, name


def test_what_is_older_than_it_is_kept_goes_once_a_day_and_nothing_happens_twice_for_that(town: Any) -> None:
    def table(name: str) -> Any:
        return SQLModel.metadata.tables[name]

    def count(name: str, *where: Any) -> int:
        with reading(town.installation.engine) as session:
            return int(session.scalar(select(func.count()).select_from(table(name)).where(*where)) or 0)

    retention.work(town.installation)  # nothing is old yet
    before, everything = kept(town), {name: count(name) for name in ("decision", "outbox", "task", "sync_log")}
    assert everything["decision"]
    town.pass_days(20)
    retention.keep(town.installation, {"decisions": 10, "mails": 10, "log": 10}, by="ann")
    with writing(town.installation.engine) as session:
        raw = MalformedRow(
            connection_id=town.connection, kind="invoice", external_id="x", raw=b"{}", seen_at=long_ago()
        )
        session.add(raw)
    retention.work(town.installation)
    assert count("decision") == 0
    assert count("outbox", table("outbox").c.why == retention.REMOVED) > 0
    assert count("outbox") == everything["outbox"]
    assert count("malformed_record", table("malformed_record").c.raw != b"") == 0
    assert kept(town) == before
    sound, texts = log(town)
    assert sound
    assert texts[-1].startswith("Older than it is kept, and taken away: 1 raw, ")
    assert sync_log.ERASED in texts
    retention.work(town.installation)
    assert log(town)[1] == texts  # once a day
    town.pass_days(1)
    retention.work(town.installation)
    assert log(town)[1] == texts  # and nothing is told where nothing was old
    for wanted in ({"nonsense": 5}, {"raw": -1}, {"raw": 10**6}):
        with pytest.raises(retention.RetentionError):
            retention.keep(town.installation, wanted, by="ann")
    assert town.run().outcome == "ok"


def long_ago() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def test_a_restored_backup_does_not_bring_an_erased_customer_back(town: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DUEWELL_HOME", str(town.installation.settings.duewell_home))
    write_backup(town.installation.engine, tmp_path / "before.db", at=town.installation.now())
    command("erase", "Miller & Sons", "--yes")
    town.installation.engine.dispose()
    monkeypatch.setattr("connector.commands.setup.opened", lambda: nullcontext(town.installation))
    done = CliRunner().invoke(app, ["restore", str(tmp_path / "before.db")])
    assert done.exit_code == 0, done.output
    assert f"now again: {town.miller.external_id}" in done.output
    assert in_the_file(town) == []
    assert log(town)[0]
