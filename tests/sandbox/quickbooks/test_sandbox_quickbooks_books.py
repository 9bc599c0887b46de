"""The simulated company's balances: they add up through its history, its future and any manual change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.quickbooks.api_errors import ApiFault
from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.server import Sandbox

AddUp = Callable[[Bookkeeper], None]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_year_of_history_adds_up(sandbox: Sandbox, check_balances: AddUp) -> None:
    check_balances(sandbox.quickbooks)
    assert len(sandbox.quickbooks.customers()) > 50
    assert any(invoice["Balance"] for invoice in sandbox.quickbooks.invoices())
    assert any(payment["UnappliedAmt"] for payment in sandbox.quickbooks.payments())
    assert any(memo["Balance"] for memo in sandbox.quickbooks.credit_memos())


def test_ledger_accepts_every_event_of_the_story(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    plain = ApiFault.__init__

    def noting(self: ApiFault, *args: object, **kwargs: object) -> None:
        plain(self, *args, **kwargs)  # type: ignore[arg-type]
        refused.append(str(self))

    monkeypatch.setattr(ApiFault, "__init__", noting)
    sandbox.clock.advance(timedelta(days=400))
    sandbox.quickbooks.invoices()
    assert refused == []


def test_same_seed_gives_the_same_ledger() -> None:
    first, second = Sandbox(7, NOON).quickbooks.invoices(), Sandbox(7, NOON).quickbooks.invoices()
    assert first == second
    assert first != Sandbox(8, NOON).quickbooks.invoices()


def test_another_year_still_adds_up(sandbox: Sandbox, check_balances: AddUp) -> None:
    before = len(sandbox.quickbooks.invoices())
    for _ in range(12):
        sandbox.clock.advance(timedelta(days=30))
        check_balances(sandbox.quickbooks)
    assert len(sandbox.quickbooks.invoices()) > before + 300


def test_customer_with_a_manual_payment_does_not_pay_again(sandbox: Sandbox, check_balances: AddUp) -> None:
    bookkeeper = sandbox.quickbooks
    for invoice in bookkeeper.invoices():
        if invoice["Balance"]:
            bookkeeper.pay(invoice["Id"])
    payments = {payment["Id"] for payment in bookkeeper.payments()}
    sandbox.clock.advance(timedelta(days=1, hours=12))
    later = [payment for payment in bookkeeper.payments() if payment["Id"] not in payments]
    old = {invoice["Id"] for invoice in bookkeeper.invoices() if invoice["TxnDate"] <= "2026-11-21"}
    linked = {line["LinkedTxn"][0]["TxnId"] for payment in later for line in payment["Line"]}
    assert not linked & old
    check_balances(bookkeeper)


def test_customer_with_a_manual_part_payment_pays_only_the_rest(sandbox: Sandbox, check_balances: AddUp) -> None:
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
    check_balances(sandbox.quickbooks)


def test_voiding_an_invoice_unapplies_its_payment(bookkeeper: Bookkeeper, check_balances: AddUp) -> None:
    number = bookkeeper.add_invoice("Ada", 100)["DocNumber"]
    bookkeeper.pay(number, 40)
    bookkeeper.void(number)
    voided = bookkeeper.find(number)
    assert (voided["TotalAmt"], voided["Balance"], voided["PrivateNote"], voided["LinkedTxn"]) == (0, 0, "Voided", [])
    assert [(payment["UnappliedAmt"], payment["Line"]) for payment in bookkeeper.payments()] == [(40, [])]
    assert bookkeeper.customer("Ada")["Balance"] == -40
    check_balances(bookkeeper)


def test_applying_a_credit_memo_is_a_zero_payment_with_two_lines(bookkeeper: Bookkeeper, check_balances: AddUp) -> None:
    number = bookkeeper.add_invoice("Ada", "100.50")["DocNumber"]
    memo = bookkeeper.credit("Ada", "30.25")
    payment = bookkeeper.apply_credit(memo["Id"], number)
    assert payment["TotalAmt"] == 0
    assert [(line["Amount"], line["LinkedTxn"][0]["TxnType"]) for line in payment["Line"]] == [
        (Decimal("30.25"), "Invoice"),
        (Decimal("30.25"), "CreditMemo"),
    ]
    assert bookkeeper.find(number)["Balance"] == Decimal("70.25")
    assert bookkeeper.credit_memos()[0]["RemainingCredit"] == 0
    check_balances(bookkeeper)


def test_deleting_an_invoice_restores_the_credit(bookkeeper: Bookkeeper, check_balances: AddUp) -> None:
    number = bookkeeper.add_invoice("Ada", 100)["DocNumber"]
    bookkeeper.apply_credit(bookkeeper.credit("Ada", 30)["Id"], number)
    bookkeeper.delete(number)
    assert bookkeeper.payments() == []
    assert bookkeeper.credit_memos()[0]["Balance"] == 30
    check_balances(bookkeeper)


def test_merged_customers_keep_their_invoices(bookkeeper: Bookkeeper, check_balances: AddUp) -> None:
    bookkeeper.add_customer("Bert")
    bookkeeper.add_invoice("Bert", 70)
    bookkeeper.pay_unapplied("Bert", 20)
    bookkeeper.merge("Bert", target="Ada")
    assert bookkeeper.customer("Ada")["Balance"] == 50
    gone = bookkeeper.customer("Bert (deleted)")
    assert (gone["Active"], gone["Balance"]) == (False, 0)
    check_balances(bookkeeper)


def test_deposited_payment_cannot_be_changed(bookkeeper: Bookkeeper) -> None:
    payment = bookkeeper.pay(bookkeeper.add_invoice("Ada", 10)["DocNumber"])
    bookkeeper.deposit(payment["Id"])
    with pytest.raises(ApiFault, match="6540"):
        bookkeeper.delete_payment(payment["Id"])


def test_more_than_the_balance_cannot_be_applied(bookkeeper: Bookkeeper) -> None:
    number = bookkeeper.add_invoice("Ada", 10)["DocNumber"]
    with pytest.raises(ApiFault, match="6000"):
        bookkeeper.pay(number, 11)


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
def test_ledger_adds_up_after_any_change(check_balances: AddUp, acts: list[tuple[str, int, int]]) -> None:
    quickbooks = Sandbox(1, NOON).quickbooks
    bookkeeper = quickbooks.bookkeeper(quickbooks.add_company("Acts Inc"))
    bookkeeper.add_customer("Ada")
    bookkeeper.add_customer("Bert", currency="EUR")
    for act, which, cents in acts:
        _do(bookkeeper, act, which, Decimal(cents) / 100)
        check_balances(bookkeeper)


def _do(bookkeeper: Bookkeeper, act: str, which: int, amount: Decimal) -> None:
    who = [customer["Id"] for customer in bookkeeper.customers()][which % 2]
    invoices = [invoice["Id"] for invoice in bookkeeper.invoices()] or ["0"]
    invoice = invoices[which % len(invoices)]
    memos = [memo["Id"] for memo in bookkeeper.credit_memos()] or ["0"]
    payments = [payment["Id"] for payment in bookkeeper.payments()] or ["0"]
    acts: dict[str, Callable[[], object]] = {
        "invoice": lambda: bookkeeper.add_invoice(who, amount, on=date(2026, 10, 1)),
        "pay": lambda: bookkeeper.pay(invoice, amount),
        "unapplied": lambda: bookkeeper.pay_unapplied(who, amount),
        "credit": lambda: bookkeeper.credit(who, amount),
        "apply": lambda: bookkeeper.apply_credit(memos[which % len(memos)], invoice),
        "void": lambda: bookkeeper.void(invoice),
        "delete": lambda: bookkeeper.delete(invoice),
        "unpay": lambda: bookkeeper.delete_payment(payments[which % len(payments)]),
        "merge": lambda: bookkeeper.edit_customer(who, CompanyName="Renamed"),
        "edit": lambda: bookkeeper.edit(invoice, PrivateNote="seen"),
    }
    try:
        acts[act]()
    except (LookupError, ApiFault):
        return  # unknown or disallowed changes must leave the ledger unchanged: the caller checks
