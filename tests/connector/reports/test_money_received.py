"""Cash collected, reminder results, promises, DSO and forecast of a small world, calculated by hand.

The world is at a year's end: "today" is Monday, 4 January 2027, in London; the clocks went back on 25 October.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from connector.arrangements.agreement_outcomes import LEDGER_PROMISE
from connector.db.engine import reading, writing
from connector.db.money import to_e4
from connector.db.tables import (
    Agreement,
    ApplicationRow,
    CompletedStep,
    Connection,
    CreditRow,
    CustomerRow,
    InvoiceRow,
    OutboxEntry,
    PaymentRow,
    Task,
    WriteOff,
)
from connector.reports.cash_collected import cash_collected
from connector.reports.cash_forecast import cash_forecast, expected_cash
from connector.reports.catalogue import BEHIND, REPORTS
from connector.reports.dso import dso
from connector.reports.promises import promises
from connector.reports.reminder_results import reminder_results
from connector.reports.report import Report, format_cell, report_value
from connector.reports.scope import Scope
from connector.services.receivables_totals import load_currency_totals
from connector.vocabulary import AgreementKind, AgreementState, OutboxKind, OutboxState, TaskCode, TaskState
from policies.formatting import format_amount
from policies.receivables import CreditKind, InvoiceStatus, Step

NOON = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)
TODAY = NOON.date()
THIS_WEEK, LAST_WEEK, CHRISTMAS_WEEK = TODAY, date(2026, 12, 28), date(2026, 12, 21)
CLOCKS_WENT_BACK = date(2026, 10, 19)  # the week whose Sunday has 25 hours


def on(text: str) -> date:
    return date.fromisoformat(text)


def invoice(
    number: str, total: str, issued: str, due: str, *, left: str = "0", currency: str = "GBP", **more: Any
) -> Any:
    """An invoice of which ``left`` is open."""
    given: dict[str, Any] = {
        "status": InvoiceStatus.PAID if left == "0" else InvoiceStatus.OPEN,
        "customer_id": "c1",
        **more,
    }
    amounts: dict[str, Any] = {"total_e4": to_e4(Decimal(total)), "due_e4": to_e4(Decimal(left))}
    dates: dict[str, Any] = {"issued_on": on(issued), "due_on": on(due)}
    is_open = given["status"] == InvoiceStatus.OPEN
    return InvoiceRow(
        connection_id=1,
        external_id=number,
        number=number,
        currency=currency,
        is_open=is_open,
        **amounts,
        **dates,
        **given,
    )


def payment(
    name: str, total: str, day: str, applied: dict[str, str], *, currency: str = "GBP", **parts: str
) -> list[Any]:
    """A payment with what of it is applied to which invoice; ``parts`` are what is not money of that."""
    money = sum(map(Decimal, applied.values())) - sum(map(Decimal, parts.values()))
    row = PaymentRow(
        connection_id=1, external_id=name, customer_id="c1", currency=currency, paid_on=on(day),
        total_e4=to_e4(Decimal(total)), unapplied_e4=to_e4(Decimal(total) - money),
    )  # fmt: skip
    return [row, *(application(CreditKind.PAYMENT, name, to, amount, day, **parts) for to, amount in applied.items())]


def application(kind: CreditKind, source: str, to: str, amount: str, day: str, **parts: str) -> ApplicationRow:
    e4 = {f"{name}_e4": to_e4(Decimal(part)) for name, part in parts.items()}
    return ApplicationRow(
        connection_id=1, source_kind=kind, source_id=source, invoice_id=to, applied_on=on(day),
        amount_e4=to_e4(Decimal(amount)), **e4,
    )  # fmt: skip


def credit(
    name: str, total: str, day: str, kind: CreditKind = CreditKind.CREDIT_NOTE, currency: str = "GBP"
) -> CreditRow:
    return CreditRow(
        connection_id=1, kind=kind, external_id=name, customer_id="c1", currency=currency, dated_on=on(day),
        total_e4=to_e4(Decimal(total)), remaining_e4=0,
    )  # fmt: skip


def step(number: str, kind: Step, day: str, **source: Any) -> CompletedStep:
    at = datetime.fromisoformat(f"{day}T09:00:00+00:00")
    return CompletedStep(
        connection_id=1, invoice_id=number, step=kind, customer_id="c1", completed_at=at, completed_on=on(day), **source
    )


def promise(number: str, day: str, state: AgreementState, reason: str = "") -> Agreement:
    return Agreement(
        connection_id=1, kind=AgreementKind.PROMISE, invoice_id=number, customer_id="c1", since_on=on(day),
        reason=reason, until_on=on(day), amount_e4=0, recorded_at=NOON, state=state,
    )  # fmt: skip


def rows_of_the_world() -> list[Any]:
    old = ("2026-06-01", "2026-07-01")
    return [
        CustomerRow(connection_id=1, external_id="c1", name="Miller"),
        # Christmas week: 1,000.00 for "part" and 20.00 that are on no invoice
        invoice("part", "1500.00", "2026-11-02", "2026-12-02", left="500.00"),
        *payment("p1", "1020.00", "2026-12-27", {"part": "1000.00"}),  # a Sunday, the last day of its week
        # Last week, over the year's end: 300.00, of which a credit memo did 50.00, and a deposit of 80.00
        invoice("mixed", "350.00", *old, closed_on=on("2027-01-03")),
        *payment("p2", "300.00", "2027-01-03", {"mixed": "350.00"}, credited="50.00"),
        invoice("deposit", "80.00", "2026-12-31", "2027-01-30", closed_on=on("2026-12-31")),
        application(CreditKind.PAYMENT, "deposit:deposit", "deposit", "80.00", "2026-12-31"),
        # Not money: a write-off and a credit note; not received yet: a payment of tomorrow
        invoice("lost", "700.00", *old, closed_on=on("2026-12-29")),
        *payment("w1", "700.00", "2026-12-29", {"lost": "700.00"}, adjusted="700.00"),
        WriteOff(connection_id=1, payment_id="w1"),
        invoice("returned", "90.00", "2026-12-01", "2026-12-31", closed_on=on("2026-12-30")),
        credit("n1", "90.00", "2026-12-30"),
        application(CreditKind.CREDIT_NOTE, "n1", "returned", "90.00", "2026-12-30"),
        invoice("tomorrow", "60.00", *old, left="60.00"),
        *payment("p3", "60.00", "2027-01-05", {"tomorrow": "60.00"}),
        # The week in which the clocks went back: an overpayment, counted when it came and not when it was used
        credit("o1", "40.00", "2026-10-25", CreditKind.OVERPAYMENT),
        application(CreditKind.OVERPAYMENT, "o1", "deposit", "40.00", "2026-12-31"),
        # Other currencies
        invoice("yen", "100000", *old, currency="JPY", closed_on=on("2027-01-04")),
        *payment("y1", "100000", "2027-01-04", {"yen": "100000"}, currency="JPY"),
        invoice("dinar", "12.345", *old, currency="KWD", closed_on=on("2026-12-28")),
        *payment("k1", "12.345", "2026-12-28", {"dinar": "12.345"}, currency="KWD"),
        invoice("voided", "999.00", *old, status=InvoiceStatus.VOIDED),
        promise("part", "2026-12-31", AgreementState.BROKEN),
        promise("mixed", "2027-01-03", AgreementState.KEPT),
        promise("yen", "2027-01-02", AgreementState.KEPT),
        promise("lost", "2026-12-28", AgreementState.ENDED),
        promise("part", "2026-12-01", AgreementState.BROKEN, LEDGER_PROMISE),
    ]


def steps_of_the_world(email: int, rejected: int, made: int, open_call: int) -> list[CompletedStep]:
    return [
        step("part", Step.PAST_DUE, "2026-12-10", outbox_id=email),
        step("part", Step.SECOND_NOTICE, "2026-12-20", outbox_id=email),  # seven days before the money
        step("mixed", Step.PAST_DUE, "2026-12-26", outbox_id=email),  # eight days: too early
        step("yen", Step.PAST_DUE, "2026-12-28", outbox_id=email),
        step("yen", Step.CALL, "2026-12-20", task_id=made),  # made on 30 December: the later one brought the money
        step("dinar", Step.CALL, "2026-12-25", task_id=open_call),  # never made
        step("dinar", Step.PAST_DUE, "2026-12-27", outbox_id=rejected),  # never sent
        step("dinar", Step.THANK_YOU, "2026-12-27", outbox_id=email),  # asks for nothing
        step("lost", Step.PAST_DUE, "2026-12-25", outbox_id=email),  # closed without money
    ]


def task(name: str, state: TaskState, ended: datetime | None) -> Task:
    return Task(
        connection_id=1, key=name, code=TaskCode.CALL, customer_id="c1", invoice_ids=[], due_on=TODAY, state=state,
        created_at=NOON, ended_at=ended,
    )  # fmt: skip


def entry(name: str, state: OutboxState) -> OutboxEntry:
    return OutboxEntry(
        connection_id=1, key=name, kind=OutboxKind.EMAIL, state=state, customer_id="c1", payload={}, planned_at=NOON
    )


@pytest.fixture
def world(engine: Engine) -> Engine:
    with writing(engine) as session:
        session.add(
            Connection(
                short_name="one",
                provider="xero",
                external_id="one",
                name="One",
                time_zone="Europe/London",
                created_at=NOON,
            )
        )
        session.flush()
        session.add_all(rows_of_the_world())
        sources: list[Any] = [
            entry("sent", OutboxState.DONE),
            entry("rejected", OutboxState.REJECTED),
            task("made", TaskState.DONE, datetime(2026, 12, 30, 15, tzinfo=UTC)),
            task("open", TaskState.OPEN, None),
        ]
        session.add_all(sources)
        session.flush()
        session.add_all(steps_of_the_world(*(each.id or 0 for each in sources)))
    return engine


def scope_of(session: Session, now: datetime = NOON) -> Scope:
    return Scope([session.get_one(Connection, 1)], now)


def test_cash_collected_is_what_came_by_the_week_of_the_payment(world: Engine) -> None:
    with reading(world) as session:
        report = cash_collected(session, scope_of(session))
    weeks: dict[Any, Any] = {
        (row.currency, row.on): (row.collected, row.on_invoices, row.unapplied, row.reminded)
        for row in report.rows
        if row.collected
    }
    assert weeks == {
        ("GBP", CLOCKS_WENT_BACK): (40, 0, 40, 0),
        ("GBP", CHRISTMAS_WEEK): (1020, 1000, 20, 1000),  # the second notice was seven days before
        ("GBP", LAST_WEEK): (380, 380, 0, 0),  # 300 on Sunday, 3 January, and the deposit
        ("JPY", THIS_WEEK): (100000, 100000, 0, 100000),
        ("KWD", LAST_WEEK): (Decimal("12.345"), Decimal("12.345"), 0, 0),
    }
    assert {row.on for row in report.rows} == {TODAY - timedelta(weeks=back) for back in range(13)}
    [yen] = [item for item in report.items() if item["id"] == f"JPY:{THIS_WEEK}"]
    [dinar] = [item for item in report.items() if item["id"] == f"KWD:{LAST_WEEK}"]
    assert (yen["collected"], dinar["collected"]) == ("100000", "12.345")


def test_a_payment_is_brought_by_the_latest_reminder_of_the_week_before_it(world: Engine) -> None:
    with reading(world) as session:
        rows = reminder_results(session, scope_of(session)).rows
    figures: dict[str, Any] = {row.id: (row.completed, row.paid, row.percent, row.received) for row in rows}
    assert figures == {
        "GBP:past_due": (3, 0, 0.0, 0),  # part, mixed, and lost, which no money closed
        "GBP:second_notice": (1, 0, 0.0, 1000),  # half paid is not paid, but the money came
        "JPY:past_due": (1, 1, 100.0, 0),  # the call was later
        "JPY:call": (0, 0, None, 100000),  # made five days ago: too recent for a share
    }


def test_a_call_made_long_after_its_task_is_in_the_list_as_in_the_report(world: Engine) -> None:
    with writing(world) as session:
        made = session.exec(select(Task).where(Task.key == "made")).one()
        session.add(step("mixed", Step.CALL, "2026-09-20", task_id=made.id))
    with reading(world) as session:
        scope = scope_of(session)
        [row] = [row for row in cash_collected(session, scope).rows if row.id == f"GBP:{LAST_WEEK}"]
        behind = BEHIND["cash-collected"](session, scope, row.id, "reminded")
    assert row.reminded == Decimal(300)
    assert behind is not None
    assert behind.total == "GBP 300.00"


def test_only_promises_that_somebody_made_count(world: Engine) -> None:
    with reading(world) as session:
        report = promises(session, scope_of(session))
    rows = {row.id: row for row in report.rows}
    assert format_cell(rows["2026-12"], report.columns[0]) == "Dec 2026"
    december, january = rows["2026-12"], rows["2027-01"]
    assert (december.kept, december.broken, december.percent) == (0, 1, 0.0)
    assert (january.kept, january.broken, january.percent) == (2, 0, 100.0)
    assert rows["2026-11"].percent is None


def test_sales_of_the_dso_are_net_of_credit_notes(world: Engine) -> None:
    """Open 560 of what was issued until today; invoiced since 7 October 1,670 less 90 credited: 560 / 1,580 * 90."""
    with reading(world) as session:
        [today] = [row for row in dso(session, scope_of(session)).rows if row.currency == "GBP" and row.is_current]
    figures: Any = (today.open, today.invoiced, today.credited, today.days)
    assert figures == (560, 1670, 90, 31.9)


def test_the_expected_cash_follows_what_is_open_now_and_what_was_open_a_week_ago(world: Engine) -> None:
    """Nobody has paid so far but "mixed", "lost" and what was paid late: the company's own behaviour decides."""
    with reading(world) as session:
        scope = scope_of(session)
        expected = expected_cash(session, scope)["GBP"]
        [totals] = [each for each in load_currency_totals(session, scope) if each.currency == "GBP"]
        first, second, *_ = [row for row in cash_forecast(session, scope).rows if row.currency == "GBP"]
    assert first.on == TODAY  # a Monday: the first week has seven days, as the coming seven days have
    assert expected.expected == first.expected
    assert (expected.low, expected.high) == (first.low, first.high)
    assert second.on == TODAY + timedelta(days=7)
    assert totals.expected == expected
    assert totals.expected_change == expected.expected - expected.a_week_ago
    assert totals.received == 380


def test_what_is_behind_each_figure_adds_up_to_it(world: Engine) -> None:
    checked = set()
    with reading(world) as session:
        scope = scope_of(session)
        for name, build in REPORTS.items():
            report: Report[Any] = build(session, scope)
            for row in report.rows:
                for column in report.columns:
                    drill = row.drill(column.key)
                    if drill is None or not drill.row:
                        continue
                    behind = BEHIND[name](session, scope, drill.row, drill.column)
                    assert behind is not None
                    assert behind.rows, "a figure of nothing is no link"
                    headings, *lines = behind.table_rows()
                    place = headings.index("Currency")
                    assert {len(str(line[place])) for line in lines} == {3}, "each amount has its currency"
                    figure: Any = report_value(row, column.key)
                    is_count = isinstance(figure, int)
                    added = len(behind.rows) if is_count else sum((each.amount for each in behind.rows), Decimal())
                    assert added == pytest.approx(figure, abs=0 if is_count else Decimal("0.02")), (
                        name,
                        row.id,
                        column,
                    )
                    assert is_count or behind.total == format_amount(figure, row.currency)
                    checked.add((name, column.key))
            assert name not in BEHIND or BEHIND[name](session, scope, "GBP:1999-01-04", "collected") is None
    assert checked == {
        *(("cash-collected", each) for each in ("collected", "on_invoices", "unapplied", "reminded")),
        ("cash-forecast", "expected"),
        *(("promises", each) for each in ("kept", "broken")),
        *(("reminder-results", each) for each in ("completed", "paid", "received")),
    }


def test_what_is_applied_in_another_currency_is_not_deducted_from_a_payment(world: Engine) -> None:
    """1,000 euros that settle an invoice of 850 pounds leave nothing; of 500 euros more, 20 are unapplied."""
    rows: list[Any] = [invoice("pounds", "850.00", "2026-12-01", "2026-12-31", closed_on=on("2026-12-30"))]
    for name, total, applied, rest in (("e1", "1000.00", "850.00", 0), ("e2", "500.00", "400.00", 200_000)):
        row, part = payment(name, total, "2026-12-30", {"pounds": applied}, currency="EUR")
        row.unapplied_e4 = rest
        rows += [row, part]
    with writing(world) as session:
        session.add_all(rows)
    with reading(world) as session:
        report = cash_collected(session, scope_of(session))
    euros = [(row.on_invoices, row.unapplied) for row in report.rows if row.currency == "EUR" and row.collected]
    assert euros == [(Decimal(0), Decimal(20))]
