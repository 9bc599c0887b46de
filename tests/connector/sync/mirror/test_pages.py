"""The mirror has the ledger's records exactly, in their newest version and once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, text
from sqlmodel import Session, select

from connector.db.engine import reading, writing
from connector.db.money import from_e4
from connector.db.tables import (
    ApplicationRow,
    Connection,
    CreditRow,
    CustomerRow,
    CustomerSetting,
    InvoiceRow,
    MalformedRow,
    PaymentRow,
)
from connector.sync.mirror.pages import PageCounts, store_page
from policies.receivables import CreditKind, InvoiceStatus
from providers.ledger import (
    ApplicationRecord,
    ChangePage,
    CreditRecord,
    CustomerRecord,
    DeletedRecord,
    InvoiceRecord,
    MalformedRecord,
    PaymentRecord,
    RecordKind,
)

NOON = datetime(2026, 11, 20, 12, 0, 0, 250000, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
EARLIER = NOON - timedelta(hours=1)

CUSTOMER = CustomerRecord(
    "c1",
    "Café Zoë",
    "Zoë",
    "a@example.com,b@example.com",
    "US",
    "CA",
    "en",
    active=True,
    merged_into=None,
    updated_at=NOON,
)
INVOICE = InvoiceRecord(
    external_id="i1",
    number="INV-1",
    customer_id="c1",
    currency="EUR",
    issued_on=date(2026, 10, 1),
    due_on=date(2026, 10, 31),
    total=Decimal("119.00"),
    due=Decimal("19.0001"),
    status=InvoiceStatus.OPEN,
    sent_to_customer=True,
    closed_on=None,
    promised_on=date(2026, 12, 1),
    discount_amount=Decimal("2.38"),
    discount_until_on=date(2026, 10, 11),
    reference="PO 7",
    ledger_fee=False,
    version="3",
    lines='[["Work","100","A"]]',
    updated_at=NOON,
)
PAYMENT = PaymentRecord("p1", "c1", "EUR", date(2026, 11, 2), Decimal("99.9999"), Decimal(5), NOON)
CREDIT = CreditRecord(
    "n1", CreditKind.CREDIT_NOTE, "CN-1", "c1", "EUR", date(2026, 11, 3), Decimal(10), Decimal(4), NOON
)
APPLIED = ApplicationRecord(CreditKind.PAYMENT, "p1", "i1", date(2026, 11, 2), Decimal("94.9999"))


def _page(**parts: Any) -> ChangePage:
    return ChangePage(cursor="x", **parts)


FULL_PAGE: dict[str, Any] = {
    "customers": [CUSTOMER],
    "invoices": [INVOICE],
    "payments": [PAYMENT],
    "credits": [CREDIT],
    "applications": [APPLIED],
    "replaced_invoice_ids": ["i1"],
}


@pytest.fixture
def mirror(engine: Engine) -> Engine:
    with writing(engine) as session:
        for name in ("one", "two"):
            session.add(Connection(short_name=name, provider="xero", external_id=name, name=name, created_at=NOON))
    return engine


def _store(mirror: Engine, connection_id: int = 1, **parts: Any) -> PageCounts:
    with writing(mirror) as session:
        return store_page(session, connection_id, _page(**parts))


def _all(mirror: Engine, table: type[Any]) -> Sequence[Any]:
    with reading(mirror) as session:
        return session.exec(select(table)).all()


def _invoice(mirror: Engine) -> InvoiceRow:
    (row,) = _all(mirror, InvoiceRow)
    assert isinstance(row, InvoiceRow)
    return row


def test_a_page_is_read_as_it_was_stored(mirror: Engine) -> None:
    counts = _store(mirror, **FULL_PAGE)
    assert counts == PageCounts(customers=1, invoices=1, payments=1, credits=1, applications=1)
    row = _invoice(mirror).model_dump()
    differing = {"total", "due", "discount_amount", "created_at"}
    said = {name: value for name, value in INVOICE._asdict().items() if name not in differing}
    assert {name: row[name] for name in said} == said
    assert (row["total_e4"], row["due_e4"], row["discount_e4"]) == (1190000, 190001, 23800)
    assert row["is_open"] is True
    (customer,) = _all(mirror, CustomerRow)
    said = {name: value for name, value in CUSTOMER._asdict().items() if "balance" not in name}
    stored = {name: value for name, value in customer.model_dump().items() if "balance" not in name}
    assert stored == {"connection_id": 1, "deleted": False, **said}
    (payment,) = _all(mirror, PaymentRow)
    assert (payment.paid_on, payment.total_e4, payment.unapplied_e4) == (date(2026, 11, 2), 999999, 50000)
    (credit,) = _all(mirror, CreditRow)
    assert (credit.kind, credit.dated_on, credit.remaining_e4, credit.updated_at) == (
        "credit_note", date(2026, 11, 3), 40000, NOON,
    )  # fmt: skip
    (applied,) = _all(mirror, ApplicationRow)
    assert (applied.applied_on, applied.amount_e4) == (date(2026, 11, 2), 949999)


def test_rows_stored_in_bulk_equal_rows_stored_by_the_tables(mirror: Engine) -> None:
    _store(mirror, invoices=[INVOICE])
    with writing(mirror) as session:
        session.add(InvoiceRow.model_validate({**_invoice(mirror).model_dump(), "external_id": "i2"}))
    with reading(mirror) as session:
        bulk, orm = session.execute(text("SELECT * FROM invoice ORDER BY external_id")).all()
    assert [*bulk[:1], *bulk[2:]] == [*orm[:1], *orm[2:]]


def test_the_same_page_again_changes_nothing(mirror: Engine) -> None:
    _store(mirror, **FULL_PAGE)
    assert _store(mirror, **FULL_PAGE).changed == 0


def test_an_older_page_does_not_overwrite_newer_rows(mirror: Engine) -> None:
    paid = INVOICE._replace(due=Decimal(0), status=InvoiceStatus.PAID, closed_on=date(2026, 11, 20), updated_at=LATER)
    applied = ApplicationRecord(CreditKind.PAYMENT, "p1", "i1", date(2026, 11, 2), Decimal(119))
    _store(mirror, invoices=[paid], applications=[applied], replaced_invoice_ids=["i1"])
    counts = _store(mirror, **{**FULL_PAGE, "invoices": [INVOICE], "customers": [], "payments": [], "credits": []})
    assert counts.changed == 0
    assert _invoice(mirror).status == "paid"
    assert [row.amount_e4 for row in _all(mirror, ApplicationRow)] == [1190000]


def test_a_change_in_the_same_instant_is_stored(mirror: Engine) -> None:
    _store(mirror, invoices=[INVOICE])
    assert _store(mirror, invoices=[INVOICE._replace(due=Decimal(0), status=InvoiceStatus.PAID)]).invoices == 1
    assert (_invoice(mirror).is_open, _invoice(mirror).due_e4) == (False, 0)


def test_an_undone_application_is_removed_and_others_stay(mirror: Engine) -> None:
    other = ApplicationRecord(CreditKind.PAYMENT, "p9", "i9", date(2026, 11, 2), Decimal(1))
    more = ApplicationRecord(CreditKind.CREDIT_NOTE, "n1", "i1", date(2026, 11, 4), Decimal(6))
    _store(mirror, applications=[APPLIED, other, more], replaced_invoice_ids=["i1"])
    assert _store(mirror, applications=[more], replaced_invoice_ids=["i1"]).applications == 1
    assert {(row.source_id, row.invoice_id) for row in _all(mirror, ApplicationRow)} == {("p9", "i9"), ("n1", "i1")}
    assert _store(mirror, replaced_sources=[("credit_note", "n1")]).applications == 1
    assert [row.source_id for row in _all(mirror, ApplicationRow)] == ["p9"]


def test_another_company_with_the_same_ids_is_unchanged(mirror: Engine) -> None:
    _store(mirror, 1, **FULL_PAGE)
    _store(mirror, 2, **FULL_PAGE)
    _store(
        mirror,
        2,
        deleted=[DeletedRecord(RecordKind.PAYMENT, "p1", LATER), DeletedRecord(RecordKind.INVOICE, "i1", LATER)],
    )
    _store(mirror, 2, replaced_invoice_ids=["i1"])
    assert {row.connection_id: row.status for row in _all(mirror, InvoiceRow)} == {1: "open", 2: "deleted"}
    assert [row.connection_id for row in _all(mirror, PaymentRow)] == [1]
    assert [row.connection_id for row in _all(mirror, ApplicationRow)] == [1]


@pytest.mark.parametrize("at", [LATER, NOON, None])
def test_records_deleted_in_the_ledger_are_removed(mirror: Engine, at: datetime | None) -> None:
    _store(mirror, **FULL_PAGE)
    gone = [
        DeletedRecord(kind, name, at)
        for kind, name in ((RecordKind.CUSTOMER, "c1"), (RecordKind.PAYMENT, "p1"), (RecordKind.CREDIT_NOTE, "n1"))
    ]
    counts = _store(mirror, deleted=[*gone, DeletedRecord(RecordKind.INVOICE, "i1", at)])
    assert counts.deleted == 4
    row = _invoice(mirror)
    assert (row.status, row.is_open, row.due_e4, row.updated_at) == ("deleted", False, 0, at or NOON)
    assert not [*_all(mirror, PaymentRow), *_all(mirror, CreditRow), *_all(mirror, ApplicationRow)]
    assert [(customer.deleted, customer.active) for customer in _all(mirror, CustomerRow)] == [(True, False)]
    assert _store(mirror, deleted=[*gone, DeletedRecord(RecordKind.INVOICE, "i1", at)]).changed == 0


def test_an_old_deletion_does_not_remove_a_restored_record(mirror: Engine) -> None:
    _store(mirror, **FULL_PAGE)
    assert (
        _store(
            mirror,
            deleted=[
                DeletedRecord(RecordKind.INVOICE, "i1", EARLIER),
                DeletedRecord(RecordKind.PAYMENT, "p1", EARLIER),
            ],
        ).changed
        == 0
    )


def test_a_deleted_customer_can_be_restored(mirror: Engine) -> None:
    _store(mirror, customers=[CUSTOMER], deleted=[DeletedRecord(RecordKind.CUSTOMER, "c1", NOON)])
    _store(mirror, customers=[CUSTOMER._replace(updated_at=LATER)])
    assert [(row.deleted, row.active) for row in _all(mirror, CustomerRow)] == [(False, True)]


def test_records_missing_from_a_full_resync_are_removed(mirror: Engine) -> None:
    others = [INVOICE._replace(external_id=name, number=name) for name in ("i2", "i3", "i4")]
    _store(mirror, **{**FULL_PAGE, "invoices": [INVOICE, *others]})
    _store(mirror, 2, **FULL_PAGE)
    with writing(mirror) as session:
        store_page(session, 1, ChangePage(cursor="x", customers=[CUSTOMER], invoices=[others[0]], full_resync=True))
    assert {row.external_id: row.status for row in _all(mirror, InvoiceRow)}["i1"] == "open"  # it may still come
    broken = MalformedRecord(RecordKind.INVOICE, "i4", "unreadable, but there", b"{}")
    with writing(mirror) as session:
        page = ChangePage(cursor="x", invoices=[others[1]], credits=[CREDIT], malformed=[broken], is_last=True)
        counts = store_page(session, 1, page)
    assert counts.deleted == 2
    status = {(row.connection_id, row.external_id): row.status for row in _all(mirror, InvoiceRow)}
    assert status == {(1, "i1"): "deleted", (1, "i2"): "open", (1, "i3"): "open", (1, "i4"): "open", (2, "i1"): "open"}
    assert [row.connection_id for row in _all(mirror, PaymentRow)] == [2]
    assert [row.connection_id for row in _all(mirror, ApplicationRow)] == [2]
    with writing(mirror) as session:
        assert (
            store_page(session, 1, ChangePage(cursor="x", is_last=True)).changed == 0
        )  # an ordinary pull removes nothing


UNSTORABLE: list[dict[str, Any]] = [
    {"total": Decimal(922337203685478)},
    {"total": Decimal("NaN")},
    {"due": Decimal("0.00001")},
    {"due": None},
    {"number": None},
    {"customer_id": "half a letter \ud800"},
    {"updated_at": NOON.replace(tzinfo=None)},
]


@pytest.mark.parametrize("odd", UNSTORABLE, ids=str)
def test_a_record_the_database_cannot_store_is_set_aside_and_its_page_goes_on(
    mirror: Engine, odd: dict[str, Any]
) -> None:
    page = _page(invoices=[INVOICE, INVOICE._replace(external_id="odd", **odd), INVOICE._replace(external_id="i3")])
    with writing(mirror) as session:
        counts = store_page(session, 1, page)
    assert (counts.invoices, counts.malformed) == (2, 1)
    assert {row.external_id for row in _all(mirror, InvoiceRow)} == {"i1", "i3"}
    (kept,) = _all(mirror, MalformedRow)
    assert (kept.kind, kept.external_id) == ("invoice", "odd")
    assert kept.reason
    assert b'"external_id": "odd"' in kept.raw
    assert [record.external_id for record in page.malformed] == ["odd"]  # for the log


def test_an_application_out_of_range_is_set_aside_too(mirror: Engine) -> None:
    counts = _store(mirror, applications=[APPLIED, APPLIED._replace(source_id="odd", amount=Decimal("1E+30"))])
    assert (counts.applications, counts.malformed) == (1, 1)


def test_a_malformed_record_is_kept_raw_until_a_readable_version_comes(mirror: Engine) -> None:
    broken = [
        MalformedRecord(RecordKind.INVOICE, "i1", "Date is none", b'{"Date":"\xff"}'),
        MalformedRecord(RecordKind.INVOICE, "", "no id", b"{}"),
    ]
    assert _store(mirror, malformed=broken).malformed == 2
    assert _store(mirror, malformed=broken).changed == 0
    assert {(row.reason, row.raw) for row in _all(mirror, MalformedRow)} == {(one.reason, one.raw) for one in broken}
    _store(mirror, invoices=[INVOICE])
    assert [row.reason for row in _all(mirror, MalformedRow)] == ["no id"]


def test_documents_and_settings_of_a_merged_customer_move_to_the_remaining_one(mirror: Engine) -> None:
    _store(mirror, **FULL_PAGE)
    with writing(mirror) as session:
        session.add(CustomerSetting(connection_id=1, customer_id="c1", no_reminders=True, set_at=NOON))
    merged = CUSTOMER._replace(merged_into="c2", active=False, updated_at=LATER)
    middle = CUSTOMER._replace(external_id="c2", merged_into="c3", active=False, updated_at=LATER)
    survivor = CUSTOMER._replace(external_id="c3", updated_at=LATER)
    counts = _store(mirror, customers=[merged, middle, survivor])
    assert counts.customers > 3
    rows = [*_all(mirror, InvoiceRow), *_all(mirror, PaymentRow), *_all(mirror, CreditRow)]
    assert [row.customer_id for row in rows] == ["c3", "c3", "c3"]
    assert {row.customer_id for row in _all(mirror, CustomerSetting) if row.no_reminders} == {"c1", "c3"}
    assert _store(mirror, customers=[merged, middle, survivor]).changed == 0


def test_customers_merged_in_a_circle_cause_no_endless_loop(mirror: Engine) -> None:
    circle = [CUSTOMER._replace(merged_into="c2"), CUSTOMER._replace(external_id="c2", merged_into="c1")]
    _store(mirror, **{**FULL_PAGE, "customers": circle})
    assert _invoice(mirror).customer_id in {"c1", "c2"}


def test_a_page_that_is_not_committed_stores_nothing(mirror: Engine) -> None:
    class BrokenError(Exception):
        pass

    def store_and_break() -> None:
        with writing(mirror) as session:
            store_page(session, 1, _page(**FULL_PAGE))
            raise BrokenError

    with pytest.raises(BrokenError):
        store_and_break()
    assert not _all(mirror, InvoiceRow)


def test_a_page_costs_a_fixed_number_of_statements(mirror: Engine) -> None:
    statements: list[str] = []
    event.listen(mirror, "before_cursor_execute", lambda *args: statements.append(args[2]))
    costs = []
    for connection_id, size in ((1, 5), (2, 500)):
        many = [INVOICE._replace(external_id=f"i{n}", number=str(n)) for n in range(size)]
        applied = [APPLIED._replace(invoice_id=f"i{n}", source_id=f"p{n}") for n in range(size)]
        parts: dict[str, Any] = {"applications": applied, "replaced_invoice_ids": [one.external_id for one in many]}
        statements.clear()
        assert _store(mirror, connection_id, invoices=many, **parts).invoices == size
        costs.append(len(statements))
    assert costs[1] <= costs[0] <= 15, "\n".join(statements)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    versions=st.lists(
        st.tuples(st.integers(0, 5), st.decimals(min_value=0, max_value=10**12, places=4)), min_size=1, max_size=8
    )
)
def test_the_newest_version_stays_in_whatever_order_versions_arrive(
    mirror: Engine, versions: list[tuple[int, Decimal]]
) -> None:
    with writing(mirror) as session:
        session.connection().execute(text("DELETE FROM invoice"))
    for minute, due in versions:
        _store(mirror, invoices=[INVOICE._replace(due=due, updated_at=NOON + timedelta(minutes=minute))])
    newest = max(minute for minute, _due in versions)
    last_of_newest = [due for minute, due in versions if minute == newest][-1]
    assert from_e4(_invoice(mirror).due_e4) == last_of_newest


def test_objects_loaded_before_see_what_a_page_changed(mirror: Engine) -> None:
    _store(mirror, invoices=[INVOICE])
    with writing(mirror) as session:
        row = session.get_one(InvoiceRow, (1, "i1"))
        assert isinstance(session, Session)
        store_page(session, 1, _page(invoices=[INVOICE._replace(due=Decimal(1), updated_at=LATER)]))
        assert row.due_e4 == 10000


def test_a_change_dated_in_the_future_hides_no_later_one(mirror: Engine) -> None:
    future = datetime(2031, 1, 1, tzinfo=UTC)
    with writing(mirror) as session:
        store_page(session, 1, _page(**{**FULL_PAGE, "invoices": [INVOICE._replace(updated_at=future)]}), at=LATER)
    assert _invoice(mirror).updated_at == LATER
    paid_at = LATER + timedelta(minutes=1)
    with writing(mirror) as session:
        paid = INVOICE._replace(due=Decimal(0), updated_at=paid_at)
        store_page(session, 1, _page(invoices=[paid]), at=paid_at)
    assert _invoice(mirror).due_e4 == 0
