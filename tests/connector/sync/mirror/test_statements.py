"""The facts for the policies: the mirror, users' settings, and past actions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import Session, select

from connector.db.engine import reading, writing
from connector.db.tables import Agreement, CompletedStep, Connection, CustomerSetting, InvoiceSetting, OutboxEntry, Task
from connector.sync.mirror import mailboxes
from connector.sync.mirror.pages import load_statements, store_page
from connector.vocabulary import AgreementState, OutboxKind, OutboxState, TaskCode
from policies.policy import ReminderPolicy
from policies.receivables import (
    BalanceChange,
    Credit,
    CreditKind,
    Discount,
    Invoice,
    InvoiceStatus,
    PastAction,
    Segment,
    SettlementKind,
    Size,
    Statement,
    Step,
)
from policies.segments import segment_of, size_of
from providers.ledger import (
    ApplicationRecord,
    ChangePage,
    CreditRecord,
    CustomerRecord,
    InvoiceRecord,
    MalformedRecord,
    PaymentRecord,
    RecordKind,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 20)


def _customer(name: str, **more: Any) -> CustomerRecord:
    plain = CustomerRecord(
        name,
        f"Customer {name}",
        "",
        f"{name}@example.com",
        "Germany",
        "",
        "",
        active=True,
        merged_into=None,
        updated_at=NOW,
    )
    return plain._replace(**more)


def _invoice(name: str, customer: str = "a", **more: Any) -> InvoiceRecord:
    plain = InvoiceRecord(
        name, f"INV-{name}", customer, "EUR", date(2026, 10, 1), date(2026, 10, 31), Decimal(100), Decimal(100),
        InvoiceStatus.OPEN,
        sent_to_customer=True, closed_on=None, promised_on=None, discount_amount=None, discount_until_on=None,
        reference="", ledger_fee=False, version="", lines="[]", updated_at=NOW,
    )  # fmt: skip
    return plain._replace(**more)


def _paid(name: str, customer: str = "a", on: date = date(2026, 11, 10), **more: Any) -> InvoiceRecord:
    return _invoice(name, customer, due=Decimal(0), status="paid", closed_on=on, **more)


@pytest.fixture
def mirrored(engine: Engine) -> Engine:
    with writing(engine) as session:
        session.add(
            Connection(
                short_name="acme", provider="xero", external_id="1", name="Acme", base_currency="EUR", country="US",
                time_zone="America/Denver", synced_at=NOW, created_at=NOW,
            )
        )  # fmt: skip
    return engine


def _store(mirrored: Engine, *rows: Any, **parts: Any) -> None:
    with writing(mirrored) as session:
        store_page(session, 1, ChangePage(cursor="", **parts))
        session.add_all(rows)
        session.get_one(Connection, 1).mirror_version += 1


def _facts(mirrored: Engine, *ids: str, now: datetime = NOW) -> dict[str, tuple[Statement, ...]]:
    with reading(mirrored) as session:
        connection = session.exec(select(Connection)).one()
        found = load_statements(session, connection, now=now, customer_ids=ids or None)
        return {statements[0].customer.id: statements for statements in found}


def _only(mirrored: Engine) -> Statement:
    ((statement,),) = _facts(mirrored).values()
    return statement


def _only_invoice(mirrored: Engine) -> Invoice:
    (invoice,) = _only(mirrored).invoices
    return invoice


def test_a_statement_has_the_data_of_the_ledger(mirrored: Engine) -> None:
    _store(
        mirrored,
        customers=[_customer("a", contact_name="Ann", emails="a@x.example, b@x.example", language="de")],
        invoices=[
            _invoice("1", due=Decimal("80.50"), discount_amount=Decimal(2), discount_until_on=date(2026, 10, 11),
                     promised_on=date(2026, 12, 1), ledger_fee=True, sent_to_customer=False)
        ],
        applications=[
            ApplicationRecord(CreditKind.PAYMENT, "p2", "1", date(2026, 11, 3), Decimal(9)),
            ApplicationRecord(CreditKind.CREDIT_NOTE, "n1", "1", date(2026, 11, 2), Decimal("10.5")),
        ],
        payments=[PaymentRecord("p1", "a", "EUR", date(2026, 11, 4), Decimal(50), Decimal(7), NOW)],
        credits=[
            CreditRecord("n2", CreditKind.OVERPAYMENT, "", "a", "EUR", date(2026, 11, 1), Decimal(5), Decimal(5), NOW)
        ],
    )  # fmt: skip
    statement = _only(mirrored)
    assert (statement.company.name, statement.company.time_zone) == ("Acme", "America/Denver")
    assert (statement.currency, statement.synced_at, statement.last_payment_on) == ("EUR", NOW, date(2026, 11, 4))
    customer = statement.customer
    assert (customer.id, customer.name, customer.contact_name) == ("a", "Customer a", "Ann")
    assert (customer.emails, customer.language) == (("a@x.example", "b@x.example"), "de")
    assert (customer.country, customer.time_zone) == ("DE", "Europe/Berlin")
    assert (customer.first_invoiced_on, customer.paid_invoices) == (date(2026, 10, 1), 0)
    (invoice,) = statement.invoices
    assert (invoice.number, invoice.total, invoice.due) == ("INV-1", Decimal(100), Decimal("80.50"))
    assert (invoice.discount, invoice.promised_on) == (Discount(Decimal(2), date(2026, 10, 11)), date(2026, 12, 1))
    assert (invoice.ledger_fee, invoice.sent_to_customer) == (True, False)
    assert invoice.balance_changes == (
        BalanceChange(date(2026, 11, 2), Decimal("-10.5"), SettlementKind.CREDIT),
        BalanceChange(date(2026, 11, 3), Decimal(-9)),
    )
    assert statement.credits == (
        Credit("n2", CreditKind.OVERPAYMENT, "a", "EUR", Decimal(5), date(2026, 11, 1)),
        Credit("p1", CreditKind.PAYMENT, "a", "EUR", Decimal(7), date(2026, 11, 4)),
    )


def test_two_currencies_are_two_statements(mirrored: Engine) -> None:
    credit = CreditRecord("n", CreditKind.CREDIT_NOTE, "", "a", "USD", TODAY, Decimal(5), Decimal(5), NOW)
    _store(
        mirrored, customers=[_customer("a")], invoices=[_invoice("1"), _invoice("2", currency="USD")], credits=[credit]
    )
    eur, usd = _facts(mirrored)["a"]
    assert ([i.id for i in eur.invoices], [i.id for i in usd.invoices]) == (["1"], ["2"])
    assert (eur.credits, len(usd.credits)) == ((), 1)


def test_statements_include_only_customers_who_owe_or_recently_paid(mirrored: Engine) -> None:
    _store(
        mirrored,
        customers=[_customer(name) for name in "abcde"],
        invoices=[
            _invoice("1", "b"),
            _paid("2", "a", TODAY - timedelta(days=45)),
            _paid("3", "c", TODAY - timedelta(days=46)),
            _invoice("4", "d", status="voided", due=Decimal(0)),
            _paid("5", "b", TODAY - timedelta(days=400)),
        ],
    )
    facts = _facts(mirrored)
    assert list(facts) == ["a", "b"]
    assert [invoice.id for invoice in facts["b"][0].invoices] == ["1"]
    assert list(_facts(mirrored, "b", "c")) == ["b"]


def test_today_is_the_date_in_the_company(mirrored: Engine) -> None:
    _store(mirrored, customers=[_customer("a")], invoices=[_paid("1", on=date(2026, 10, 6))])
    assert "a" in _facts(mirrored, now=datetime(2026, 11, 21, 6, 0, tzinfo=UTC))  # still the 20th in Denver
    assert "a" not in _facts(mirrored, now=datetime(2026, 11, 21, 8, 0, tzinfo=UTC))


def test_settings_of_users_override_the_ledger(mirrored: Engine) -> None:
    _store(
        mirrored,
        CustomerSetting(
            connection_id=1, customer_id="a", segment=Segment.STRATEGIC, hold_until_on=TODAY, no_reminders=True,
            no_fees=True,
            fees_agreed_on=date(2026, 1, 1), emails="cfo@x.example", contact_name="Cleo", language="fr",
            suppression_reason="bounced", set_at=NOW,
        ),
        InvoiceSetting(
            connection_id=1, invoice_id="1", disputed_on=date(2026, 11, 1), dispute_reason="broken",
            promised_on=date(2026, 11, 30), paused=True, paused_until_on=date(2026, 12, 24), set_at=NOW,
        ),
        customers=[_customer("a")],
        invoices=[_invoice("1", promised_on=date(2026, 11, 2))],
    )  # fmt: skip
    customer, invoice = _only(mirrored).customer, _only_invoice(mirrored)
    assert (customer.segment, customer.hold_until_on, customer.no_reminders) == (Segment.STRATEGIC, TODAY, True)
    assert (customer.no_fees, customer.fees_agreed_on) == (True, date(2026, 1, 1))
    assert (customer.emails, customer.contact_name, customer.language) == (("cfo@x.example",), "Cleo", "fr")
    assert customer.suppression_reason == "bounced"
    assert (invoice.disputed_on, invoice.dispute_reason) == (date(2026, 11, 1), "broken")
    assert (invoice.promised_on, invoice.paused_until_on) == (date(2026, 11, 30), date(2026, 12, 24))


def _completed(invoice: str, step: Step, entry: int | None = None, **more: Any) -> CompletedStep:
    facts = {"completed_at": NOW, "completed_on": TODAY, "customer_id": "a", "announced_fee": True, **more}
    return CompletedStep(connection_id=1, invoice_id=invoice, step=step.value, outbox_id=entry, **facts)


def _entry(number: int, kind: OutboxKind, state: OutboxState, **more: Any) -> OutboxEntry:
    facts = {"customer_id": "a", "payload": {}, "planned_at": NOW, **more}
    return OutboxEntry(id=number, connection_id=1, key=f"key {number}", kind=kind, state=state, **facts)


def test_past_actions_say_what_was_done_and_whether_it_is_confirmed(mirrored: Engine) -> None:
    _store(mirrored, customers=[_customer("a")], invoices=[_invoice("1"), _invoice("2", currency="USD")])
    states = (OutboxState.DONE, OutboxState.UNCONFIRMED, OutboxState.SENDING, OutboxState.REJECTED)
    _store(
        mirrored,
        *(_entry(number, OutboxKind.EMAIL, state) for number, state in enumerate(states, start=1)),
        _entry(9, OutboxKind.LATE_FEE, OutboxState.DONE, payload={"charges": []}),
    )
    _store(
        mirrored,
        Task(
            id=1,
            connection_id=1,
            key="t",
            code=TaskCode.CALL,
            customer_id="a",
            invoice_ids=[],
            due_on=TODAY,
            created_at=NOW,
        ),
    )
    _store(
        mirrored,
        _completed("1", Step.BEFORE_DUE, 1),
        _completed("1", Step.PAST_DUE, 2),
        _completed("1", Step.SECOND_NOTICE, 3),
        _completed("1", Step.PLAN_OFFER, 4),
        _completed("1", Step.LATE_FEE, 9, recurrence_key="2026-11"),
        _completed("1", Step.CALL, task_id=1),
        _completed("1", Step.FINAL_NOTICE),  # rejected by a user
    )
    eur, usd = _facts(mirrored)["a"]
    assert eur.past_actions == usd.past_actions  # the limits count emails per customer
    assert set(eur.past_actions) == {
        PastAction(Step.BEFORE_DUE, "1", NOW, TODAY, "key 1", reader_id="a"),
        PastAction(Step.PAST_DUE, "1", NOW, TODAY, "key 2", unconfirmed=True, reader_id="a"),
        PastAction(Step.SECOND_NOTICE, "1", NOW, TODAY, "key 3", unconfirmed=True, reader_id="a"),
        PastAction(Step.LATE_FEE, "1", NOW, TODAY, "key 9", is_contact=False, recurrence_key="2026-11", reader_id="a"),
        PastAction(Step.CALL, "1", NOW, TODAY, is_contact=False),
        PastAction(Step.FINAL_NOTICE, "1", NOW, TODAY, is_contact=False),
    }


def test_our_fee_invoices_are_recognised_by_the_outbox_and_by_their_numbers(mirrored: Engine) -> None:
    _store(
        mirrored,
        _entry(1, OutboxKind.LATE_FEE, OutboxState.DONE, reference="f1", invoice_id="1", payload={"charges": []}),
        customers=[_customer("a"), _customer("b")],
        invoices=[
            _invoice("1"),
            _invoice("f1", number="LF-INV-1-2610", reference="INV-1"),
            _invoice("f2", number="LF-INV-1-2611", reference="INV-1"),
            _invoice("x", "b", number="LF-7", reference="their order 7"),
            _invoice("y", "b", number="LF-8", reference="INV-1"),
        ],
    )
    facts = _facts(mirrored)
    assert {i.id: i.fee_of for i in facts["a"][0].invoices} == {"1": None, "f1": "1", "f2": "1"}
    assert {i.id: i.fee_of for i in facts["b"][0].invoices} == {"x": None, "y": None}  # their own numbers


def test_an_invoice_whose_newest_version_is_unreadable_is_not_acted_on(mirrored: Engine) -> None:
    _store(mirrored, customers=[_customer("a")], invoices=[_invoice("1")])
    assert not _only_invoice(mirrored).paused
    _store(mirrored, malformed=[MalformedRecord(RecordKind.INVOICE, "1", "AmountDue is missing", b"{}")])
    assert _only_invoice(mirrored).paused
    _store(mirrored, invoices=[_invoice("1")])
    assert not _only_invoice(mirrored).paused


def test_an_unknown_customer_has_no_address(mirrored: Engine) -> None:
    _store(mirrored, invoices=[_invoice("1")])
    assert (_only(mirrored).customer.emails, _only(mirrored).customer.active) == ((), False)


@pytest.mark.parametrize(
    ("country", "region", "zone"),
    [
        ("", "", "America/Denver"),  # domestic: the company's
        ("US", "", "America/Denver"),
        ("", "CA", "America/Los_Angeles"),
        ("United States", "New York", "America/New_York"),
        ("CAN", "BC", "America/Vancouver"),
        ("Australia", "", "Australia/Sydney"),
        ("Atlantis", "", "America/Denver"),
    ],
)
def test_a_customer_has_the_time_zone_of_their_place(mirrored: Engine, country: str, region: str, zone: str) -> None:
    _store(mirrored, customers=[_customer("a", country=country, region=region)], invoices=[_invoice("1")])
    assert _only(mirrored).customer.time_zone == zone


def test_sizes_come_from_the_last_twelve_months_of_the_same_currency(mirrored: Engine) -> None:
    totals = [_paid(f"p{n}", "z", date(2026, 1, 1), total=Decimal(n)) for n in range(1, 9)]
    dollars = [_paid(f"d{n}", "z", date(2026, 1, 1), total=Decimal(10**6), currency="USD") for n in range(9)]
    old = [_paid(f"o{n}", "z", date(2025, 1, 1), total=Decimal(10**6), issued_on=date(2025, 1, 1)) for n in range(9)]
    void = [_invoice(f"v{n}", "z", total=Decimal(10**6), status="voided", due=Decimal(0)) for n in range(9)]
    _store(
        mirrored,
        customers=[_customer("a")],
        invoices=[*totals, *dollars, *old, *void, _invoice("9", total=Decimal(9)), _invoice("10", total=Decimal(10)),
                  _invoice("5", total=Decimal(5)), _invoice("4", total=Decimal(4))],
    )  # fmt: skip
    invoices = _only(mirrored).invoices
    sizes = {invoice.id: size_of(invoice, ReminderPolicy.default().sizes) for invoice in invoices}
    # 1 2 3 4 4 5 5 6 7 8 9 10: nearest ranks are the 11th (9) and the 6th (5)
    assert sizes == {"9": Size.LARGE, "10": Size.LARGE, "5": Size.MEDIUM, "4": Size.SMALL}
    policy = ReminderPolicy.from_toml("[sizes]\nlarge_percentile = 92\nmedium_percentile = 40\n")
    sizes = {invoice.id: size_of(invoice, policy.sizes) for invoice in invoices}
    # the 12th (10) and the 5th (4)
    assert sizes == {"9": Size.MEDIUM, "10": Size.LARGE, "5": Size.MEDIUM, "4": Size.MEDIUM}


def test_strategic_customers_are_never_more_than_a_fifth(mirrored: Engine) -> None:
    names = [f"c{n}" for n in range(10)]
    _store(
        mirrored,
        customers=[_customer(name) for name in names],
        invoices=[_invoice(name, name, total=Decimal(100 - n)) for n, name in enumerate(names)],
    )
    facts = {name: statements[0].customer for name, statements in _facts(mirrored).items()}
    assert [facts[name].revenue_ranks[0].rank for name in names] == list(range(1, 11))
    for shares, expected in (("", 2), ("customers_percent = 40", 4), ("revenue_percent = 10", 1)):
        policy = ReminderPolicy.from_toml(f"[segments]\nnew_days = 0\nnew_paid_invoices = 0\n{shares}\n")
        strategic = [name for name in names if segment_of(facts[name], policy.segments, TODAY) is Segment.STRATEGIC]
        assert strategic == names[:expected], shares


def test_the_number_of_queries_does_not_grow_with_the_ledger(mirrored: Engine) -> None:
    def count() -> int:
        statements: list[str] = []

        def remember(*args: Any) -> None:
            statements.append(args[2])

        event.listen(mirrored, "before_cursor_execute", remember)
        _facts(mirrored)
        event.remove(mirrored, "before_cursor_execute", remember)
        return len(statements)

    _store(mirrored, customers=[_customer("a")], invoices=[_invoice("0")])
    few = count()
    _store(
        mirrored,
        customers=[_customer(f"c{n}") for n in range(200)],
        invoices=[_invoice(f"{n}", f"c{n % 200}") for n in range(1000)],
    )
    assert count() == few


def test_every_customer_is_returned_once_in_order(mirrored: Engine) -> None:
    names = [f"c{n:04}" for n in range(700)]
    _store(mirrored, customers=[_customer(name) for name in names], invoices=[_invoice(name, name) for name in names])
    with reading(mirrored) as session:
        assert isinstance(session, Session)
        connection = session.exec(select(Connection)).one()
        seen = [statements[0].customer.id for statements in load_statements(session, connection, now=NOW)]
    assert seen == names


def _history(customer: str, late: list[int], since: date = date(2026, 3, 2)) -> list[InvoiceRecord]:
    """Return invoices a week apart, each paid some days late."""
    dues = [since + timedelta(weeks=week) for week in range(len(late))]
    return [
        _paid(f"{customer}{week}", customer, due + timedelta(days=days), issued_on=due, due_on=due)
        for week, (due, days) in enumerate(zip(dues, late, strict=True))
    ]


def test_payment_behaviour_is_learned_from_invoices_paid_before_today(mirrored: Engine) -> None:
    paid = [*_history("a", [20] * 8), *_history("b", [0] * 8), _paid("today", "b", TODAY, due_on=date(2026, 10, 1))]
    _store(mirrored, customers=[_customer("a"), _customer("b"), _customer("c")], invoices=paid)
    _store(mirrored, invoices=[_invoice(f"open-{name}", name) for name in "abc"])
    facts = {name: statements[0].customer.payment_behaviour for name, statements in _facts(mirrored).items()}
    late, prompt = facts["a"], facts["b"]
    assert late is not None
    assert prompt is not None
    assert facts["c"] is None
    assert (late.closed_invoices, late.median_days_late) == (8, 20)
    assert (prompt.closed_invoices, prompt.median_days_late, prompt.on_time_streak) == (8, 0, 8)
    assert late.late_share > prompt.late_share


def test_credited_and_written_off_invoices_do_not_count_for_payment_behaviour(mirrored: Engine) -> None:
    on = date(2026, 11, 10)
    _store(
        mirrored,
        invoices=[_paid("paid"), _paid("partly"), _paid("credited"), _paid("cleared"), _invoice("open")],
        applications=[
            ApplicationRecord(CreditKind.PAYMENT, "p1", "paid", on, Decimal(100)),
            ApplicationRecord(CreditKind.PAYMENT, "p2", "partly", on, Decimal(100), credited=Decimal(40)),
            ApplicationRecord(CreditKind.CREDIT_NOTE, "n1", "credited", on, Decimal(100)),
            ApplicationRecord(CreditKind.PAYMENT, "p3", "cleared", on, Decimal(100), adjusted=Decimal(100)),
        ],
    )
    customer = _only(mirrored).customer
    assert customer.paid_invoices == 2
    assert customer.payment_behaviour is not None
    assert customer.payment_behaviour.closed_invoices == 2


def test_a_broken_promise_is_remembered_for_a_year(mirrored: Engine) -> None:
    said: dict[str, Any] = {
        "connection_id": 1,
        "kind": "promise",
        "invoice_id": "i",
        "recorded_at": NOW,
        "state": "broken",
    }
    _store(
        mirrored,
        Agreement(customer_id="a", since_on=TODAY - timedelta(days=300), **said),
        Agreement(customer_id="b", since_on=TODAY - timedelta(days=400), **said),
        invoices=[_invoice("1", "a"), _invoice("2", "b")],
    )
    facts = {name: statements[0].customer.payment_behaviour for name, statements in _facts(mirrored).items()}
    assert facts["a"] is not None
    assert facts["a"].broke_promise
    assert facts["b"] is None


def test_payment_behaviour_follows_corrections_in_the_ledger(mirrored: Engine) -> None:
    _store(mirrored, invoices=[*_history("a", [20] * 8), _invoice("open")])
    first = _only(mirrored).customer.payment_behaviour
    corrected = [
        each._replace(closed_on=each.due_on, updated_at=NOW + timedelta(hours=1)) for each in _history("a", [20] * 8)
    ]
    _store(mirrored, invoices=corrected)
    second = _only(mirrored).customer.payment_behaviour
    assert first is not None
    assert second is not None
    assert (first.median_days_late, second.median_days_late) == (20, 0)


def test_a_kept_payment_plan_is_with_its_invoice(mirrored: Engine) -> None:
    parts = [["2026-12-01", "40.00"], ["2027-01-01", "60.00"]]
    said: dict[str, Any] = {
        "connection_id": 1,
        "kind": "payment_plan",
        "customer_id": "a",
        "since_on": TODAY,
        "recorded_at": NOW,
    }
    said |= {"amount_e4": 1_000_000, "instalments": parts}
    _store(
        mirrored,
        Agreement(invoice_id="1", **said),
        Agreement(invoice_id="2", state=AgreementState.BROKEN, **said),
        invoices=[_invoice("1"), _invoice("2")],
    )
    kept, void = _only(mirrored).invoices
    assert void.payment_plan is None
    assert kept.payment_plan is not None
    assert (
        kept.payment_plan.agreed_balance == sum(each.amount for each in kept.payment_plan.instalments) == Decimal(100)
    )


@pytest.mark.parametrize(("count", "peers"), [(3, 2), (mailboxes.SHARING_MAX + 1, 0)])
def test_an_address_of_very_many_customers_is_a_placeholder_that_they_do_not_share(
    mirrored: Engine, count: int, peers: int
) -> None:
    with writing(mirrored) as session:
        connection = session.get_one(Connection, 1)
        everybody = [_customer(f"p{number}")._replace(emails="none@example.com") for number in range(count)]
        store_page(session, 1, ChangePage(cursor="", customers=everybody))
        session.flush()
        assert len(mailboxes.load_peers(session, connection).get("p0", ())) == peers
        placeholders = mailboxes.load_shared_addresses(session, connection).placeholders
        assert placeholders == ({} if peers else {"none@example.com": count})
