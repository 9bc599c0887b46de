"""The figures of every report, calculated by hand for a small ledger, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from connector.db.engine import reading, writing
from connector.db.tables import ApplicationRow, CompletedStep, Connection, CustomerRow, InvoiceRow, OutboxEntry
from connector.reports import ageing, cash_forecast, days_to_pay, dso, fees, payment_probability, reminder_results
from connector.reports.catalogue import REPORTS, TITLES
from connector.reports.report import Report, ReportRow
from connector.reports.scope import Scope
from connector.services.explain import explain
from connector.vocabulary import OutboxKind, OutboxState
from policies.payment_behaviour import Forecast
from policies.receivables import CreditKind
from tests.connector.scenario import Scenario

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)  # a Wednesday
TODAY = NOON.date()
Row = TypeVar("Row", bound=ReportRow)


def parse_date(text: str) -> date:
    return date.fromisoformat(text)


def company(name: str, zone: str = "Europe/London") -> Connection:
    return Connection(short_name=name, provider="xero", external_id=name, name=name, time_zone=zone, created_at=NOON)


def invoice(
    number: str, total: int, issued: str, due: str | None, *, customer: str = "c1", settled: str = "", **more: Any
) -> InvoiceRow:
    """An invoice, paid in full on ``settled_on`` or else open."""
    fields: dict[str, Any] = {
        "connection_id": 1,
        "currency": "GBP",
        "total_e4": total * 10_000,
        "due_e4": 0 if settled else total * 10_000,
        "status": "paid" if settled else "open",
        "is_open": not settled,
        "closed_on": parse_date(settled) if settled else None,
    }
    return InvoiceRow(
        external_id=number,
        number=number,
        customer_id=customer,
        issued_on=parse_date(issued),
        due_on=parse_date(due) if due else None,
        **{**fields, **more},
    )


def applied_payment(number: str, amount: int, day: str) -> ApplicationRow:
    return ApplicationRow(
        connection_id=1, source_kind=CreditKind.PAYMENT, source_id=number, invoice_id=number,
        applied_on=parse_date(day),
        amount_e4=amount * 10_000,
    )  # fmt: skip


def outbox_entry(kind: str, key: str, ended: str, state: str = "done", amount: str = "12.50") -> OutboxEntry:
    return OutboxEntry(
        connection_id=1, key=key, kind=OutboxKind(kind), state=OutboxState(state), customer_id="c1",
        currency="GBP", payload={"amount": amount},
        ended_at=datetime.fromisoformat(f"{ended}T12:00:00+00:00"), planned_at=NOON,
    )  # fmt: skip


def sample_ledger() -> list[Any]:
    """Two companies; the second one's balances are in another currency and must never be added to the first's."""
    return [
        company("one"),
        company("two", "Pacific/Auckland"),  # eleven at night there
        CustomerRow(connection_id=1, external_id="c1", name="=Miller"),
        CustomerRow(connection_id=1, external_id="c2", name="Baker"),
        invoice("old", 1000, "2026-01-05", "2026-02-04", settled="2026-05-20"),  # 135 days, 105 late
        invoice("new", 600, "2026-05-01", "2026-05-31", settled="2026-05-29"),  # 28 days, on time
        invoice("part", 500, "2026-04-20", "2026-05-20", due_e4=2_000_000),  # 300 paid on 1 June; 21 days late
        invoice("today", 250, "2026-05-11", "2026-06-10"),
        invoice("median_days_late", 70, "2026-03-01", "2026-03-31", customer="c2"),  # 71 days late
        invoice("worst", 30, "2026-02-01", "2026-03-01", customer="c2"),  # 101 days late
        invoice("undated", 5, "2026-06-01", None),
        invoice("draft", 999, "2026-06-01", "2026-07-01", status="draft", is_open=False, due_e4=0),
        invoice("void", 888, "2026-05-02", "2026-06-01", status="voided", is_open=False, due_e4=0),
        invoice("far", 40, "2026-05-10", "2026-06-09", connection_id=2, currency="NZD"),
        applied_payment("old", 1000, "2026-05-20"),
        applied_payment("new", 600, "2026-05-29"),
        applied_payment("part", 300, "2026-06-01"),
        outbox_entry("email", "m1", "2026-05-24"),
        outbox_entry("email", "m2", "2026-05-14", state="rejected"),
        outbox_entry("late_fee", "f1", "2026-05-24", amount="12.50"),
        outbox_entry("late_fee", "f2", "2026-06-02", amount="7.50"),
        outbox_entry("late_fee", "f3", "2026-06-03", state="awaiting_approval"),
        outbox_entry("fee_waiver", "w1", "2026-06-05", amount="12.50"),
    ]


def completed_steps(ids: dict[str, int]) -> list[CompletedStep]:
    def step(number: str, name: str, day: str, key: str) -> CompletedStep:
        at = datetime.fromisoformat(f"{day}T09:00:00+00:00")
        more: dict[str, Any] = {"outbox_id": ids[key], "completed_at": at, "completed_on": parse_date(day)}
        return CompletedStep(connection_id=1, invoice_id=number, step=name, customer_id="c1", **more)

    return [
        step("new", "past_due", "2026-05-24", "m1"),  # paid five days later
        step("part", "past_due", "2026-05-24", "m1"),  # not paid in full
        step("old", "past_due", "2026-05-21", "m1"),  # had been paid the day before
        step("median_days_late", "past_due", "2026-05-14", "m2"),  # the email was never sent
        step("median_days_late", "call", "2026-06-04", "m1"),  # six days ago: too recent
    ]


def build_report(engine: Engine, build: Callable[[Session, Scope], Report[Row]], *ids: int) -> Report[Row]:
    with reading(engine) as session:
        companies = [session.get_one(Connection, each) for each in ids or (1, 2)]
        return build(session, Scope(companies, NOON))


@pytest.fixture
def sample_engine(engine: Engine) -> Engine:
    with writing(engine) as session:
        rows = sample_ledger()
        session.add_all(rows[:2])
        session.flush()
        session.add_all(rows[2:])
        session.flush()
        session.add_all(completed_steps({row.key: row.id or 0 for row in rows if isinstance(row, OutboxEntry)}))
    return engine


def test_the_figures_of_a_small_ledger_equal_those_calculated_by_hand(sample_engine: Engine) -> None:
    pounds, dollars = build_report(sample_engine, ageing.ageing).rows
    assert [*pounds.buckets, pounds.total] == [255, 200, 0, 70, 30, 555]
    assert (pounds.late_percent, pounds.invoices) == (54.1, 5)  # 300 of 555
    assert (dollars.currency, dollars.days_1_30, dollars.total) == ("NZD", Decimal(40), Decimal(40))

    who = build_report(sample_engine, ageing.ageing_by_customer).rows
    assert [(row.customer, row.total, row.late_percent) for row in who] == [
        ("=Miller", Decimal(455), 44.0),
        ("Baker", Decimal(100), 100.0),
        ("c1", Decimal(40), 100.0),
    ]

    months = {row.on: row for row in build_report(sample_engine, dso.dso, 1).rows}
    assert sorted(months) == [parse_date("2026-04-30"), parse_date("2026-05-31"), TODAY], (
        "before that, the invoices do not reach back far enough"
    )
    # 30 April: open were old 1000, part 500, late 70, worst 30; invoiced since 31 January: 30 + 70 + 500.
    april, may, now = (months[each] for each in sorted(months))
    assert (april.open, april.invoiced, april.days) == (Decimal(1600), Decimal(600), 240.0)
    # 31 May: part 500, today 250, late 70, worst 30; invoiced since 3 March: 600 + 500 + 250.
    assert (may.open, may.invoiced, may.days) == (Decimal(850), Decimal(1350), 56.7)
    # 10 June: 555 open; invoiced since 13 March: 600 + 500 + 250 + 5.
    assert (now.open, now.invoiced, now.days) == (Decimal(555), Decimal(1355), 36.9)

    new, everybody = build_report(sample_engine, days_to_pay.days_to_pay).rows
    assert (new.segment, everybody.id) == ("New", "all")
    assert [
        getattr(everybody, key)
        for key in ("invoices", "first_quartile", "median", "third_quartile", "median_days_late")
    ] == [
        2,
        28,
        28,
        135,
        -2,
    ]
    assert everybody.late_percent == 50.0

    [step] = build_report(sample_engine, reminder_results.reminder_results).rows
    assert (step.id, step.completed, step.paid, step.percent) == ("GBP:past_due", 2, 1, 50.0)
    assert step.received == Decimal(600)  # of "new"; what came for "part" came on the eighth day

    by_month = {
        row.on: (row.charged, row.fees, row.waived, row.net) for row in build_report(sample_engine, fees.fees).rows
    }
    assert len(by_month) == 13
    assert by_month[parse_date("2026-05-01")] == (Decimal("12.50"), 1, Decimal(0), Decimal("12.50"))
    assert by_month[parse_date("2026-06-01")] == (Decimal("7.50"), 1, Decimal("12.50"), Decimal("-5.00"))


def test_an_invoice_is_overdue_by_the_date_in_its_company(sample_engine: Engine) -> None:
    midnight = datetime(2026, 6, 10, 12, 30, tzinfo=UTC)  # in Auckland it is the eleventh
    with writing(sample_engine) as session:
        session.add(invoice("far-today", 60, "2026-05-11", "2026-06-10", connection_id=2, currency="NZD"))
    with reading(sample_engine) as session:
        rows = ageing.ageing(session, Scope([session.get_one(Connection, each) for each in (1, 2)], midnight)).rows
    told = {row.currency: (row.not_due, row.days_1_30) for row in rows}
    assert told == {"GBP": (Decimal(255), Decimal(200)), "NZD": (Decimal(0), Decimal(100))}


def test_reports_count_from_the_due_date_of_the_accounting_system_and_reminders_from_the_one_in_force(
    scenario: Scenario,
) -> None:
    """Due on a Saturday and payable until Monday: the ledger's own report says two days overdue on that Monday."""
    scenario.company.customer("Ashdown Ltd")
    number = scenario.company.invoice("Ashdown Ltd", "900.00", due_on=date(2026, 6, 13))
    scenario.go_live()
    scenario.set_policy('[late_fees]\ndue_on_weekend = "next_business_day"\n')
    scenario.pass_days(5)
    scenario.run()
    with reading(scenario.app.engine) as session:
        scope = Scope([session.get_one(Connection, scenario.connection)], scenario.app.now())
        [row] = ageing.ageing(session, scope).rows
    assert (row.not_due, row.days_1_30) == (Decimal(0), Decimal(900))
    decision = explain(scenario.app, number, None).decision
    assert decision is not None
    assert decision.code == "due_today"


def test_the_cash_forecast_follows_payment_behaviour() -> None:
    days = [TODAY + timedelta(days=each) for each in range(40)]
    coming = Forecast(expected_on=days[10], earliest_on=days[6], latest_on=days[18], late_share=0.5)
    # one in ten by day 6, begun on day 5; half by day 10; nine in ten by day 18; all by day 20
    assert [
        payment_probability.probability_paid(coming, days[each]) for each in (4, 5, 6, 8, 10, 14, 18, 19, 20, 30)
    ] == pytest.approx([0, 0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1, 1])
    weeks = payment_probability.week_starts(TODAY)
    assert weeks[:3] == [TODAY, parse_date("2026-06-15"), parse_date("2026-06-22")]
    found = payment_probability.CurrencyForecast()
    found.add(payment_probability.OpenGroup(1000.0, 1000.0**2, coming), weeks, TODAY)
    found.add(payment_probability.OpenGroup(500.0, 500.0**2, coming), weeks, TODAY)
    # until Sunday (day 4) nothing; the next week (to day 11) 0.55 of each; the week after (to day 18) 0.35
    assert found.means[:4] == pytest.approx([0, 825, 525, 150])
    assert found.variances[1] == pytest.approx((1000**2 + 500**2) * 0.55 * 0.45)
    low, high = found.interval(1)
    assert (round(low), round(high)) == (112, 1538)  # 825 -+ 1.2816 * 556.2
    assert found.interval(0) == (0, 0)
    later = payment_probability.CurrencyForecast()
    later.add(
        payment_probability.OpenGroup(1000.0, 1000.0**2, coming), payment_probability.week_starts(days[10]), days[10]
    )
    # a Saturday: given that it was not paid by day 9, to which 0.4 belong, two days are left of the week, with 0.15
    assert later.means[0] == pytest.approx(1000 * 0.15 / 0.6)
    late = payment_probability.CurrencyForecast()
    late.add(
        payment_probability.OpenGroup(1000.0, 1000.0**2, coming), payment_probability.week_starts(days[19]), days[19]
    )
    assert (sum(late.means), late.overdue) == (0, 1000)


def test_the_cash_forecast_names_what_it_does_not_count(sample_engine: Engine) -> None:
    report = build_report(sample_engine, cash_forecast.cash_forecast, 1)
    assert {row.currency for row in report.rows} == {"GBP"}
    assert len(report.rows) == payment_probability.WEEKS
    assert all(row.low <= row.expected <= row.high for row in report.rows)
    assert "no due date" in report.notes[0]
    counted = sum(row.expected for row in report.rows)
    assert 200 < counted < 555


def test_reports_of_an_empty_ledger_are_empty(engine: Engine) -> None:
    with writing(engine) as session:
        session.add(company("one"))
    for name in REPORTS:
        report = build_report(engine, REPORTS[name], 1)
        assert (report.name, list(report.rows), list(report.plots)) == (name, [], [])
    assert list(TITLES) == list(REPORTS)


def test_quantiles_and_month_ends() -> None:
    assert [days_to_pay.quantile([1, 2, 3, 4], part) for part in (0.25, 0.5, 0.75, 1)] == [1, 2, 3, 4]
    assert [days_to_pay.quantile([7], part) for part in (0.25, 0.5, 0.75)] == [7, 7, 7]
    assert dso.month_ends(parse_date("2026-03-31"), 2) == [parse_date("2026-01-31"), parse_date("2026-02-28")]


def test_programs_get_amounts_with_the_decimals_of_their_currency(sample_engine: Engine) -> None:
    [first, _dollars] = build_report(sample_engine, ageing.ageing).items()
    assert (first["currency"], first["total"], first["late_percent"]) == ("GBP", "555.00", 54.1)
    report = build_report(sample_engine, ageing.ageing)
    yen = replace(report.rows[0], currency="JPY", not_due=Decimal("1000.00"), total=Decimal("1000.00"))
    report = replace(report, rows=[yen])
    assert report.items()[0]["total"] == "1000"
    assert list(report.table_rows())[1][1] == "1000"
