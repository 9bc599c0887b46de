"""Tables in terminals of different widths: nothing is wider, ids and numbers are whole, what is left out is named."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main
from rich.cells import cell_len
from sqlalchemy import select
from sqlmodel import col
from typer.testing import CliRunner, Result

from connector.app_context import AppContext
from connector.auth.api_tokens import create
from connector.auth.users import add_user
from connector.cli import demo, tables, terminal
from connector.cli.main import cli
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.money import from_e4
from connector.db.tables import InvoiceRow
from connector.run import run_connection
from connector.services import bank_details, bank_statements
from connector.settings import setting_names
from sandbox.server import Sandbox

WIDTHS = (60, 80, 120)
TABLES = [
    *("status", "plan --days 3", "exceptions", "log --limit 40", "outbox", "customers", "tasks --closed"),
    *("invoices", "connections", "users", "tokens", "templates", "policy versions", "policy rates"),
    *(
        "search media",
        "policy backtest --days 8",
        "privacy retention",
        "privacy prune",
        "reports ageing",
        "reports ageing-by-customer",
    ),
    *("reports dso", "reports days-to-pay", "reports cash-forecast"),
    *("bank matches", "bank unmatched", "bank files", "bank-details"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's two companies after two days of work, with a user and an API token."""
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o700)
    with ExitStack() as stack:
        today = demo.last_weekday_afternoon(datetime.now(UTC))
        sandbox = Sandbox(now=today - timedelta(days=1))
        sandbox.xero.limits.minute = 0
        app = stack.enter_context(demo.open_demo_app(sandbox, stack.enter_context(sandbox.serve()), folder, 8710))
        for each in demo.connect_companies(app, lambda _text: None):
            run_connection(app, each.id or 0)
            set_mode(app, each.id or 0, "approve", by="test")
            run_connection(app, each.id or 0)
        with writing(app.engine) as session:
            add_user(session, "ann@example.com", "owner", name="Ann", by="test", at=app.now())
            create(session, "Export", "read", companies=None, days=30, by="test", at=app.now())
        _fill_bank(app)
    return folder


def _fill_bank(app: AppContext) -> None:
    """Import a statement with the payment of an open invoice and one of nobody, and enter the account it came to."""
    with reading(app.engine) as session:
        row = session.scalars(select(InvoiceRow).where(col(InvoiceRow.is_open)).limit(1)).one()
        amount, today = from_e4(row.due_e4), app.now().date()
    lines = [f"{today};{row.number};Invoice {row.number};{amount};{row.currency}", f"{today};A stranger;;7.00;GBP"]
    content = "\n".join(["Date;Name;Description;Amount;Currency", *lines])
    bank_statements.import_file(app, row.connection_id, content.encode(), name="june.csv", by="test")
    account = {"currency": "EUR", "payee": "Harbour & Finch", "iban": "DE89370400440532013000"}
    bank_details.set_bank_details(app, row.connection_id, account, by="ann@example.com")


class Terminal:
    """Runs commands in a terminal of a given width, or piped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self.monkeypatch = monkeypatch
        for name in setting_names():
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DUEWELL_HOME", str(home))
        monkeypatch.chdir(home)

    def run(self, command: str, width: int | None = None) -> Result:
        self.monkeypatch.setattr(terminal, "terminal_width", lambda: width)
        result = CliRunner().invoke(cli, command.split(), prog_name="duewell")
        assert result.exit_code == 0, result.output
        return result


@pytest.fixture
def duewell(monkeypatch: pytest.MonkeyPatch, home: Path) -> Terminal:
    return Terminal(monkeypatch, home)


@pytest.mark.parametrize("command", TABLES)
def test_no_table_is_wider_than_the_terminal_and_no_id_or_number_is_cut(duewell: Terminal, command: str) -> None:
    heading, *rows = [line.split("\t") for line in duewell.run(command).stdout.splitlines() if "\t" in line]
    assert rows
    shown = duewell.run(command, 80)
    assert [line for line in shown.stdout.splitlines() if cell_len(line) > 80] == []
    for width in WIDTHS:
        table = tables.fitted_lines(heading, rows, width)
        assert [line for line in (*table.heading, *table.lines) if cell_len(line) > width] == []
        assert missing_figures(heading, rows, table) == []
        if width == 80:
            assert [line for line in table.lines if line not in shown.stdout] == []
            assert all(name in shown.stderr for name in table.left_out)


def missing_figures(heading: list[str], rows: list[list[str]], table: tables.FittedTable) -> list[str]:
    """Return the amounts, numbers, dates and invoice numbers of the columns shown that are not whole on one line."""
    words = set(" ".join(table.lines).split())
    figures = [
        cell
        for row in rows
        for name, cell in zip(heading, row, strict=True)
        if name not in table.left_out and re.fullmatch(r"[A-Z]{3} [\d.,]+|[\d.,–-]+( %)?|(INV|LF)-\S+", cell)
    ]
    return [cell for cell in figures if not words.issuperset(cell.split())]


def test_the_table_of_late_fees_fits(duewell: Terminal) -> None:
    heading = ["ID", "STATE", "INVOICE", "FEE", "ANNUAL RATE %", "COMPANY", "CUSTOMER", "REASON"]
    reason = "Late fee: GBP 1,602.10 on GBP 160,210.00, 18 days late, comes to 20.28 % a year; warned on 20 Nov 2026."
    company, customer = "harbour-finch-studio-ltd", "Twinbrook (Leeds) Ltd"
    rows = [["788", "Awaiting approval", "INV-9015", "GBP 1,602.10", "20.28", company, customer, reason]]
    for width in WIDTHS:
        table = tables.fitted_lines(heading, rows, width)
        assert max(map(cell_len, (*table.heading, *table.lines))) <= width
        assert missing_figures(heading, rows, table) == []
    assert duewell.run("fees", 80).stderr == "There are no late fees.\n"


def test_what_finds_no_room_is_named_and_wide_shows_it(duewell: Terminal) -> None:
    narrow = duewell.run("plan --days 3", 80)
    assert "Left out in 80 columns: MODE, ACTION. Add --wide to see everything." in narrow.stderr
    wide = duewell.run("plan --days 3 --wide", 80)
    assert wide.stdout.splitlines()[0].split() == [
        *("DATE", "COMPANY", "MODE", "ACTION", "STEP", "CUSTOMER", "INVOICES", "AMOUNT", "REASON")
    ]
    assert "Left out" not in wide.stderr


def test_what_stands_below_a_table_fits_too_and_says_which_template_an_email_uses(duewell: Terminal) -> None:
    below = duewell.run("reports ageing", 60).stderr.splitlines()
    assert len(below) > 1
    assert max(map(cell_len, below)) <= 60
    templates = duewell.run("templates", 80)
    assert "TEMPLATE" in templates.stdout
    assert max(map(cell_len, [*templates.stdout.splitlines(), *templates.stderr.splitlines()])) <= 80


def test_amounts_have_separators_and_end_in_one_column(duewell: Terminal) -> None:
    lines = duewell.run("invoices", 100).stdout.splitlines()
    amounts = [found for line in lines if (found := re.search(r"[A-Z]{3} [\d,]+\.\d\d", line))]
    assert any("," in found.group() for found in amounts)
    assert len({found.end() for found in amounts}) == 1


def test_piped_output_is_complete_and_the_same_in_every_window(
    duewell: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = duewell.run("plan --days 3").stdout
    monkeypatch.setenv("COLUMNS", "400")
    assert duewell.run("plan --days 3").stdout == narrow
    rows = [line.split("\t") for line in narrow.splitlines()]
    assert {len(row) for row in rows} == {9}
    assert rows[0][-1] == "REASON"


@pytest.mark.parametrize(
    ("environment", "bold"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_real_terminal_gets_styles_only_if_it_wants_them(home: Path, environment: dict[str, str], bold: bool) -> None:
    lines = in_terminal(["privacy", "retention"], home, {**environment, "COLUMNS": "70"})
    assert ("\x1b[1m" in lines) is bold
    assert max(cell_len(re.sub(r"\x1b\[\d*m", "", line)) for line in lines.splitlines()) <= 70


def in_terminal(words: list[str], home: Path, environment: dict[str, str]) -> str:
    """Run a command with a pseudo-terminal as its stdout and stderr; return what it shows."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", *setting_names()}}
    process = subprocess.Popen(
        [sys.executable, "-m", "connector.cli.main", *words],
        stdout=theirs,
        stderr=theirs,
        cwd=Path(__file__).parents[3],
        env={**kept, **environment, "DUEWELL_HOME": str(home)},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return shown.decode()


def test_wide_characters_count_as_two_columns() -> None:
    shown = tables.fitted_lines(("ID", "CUSTOMER", "AMOUNT"), [("1", "株式会社あおぞら商事", "JPY 1,200")], 24)
    assert all(cell_len(line) <= 24 for line in (*shown.heading, *shown.lines))
    assert "JPY 1,200" in "\n".join(shown.lines)


def test_a_window_too_narrow_for_a_table_gets_a_block_for_each_row() -> None:
    reason = "Second notice: INV-1044 was due on 7 Jan 2026."
    rows = [("7", "2026-11-30", "GBP 12,345.00", reason)] * 2
    shown = tables.fitted_lines(("ID", "DUE ON", "BALANCE", "REASON"), rows, 24)
    assert shown.lines[:3] == ["ID       7", "DUE ON   2026-11-30", "BALANCE  GBP 12,345.00"]
    assert " ".join(" ".join(shown.lines).split()).count("INV-1044") == 2
    assert max(map(cell_len, shown.lines)) <= 24


def test_a_long_list_of_invoices_is_counted_and_never_cut() -> None:
    names = ", ".join(f"INV-{number}" for number in range(1000, 1020))
    shown = tables.fitted_lines(("DATE", "INVOICES"), [("2026-11-30", names)], 80)
    assert shown.lines == ["2026-11-30  INV-1000, INV-1001, INV-1002, 17 more"]
    assert names in tables.tabbed_lines(("DATE", "INVOICES"), [("2026-11-30", names)])[1]


def every_command(command: Any, path: str = "duewell") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, f"{path} {name}")


def test_the_help_of_every_command_fits_80_columns_and_speaks_of_values_not_of_types() -> None:
    for path, command in every_command(typer.main.get_command(cli)):
        text = command.get_help(command.context_class(command, info_name=path, terminal_width=80))
        assert [line for line in text.splitlines() if cell_len(line) > 80] == []
        assert re.findall(r"<(?:int|str|path|list|float|bool)\b.*?>|\d<=x|x[<>]=|2147483647|\{\w+\}", text) == [], path


def test_every_command_that_prints_a_table_is_walked_here() -> None:
    wide = [
        path for path, each in every_command(typer.main.get_command(cli)) if any(x.name == "wide" for x in each.params)
    ]
    walked = {each.partition(" --")[0].removesuffix(" media") for each in TABLES}
    elsewhere = {"fees", "policy diff", "reports"}
    assert {path.removeprefix("duewell ").removesuffix(" list").removesuffix(" show") for path in wide} - elsewhere == {
        each for each in walked if not each.startswith("reports")
    }
