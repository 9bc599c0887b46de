"""Late fees end to end on both ledgers: drafted, approved, posted, put together, waived to the cent, held in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from connector.access.connections import pause, resume, set_mode
from connector.budget import CallBudget
from connector.database import reading, writing
from connector.people import approvals, fees
from connector.tables import AnswerRow, Connection, InvoiceRow
from providers.sandbox.quickbooks import writes

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
HEAD = "[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\n"
AUTOMATIC = f'{HEAD}approval = "automatic"\n'


def days(count: int) -> date:
    return NOON.date() + timedelta(days=count)


def book(town: Any) -> Any:
    """The make-believe vendor's own books."""
    if town.books.provider == "xero":
        return town.books.desk.organisation(town.books.company)
    return town.sandbox.quickbooks.books(town.books.company)


def owed(town: Any) -> Decimal:
    """What all customers owe, less what they have as credit."""
    if town.books.provider == "xero":
        credit = sum(one.remaining for shelf in book(town).credits.values() for one in shelf)
        return Decimal(sum(town.books.dues().values(), Decimal(0)) - credit)
    return Decimal(sum(Decimal(str(one["Balance"])) for one in town.books.desk.customers()))


def income(town: Any) -> Decimal:
    """What stands on the income accounts: sales less credits."""
    if town.books.provider == "xero":
        sales = sum(one.total for one in book(town).invoices if one.status in {"AUTHORISED", "PAID"})
        credits = sum(one.total for one in book(town).credits["CreditNote"] if one.status != "VOIDED")
    else:
        sales = sum(Decimal(str(one["TotalAmt"])) for one in town.books.desk.invoices())
        credits = sum(Decimal(str(one["TotalAmt"])) for one in town.books.desk.credit_memos())
    return Decimal(sales - credits)


def close_books(town: Any, on: date) -> None:
    if town.books.provider == "xero":
        book(town).period_lock_on = on
    else:
        town.sandbox.quickbooks.close_books(on, town.books.company)


def line_and_days(town: Any, number: str) -> tuple[str, date, date]:
    found = town.books.desk.find(number, **town.books.where)
    if town.books.provider == "xero":
        return found.lines[0].description, found.on, found.due_on
    return found["Line"][0]["Description"], *map(date.fromisoformat, (found["TxnDate"], found["DueDate"]))


def answer(town: Any, number: str) -> str:
    """Why the invoice was answered as it was."""
    with reading(town.installation.engine) as session:
        rows = select(AnswerRow).join(InvoiceRow, col(InvoiceRow.external_id) == AnswerRow.invoice_id)
        return str(session.scalars(rows.where(col(InvoiceRow.number) == number)).one().why)


@pytest.fixture
def late(town: Any) -> Any:
    """A live company with one customer who is six days late."""
    town.books.customer("Ashdown Ltd")
    town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    return town.live()


def live(town: Any, count: int, every: int = 1) -> None:
    """Let days pass, with a run each day, or every few where nothing is to happen in between."""
    for _turn in range(0, count, every):
        assert town.run().outcome == "ok"
        town.pass_days(every)


def listed(town: Any) -> list[dict[str, Any]]:
    with reading(town.installation.engine) as session:
        return fees.listing(session)


def until_posted(town: Any, policy: str = AUTOMATIC, state: str = "posted") -> dict[str, Any]:
    """Live until the fee is in the books (or in another state), and give it."""
    town.policy(policy)
    for _day in range(40):
        live(town, 1)
        there = [fee for fee in listed(town) if fee["state"] == state]
        if there:
            return there[0]
    raise AssertionError(listed(town))


def run_with(town: Any, monkeypatch: pytest.MonkeyPatch, after_a_write: Callable[[], object]) -> str:
    """Run an hour in which something happens after each write: of a first fee the account, then its item and itself."""
    counted = CallBudget.after

    def then(calls: CallBudget, kind: str, status: int, headers: Mapping[str, str]) -> None:
        counted(calls, kind, status, headers)
        if kind == "write":
            after_a_write()

    with monkeypatch.context() as patched:
        patched.setattr(CallBudget, "after", then)
        return str(town.run().why)


@pytest.mark.parametrize("town", ["quickbooks"], indirect=True)
def test_a_worker_whose_company_was_taken_over_while_it_set_up_a_fee_writes_nothing_more(
    late: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken_over() -> None:
        with writing(late.installation.engine) as session:
            session.execute(update(Connection).values(fence=col(Connection.fence) + 1, lease_until_at=None))

    late.policy(AUTOMATIC)
    live(late, 8)
    written = late.sandbox.requests.counted("quickbooks", "write")
    assert "taken over" in run_with(late, monkeypatch, taken_over)
    assert late.sandbox.requests.counted("quickbooks", "write") == written + 1
    assert late.books.fees() == {}
    late.sandbox.clock.advance(timedelta(minutes=61))
    late.run()
    late.run()
    assert len(late.books.fees()) == 1


@pytest.mark.parametrize("town", ["quickbooks"], indirect=True)
def test_a_company_that_is_paused_while_a_fee_is_set_up_is_charged_once_it_goes_on(
    late: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late.policy(AUTOMATIC)
    live(late, 8)
    said = run_with(late, monkeypatch, lambda: pause(late.installation, 1, by="Ann"))
    assert "paused or switched just before" in said
    assert late.books.fees() == {}
    resume(late.installation, 1)
    late.run()
    late.run()
    assert len(late.books.fees()) == 1


@pytest.mark.parametrize("town", ["quickbooks"], indirect=True)
def test_a_company_that_is_told_to_ask_while_a_fee_is_set_up_asks_before_it_is_charged(
    late: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late.policy(AUTOMATIC)
    live(late, 8)
    said = run_with(late, monkeypatch, lambda: set_mode(late.installation, 1, "approve", by="Ann"))
    assert "paused or switched just before" in said
    late.run()
    assert late.books.fees() == {}
    [waiting] = late.outbox("waiting")
    with writing(late.installation.engine) as session:
        approvals.approve(session, [waiting["id"]], by="Ann", at=late.installation.now())
    late.run()
    late.run()
    assert len(late.books.fees()) == 1


def test_a_fee_waits_with_its_yearly_rate_until_a_person_approves_it(late: Any) -> None:
    draft = until_posted(late, HEAD, "draft")
    live(late, 20, every=5)
    assert listed(late) == [draft]
    assert (draft["state"], draft["invoice"], draft["amount"]) == ("draft", late.number, "12.00")
    assert Decimal(draft["annual_rate"]) > 12
    [waiting] = late.outbox("waiting")
    assert (waiting["annual_rate"], waiting["amount"]) == (draft["annual_rate"], "12.00")
    assert f"{draft['annual_rate']} % a year" in waiting["why"]
    assert late.books.fees() == {}
    with writing(late.installation.engine) as session:
        fees.approve(session, [draft["id"]], by="Ann", at=late.installation.now())
    assert [fee["state"] for fee in listed(late)] == ["approved"]
    live(late, 1)
    assert [fee["state"] for fee in listed(late)] == ["posted"]
    assert late.books.fees() == {draft["number"]: Decimal("12.00")}


def test_a_draft_that_is_waived_never_reaches_the_books(late: Any) -> None:
    draft = until_posted(late, HEAD, "draft")
    fees.waive(late.installation, [draft["id"]], by="Ann", why="an old friend")
    live(late, 10, every=5)
    [waived] = listed(late)
    assert waived["state"] == "waived"
    assert "Ann" in waived["answer"]
    assert "an old friend" in waived["answer"]
    assert late.books.fees() == {}


@pytest.mark.parametrize("paid", ["", "4.50", "12.00"], ids=["unpaid", "paid in part", "paid"])
def test_a_waived_fee_leaves_balance_and_income_as_before_to_the_cent(late: Any, paid: str) -> None:
    before = owed(late), income(late)
    fee = until_posted(late)
    assert (owed(late), income(late)) == (before[0] + 12, before[1] + 12)
    if paid:
        late.books.pay(fee["number"], paid)
    fees.waive(late.installation, [fee["id"]], by="Ann", why="a good customer")
    live(late, 1)
    [waived] = listed(late)
    assert waived["state"] == "waived", waived
    assert (owed(late), income(late)) == (before[0] - Decimal(paid or 0), before[1])
    assert bool(late.books.fees()) == bool(paid), "void where nothing was paid on it, else credited"
    [note] = [note for note in late.books.notes(late.number) if "waived for" in note]
    assert "Ann waived it: a good customer" in note
    live(late, 8, every=4)
    assert len(listed(late)) == 1, "what was waived is not charged again"


def test_no_fee_is_dated_in_a_closed_period_and_the_answer_says_until_when(late: Any) -> None:
    late.policy(AUTOMATIC)
    live(late, 2)
    close_books(late, days(35))
    live(late, 33, every=3)
    assert listed(late) == []
    assert late.books.fees() == {}
    assert "the books are closed up to 15 Jul" in answer(late, late.number)
    live(late, 3)
    assert [fee["state"] for fee in listed(late)] == ["posted"]
    assert late.outbox("refused") == []


def test_a_posted_fee_whose_period_was_closed_meanwhile_is_credited_when_it_is_waived(late: Any) -> None:
    before = owed(late), income(late)
    fee = until_posted(late)
    close_books(late, (late.installation.now() - timedelta(days=1)).date())
    late.pass_days(1)
    fees.waive(late.installation, [fee["id"]], by="Ann")
    live(late, 1)
    assert [each["state"] for each in listed(late)] == ["waived"]
    assert (owed(late), income(late)) == before


def test_the_fees_of_a_month_make_one_invoice_with_a_line_each(late: Any) -> None:
    other = late.books.invoice("Ashdown Ltd", "300.00", due_on=days(2))
    late.policy(f'{AUTOMATIC}invoice = "monthly"\ninvoice_day = 16\n')
    live(late, 18)
    live(late, 12, every=4)  # the fees were possible on 18 and 26 June: their day is 16 July
    assert listed(late) == []
    assert "joins this customer's fee invoice of 16 Jul" in answer(late, late.number)
    live(late, 12, every=2)
    [fee] = listed(late)
    assert (fee["state"], fee["invoice"], fee["amount"]) == ("posted", f"{late.number}, {other}", "15.00")
    assert list(late.books.fees().values()) == [Decimal("15.00")]
    for number, amount in ((late.number, "12.00"), (other, "3.00")):
        [note] = [note for note in late.books.notes(number) if "Late fee" in note]
        assert f"of {amount}" in note
    live(late, 40, every=8)
    assert len(listed(late)) == 1, "each fee once"


def test_the_fees_own_words_and_due_day_are_the_policys(late: Any) -> None:
    fee = until_posted(late, f'{AUTOMATIC}due_days = 5\ntext = "Mahngebühr zu {{number}}"\n')
    text, dated_on, due_on = line_and_days(late, fee["number"])
    assert text == f"Mahngebühr zu {late.number}"
    assert (due_on - dated_on).days == 5


def _add_the_ledgers_own_fee(town: Any) -> None:
    """What QuickBooks' own automatic late fees do: a line on the overdue invoice."""
    books, sold = book(town), next(book(town).all("Item"))
    item = {"Name": "Late fee", "Type": "Service", "IncomeAccountRef": sold.body["IncomeAccountRef"]}
    made = books.reference(writes.create(books, "Item", item))
    found = town.books.desk.find(town.number)
    detail = {**found["Line"][0]["SalesItemLineDetail"], "ItemRef": made, "UnitPrice": 18, "Qty": 1}
    line = {"DetailType": "SalesItemLineDetail", "Amount": 18, "SalesItemLineDetail": detail}
    town.books.desk.edit(town.number, Line=[found["Line"][0], line])


def test_the_ledgers_own_fee_means_no_second_one(town_at: Any) -> None:
    with town_at(NOON, "quickbooks") as town:
        town.books.customer("Ashdown Ltd")
        town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
        _add_the_ledgers_own_fee(town)
        town.live()
        town.policy(AUTOMATIC)
        said = []
        for _turn in range(14):
            live(town, 2, every=2)
            said.append(answer(town, town.number))
        assert listed(town) == []
        assert any("the ledger has put one of its own on this invoice" in each for each in said), said


REFUSED = {
    "xero": '{"ErrorNumber": 10, "Type": "ValidationException", "Message": "no", "Elements": []}',
    "quickbooks": '{"Fault": {"Error": [{"Message": "no", "Detail": "no", "code": "6000"}], "type": "X"}}',
}


def test_a_fee_that_cannot_be_waived_says_so_and_may_be_asked_for_again(late: Any) -> None:
    fee = until_posted(late)
    rule = late.sandbox.faults.refuse(
        400, body=REFUSED[late.books.provider], vendor=late.books.provider, kind="write", times=0
    )
    fees.waive(late.installation, [fee["id"]], by="Ann")
    late.run()
    [refused] = listed(late)
    assert refused["state"] == "posted"
    assert "could not be waived" in refused["answer"]
    late.sandbox.faults.rules.remove(rule)
    fees.waive(late.installation, [fee["id"]], by="Ann")
    late.run()
    assert [each["state"] for each in listed(late)] == ["waived"]


def test_only_a_fee_can_be_waived_and_only_while_it_stands(late: Any) -> None:
    with pytest.raises(approvals.OutboxError, match="no late fee"):
        fees.waive(late.installation, [4711], by="Ann")
