"""The make-believe company's balances: they add up through its history, its future, and anything a person does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.sandbox.quickbooks.desk import Desk
from providers.sandbox.quickbooks.refusals import Refusal
from providers.sandbox.server import Sandbox

AddUp = Callable[[Desk], None]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_year_of_history_adds_up(sandbox: Sandbox, add_up: AddUp) -> None:
    add_up(sandbox.quickbooks)
    assert len(sandbox.quickbooks.customers()) > 50
    assert any(invoice["Balance"] for invoice in sandbox.quickbooks.invoices())
    assert any(payment["UnappliedAmt"] for payment in sandbox.quickbooks.payments())
    assert any(memo["Balance"] for memo in sandbox.quickbooks.credit_memos())


def test_nothing_the_world_tells_is_refused_by_the_books(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    plain = Refusal.__init__

    def noting(self: Refusal, *args: object, **kwargs: object) -> None:
        plain(self, *args, **kwargs)  # type: ignore[arg-type]
        refused.append(str(self))

    monkeypatch.setattr(Refusal, "__init__", noting)
    sandbox.clock.advance(timedelta(days=400))
    sandbox.quickbooks.invoices()
    assert refused == []


def test_the_same_seed_gives_the_same_books() -> None:
    first, second = Sandbox(7, NOON).quickbooks.invoices(), Sandbox(7, NOON).quickbooks.invoices()
    assert first == second
    assert first != Sandbox(8, NOON).quickbooks.invoices()


def test_life_goes_on_for_a_year_and_still_adds_up(sandbox: Sandbox, add_up: AddUp) -> None:
    before = len(sandbox.quickbooks.invoices())
    for _ in range(12):
        sandbox.clock.advance(timedelta(days=30))
        add_up(sandbox.quickbooks)
    assert len(sandbox.quickbooks.invoices()) > before + 300


def test_a_customer_paid_by_hand_does_not_pay_again(sandbox: Sandbox, add_up: AddUp) -> None:
    desk = sandbox.quickbooks
    for invoice in desk.invoices():
        if invoice["Balance"]:
            desk.pay(invoice["Id"])
    payments = {payment["Id"] for payment in desk.payments()}
    sandbox.clock.advance(timedelta(days=1, hours=12))
    later = [payment for payment in desk.payments() if payment["Id"] not in payments]
    old = {invoice["Id"] for invoice in desk.invoices() if invoice["TxnDate"] <= "2026-11-21"}
    linked = {line["LinkedTxn"][0]["TxnId"] for payment in later for line in payment["Line"]}
    assert not linked & old
    add_up(desk)


def test_who_paid_a_part_by_hand_pays_only_the_rest_later(sandbox: Sandbox, add_up: AddUp) -> None:
    twin = Sandbox(1, NOON)
    twin.clock.advance(timedelta(days=90))
    open_now = {invoice["Id"] for invoice in sandbox.quickbooks.invoices() if invoice["Balance"] > 1}
    whole = next(
        payment
        for payment in twin.quickbooks.payments()
        if payment["TxnDate"] > "2026-11-21"
        and [line["LinkedTxn"][0]["TxnId"] for line in payment["Line"] if line["LinkedTxn"][0]["TxnId"] in open_now]
        and len(payment["Line"]) == 1
        and not payment["UnappliedAmt"]
        and payment["TotalAmt"] > 1
    )
    invoice = whole["Line"][0]["LinkedTxn"][0]["TxnId"]
    sandbox.quickbooks.pay(invoice, 1)
    sandbox.clock.advance(timedelta(days=90))
    links = [payment for payment in sandbox.quickbooks.payments() for line in payment["Line"]
             if line["LinkedTxn"][0]["TxnId"] == invoice]  # fmt: skip
    assert sum(payment["TotalAmt"] for payment in links) == sandbox.quickbooks.find(invoice)["TotalAmt"]
    assert not any(payment["UnappliedAmt"] for payment in links)
    add_up(sandbox.quickbooks)


def test_a_voided_invoice_frees_its_payment(desk: Desk, add_up: AddUp) -> None:
    number = desk.add_invoice("Ada", 100)["DocNumber"]
    desk.pay(number, 40)
    desk.void(number)
    voided = desk.find(number)
    assert (voided["TotalAmt"], voided["Balance"], voided["PrivateNote"], voided["LinkedTxn"]) == (0, 0, "Voided", [])
    assert [(payment["UnappliedAmt"], payment["Line"]) for payment in desk.payments()] == [(40, [])]
    assert desk.customer("Ada")["Balance"] == -40
    add_up(desk)


def test_applying_a_credit_memo_is_a_payment_of_nothing_with_two_lines(desk: Desk, add_up: AddUp) -> None:
    number = desk.add_invoice("Ada", "100.50")["DocNumber"]
    memo = desk.credit("Ada", "30.25")
    payment = desk.apply_credit(memo["Id"], number)
    assert payment["TotalAmt"] == 0
    assert [(line["Amount"], line["LinkedTxn"][0]["TxnType"]) for line in payment["Line"]] == [
        (Decimal("30.25"), "Invoice"),
        (Decimal("30.25"), "CreditMemo"),
    ]
    assert desk.find(number)["Balance"] == Decimal("70.25")
    assert desk.credit_memos()[0]["RemainingCredit"] == 0
    add_up(desk)


def test_deleting_the_invoice_gives_the_credit_back(desk: Desk, add_up: AddUp) -> None:
    number = desk.add_invoice("Ada", 100)["DocNumber"]
    desk.apply_credit(desk.credit("Ada", 30)["Id"], number)
    desk.delete(number)
    assert desk.payments() == []
    assert desk.credit_memos()[0]["Balance"] == 30
    add_up(desk)


def test_merged_customers_take_their_invoices_along(desk: Desk, add_up: AddUp) -> None:
    desk.add_customer("Bert")
    desk.add_invoice("Bert", 70)
    desk.pay_unapplied("Bert", 20)
    desk.merge("Bert", into="Ada")
    assert desk.customer("Ada")["Balance"] == 50
    gone = desk.customer("Bert (deleted)")
    assert (gone["Active"], gone["Balance"]) == (False, 0)
    add_up(desk)


def test_a_deposited_payment_cannot_be_changed(desk: Desk) -> None:
    payment = desk.pay(desk.add_invoice("Ada", 10)["DocNumber"])
    desk.deposit(payment["Id"])
    with pytest.raises(Refusal, match="6540"):
        desk.delete_payment(payment["Id"])


def test_more_than_the_balance_cannot_be_applied(desk: Desk) -> None:
    number = desk.add_invoice("Ada", 10)["DocNumber"]
    with pytest.raises(Refusal, match="6000"):
        desk.pay(number, 11)


_ACTS = st.lists(
    st.tuples(
        st.sampled_from(["invoice", "pay", "unapplied", "credit", "apply", "void", "delete", "unpay", "merge", "edit"]),
        st.integers(0, 5),
        st.integers(1, 20_000),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_ACTS)
def test_whatever_a_bookkeeper_does_the_books_add_up(add_up: AddUp, acts: list[tuple[str, int, int]]) -> None:
    quickbooks = Sandbox(1, NOON).quickbooks
    desk = quickbooks.desk(quickbooks.add_company("Acts Inc"))
    desk.add_customer("Ada")
    desk.add_customer("Bert", currency="EUR")
    for act, which, cents in acts:
        _do(desk, act, which, Decimal(cents) / 100)
        add_up(desk)


def _do(desk: Desk, act: str, which: int, amount: Decimal) -> None:
    who = [customer["Id"] for customer in desk.customers()][which % 2]
    invoices = [invoice["Id"] for invoice in desk.invoices()] or ["0"]
    invoice = invoices[which % len(invoices)]
    memos = [memo["Id"] for memo in desk.credit_memos()] or ["0"]
    payments = [payment["Id"] for payment in desk.payments()] or ["0"]
    acts: dict[str, Callable[[], object]] = {
        "invoice": lambda: desk.add_invoice(who, amount, on=date(2026, 10, 1)),
        "pay": lambda: desk.pay(invoice, amount),
        "unapplied": lambda: desk.pay_unapplied(who, amount),
        "credit": lambda: desk.credit(who, amount),
        "apply": lambda: desk.apply_credit(memos[which % len(memos)], invoice),
        "void": lambda: desk.void(invoice),
        "delete": lambda: desk.delete(invoice),
        "unpay": lambda: desk.delete_payment(payments[which % len(payments)]),
        "merge": lambda: desk.edit_customer(who, CompanyName="Renamed"),
        "edit": lambda: desk.edit(invoice, PrivateNote="seen"),
    }
    try:
        acts[act]()
    except (LookupError, Refusal):
        return  # what is not there, or not allowed, must leave the books as they were: the caller checks
