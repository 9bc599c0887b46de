"""Late fees end to end on both ledgers: drafted, approved, posted, combined, waived to the cent, held with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from connector.connections.registry import pause, resume, set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection, InvoiceDecisionRow, InvoiceRow
from connector.outbox import approvals
from connector.outbox.payloads import LateFeePayload, payload_as
from connector.runtime.budget import CallBudget
from connector.services import fees
from connector.services.fees import FeeItem
from providers.calls import CallKind
from sandbox.quickbooks import writes
from tests.connector.scenario import ResumeAfter, add_late_customer

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
HEAD = "[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\n"
AUTOMATIC = f'{HEAD}approval = "automatic"\n'


def days(count: int) -> date:
    return NOON.date() + timedelta(days=count)


def sandbox_ledger(scenario: Any) -> Any:
    """The simulated ledger."""
    if scenario.company.provider == "xero":
        return scenario.company.simulator.organisation(scenario.company.external_id)
    return scenario.sandbox.quickbooks.ledger(scenario.company.external_id)


def total_receivable(scenario: Any) -> Decimal:
    """Return what all customers owe, less their credits."""
    if scenario.company.provider == "xero":
        credit = sum(one.remaining for shelf in sandbox_ledger(scenario).credits.values() for one in shelf)
        return Decimal(sum(scenario.company.open_balances().values(), Decimal(0)) - credit)
    return Decimal(sum(Decimal(str(one["Balance"])) for one in scenario.company.simulator.customers()))


def income(scenario: Any) -> Decimal:
    """Return the balance of the income accounts: sales less credits."""
    if scenario.company.provider == "xero":
        sales = sum(one.total for one in sandbox_ledger(scenario).invoices if one.status in {"AUTHORISED", "PAID"})
        credits = sum(one.total for one in sandbox_ledger(scenario).credits["CreditNote"] if one.status != "VOIDED")
    else:
        sales = sum(Decimal(str(one["TotalAmt"])) for one in scenario.company.simulator.invoices())
        credits = sum(Decimal(str(one["TotalAmt"])) for one in scenario.company.simulator.credit_memos())
    return Decimal(sales - credits)


def close_books(scenario: Any, on: date) -> None:
    if scenario.company.provider == "xero":
        sandbox_ledger(scenario).period_lock_on = on
    else:
        scenario.sandbox.quickbooks.close_books(on, scenario.company.external_id)


def line_and_days(scenario: Any, number: str) -> tuple[str, date, date]:
    found = scenario.company.simulator.find(number, **scenario.company.company_filter)
    if scenario.company.provider == "xero":
        return found.lines[0].description, found.on, found.due_on
    return found["Line"][0]["Description"], *map(date.fromisoformat, (found["TxnDate"], found["DueDate"]))


def decision_reason(scenario: Any, number: str) -> str:
    """Return the reason of the decision about the invoice."""
    with reading(scenario.app.engine) as session:
        rows = select(InvoiceDecisionRow).join(InvoiceRow, col(InvoiceRow.external_id) == InvoiceDecisionRow.invoice_id)
        return str(session.scalars(rows.where(col(InvoiceRow.number) == number)).one().reason)


def run_for_days(scenario: Any, count: int, every: int = 1) -> None:
    """Advance some days, with a run each day, or every few days where nothing happens in between."""
    for _turn in range(0, count, every):
        assert scenario.run().outcome == "ok"
        scenario.pass_days(every)


def list_fees(scenario: Any) -> list[FeeItem]:
    with reading(scenario.app.engine) as session:
        return fees.find_fees(session)


def run_until_posted(scenario: Any, policy: str = AUTOMATIC, state: str = "posted") -> FeeItem:
    """Sync until the fee is posted (or in another state), and return it."""
    scenario.set_policy(policy)
    run_for_days(scenario, 8, every=4)
    assert list_fees(scenario) == []
    for _day in range(32):
        run_for_days(scenario, 1)
        there = [fee for fee in list_fees(scenario) if fee.state == state]
        if there:
            return there[0]
    raise AssertionError(list_fees(scenario))


def warn(scenario: Any) -> None:
    add_late_customer(scenario)
    scenario.set_policy(AUTOMATIC)
    run_for_days(scenario, 8, every=4)


@pytest.fixture
def warned(scenario: Any, resume_after: ResumeAfter) -> Iterator[Any]:
    """A customer was warned of a late fee, which is due with the next sync."""
    with resume_after(warn, scenario.company.provider) as resumed:
        yield resumed


def draft(scenario: Any) -> None:
    add_late_customer(scenario)
    run_until_posted(scenario, HEAD, "draft")


@pytest.fixture
def drafted(scenario: Any, resume_after: ResumeAfter) -> Iterator[Any]:
    """A late fee awaits approval."""
    with resume_after(draft, scenario.company.provider) as resumed:
        yield resumed


def post(scenario: Any) -> None:
    add_late_customer(scenario)
    run_until_posted(scenario)


@pytest.fixture
def posted(scenario: Any, resume_after: ResumeAfter) -> Iterator[Any]:
    """A late fee of 12.00 was posted on the invoice over 1,200.00."""
    with resume_after(post, scenario.company.provider) as resumed:
        yield resumed


def run_with_hook(scenario: Any, monkeypatch: pytest.MonkeyPatch, after_a_write: Callable[[], object]) -> str:
    """Run a sync in which something happens after each write: a first fee's account, then its item and itself."""
    counted = CallBudget.after

    def then(calls: CallBudget, kind: CallKind, status: int, headers: Mapping[str, str]) -> None:
        counted(calls, kind, status, headers)
        if kind == CallKind.WRITE:
            after_a_write()

    with monkeypatch.context() as patched:
        patched.setattr(CallBudget, "after", then)
        return str(scenario.run().reason)


@pytest.mark.parametrize("scenario", ["quickbooks"], indirect=True)
def test_a_worker_that_lost_its_lease_during_the_set_up_of_a_fee_writes_nothing_more(
    warned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken_over() -> None:
        with writing(warned.app.engine) as session:
            session.execute(update(Connection).values(fence=col(Connection.fence) + 1, lease_until_at=None))

    written = warned.sandbox.requests.count_of("quickbooks", "write")
    assert "taken over" in run_with_hook(warned, monkeypatch, taken_over)
    assert warned.sandbox.requests.count_of("quickbooks", "write") == written + 1
    assert warned.company.fees() == {}
    warned.sandbox.clock.advance(timedelta(minutes=61))
    warned.run()
    warned.run()
    assert len(warned.company.fees()) == 1


@pytest.mark.parametrize("scenario", ["quickbooks"], indirect=True)
def test_a_fee_of_a_company_paused_during_its_set_up_is_charged_after_it_resumes(
    warned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run_with_hook(warned, monkeypatch, lambda: pause(warned.app, 1, by="Ann"))
    assert "paused or its mode changed just before" in said
    assert warned.company.fees() == {}
    resume(warned.app, 1)
    warned.run()
    warned.run()
    assert len(warned.company.fees()) == 1


@pytest.mark.parametrize("scenario", ["quickbooks"], indirect=True)
def test_a_fee_of_a_company_switched_to_approval_during_its_set_up_awaits_approval(
    warned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run_with_hook(warned, monkeypatch, lambda: set_mode(warned.app, 1, "approve", by="Ann"))
    assert "paused or its mode changed just before" in said
    warned.run()
    assert warned.company.fees() == {}
    [waiting] = warned.outbox("awaiting_approval")
    with writing(warned.app.engine) as session:
        approvals.approve(session, [waiting.id], by="Ann", at=warned.app.now())
    warned.run()
    warned.run()
    assert len(warned.company.fees()) == 1


def test_no_fee_follows_an_email_that_announced_none(late_customer: Any) -> None:
    """The first reminder is sent while fees are off; they are switched on: the next email announces the fee first."""
    run_for_days(late_customer, 5)
    assert len(late_customer.customer_emails()) == 1
    late_customer.set_policy(AUTOMATIC)
    announced_on = None
    for _day in range(30):
        run_for_days(late_customer, 1)
        if announced_on is None and any(
            "late fee of 1%" in each.text for each in late_customer.sandbox.sendgrid.emails()
        ):
            announced_on = late_customer.today - timedelta(days=1)
        if list_fees(late_customer):
            break
        assert announced_on is None or late_customer.today <= announced_on + timedelta(days=7)
    assert announced_on is not None
    assert late_customer.today - timedelta(days=1) == announced_on + timedelta(days=7)


def test_interest_is_charged_on_the_balance_at_the_time_although_most_was_paid_since(scenario: Any) -> None:
    """10,000 is overdue and 9,500 paid on day 28: as a share of the rest, the month's interest would look excessive."""
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "10000.00", due_on=days(-6))  # 4 June
    scenario.go_live()
    scenario.set_policy(f'{AUTOMATIC}preset = "uk"\nrates = {{ "2026-01-01" = 11.75 }}\n')
    run_for_days(scenario, 22, every=11)
    scenario.company.pay(scenario.number, "9500.00")
    run_for_days(scenario, 4)
    [fee] = list_fees(scenario)
    # 10,000 for 28 days and 500 for 2 at 11.75 %, and the fixed 100; 281,000 x 11.75 / 36,500 = 90.46
    assert (fee.state, fee.amount) == ("posted", "190.46")


def test_a_fee_awaits_approval_with_its_annual_rate(drafted: Any) -> None:
    [draft] = list_fees(drafted)
    run_for_days(drafted, 20, every=5)
    assert list_fees(drafted) == [draft]
    assert (draft.state, draft.invoice, draft.amount) == ("draft", drafted.number, "12.00")
    assert Decimal(draft.annual_rate) > 12
    [waiting] = drafted.outbox("awaiting_approval")
    payload = payload_as(LateFeePayload, waiting)
    assert (str(payload.annual_rate), str(payload.amount)) == (draft.annual_rate, "12.00")
    assert f"{draft.annual_rate} % a year" in waiting.reason
    assert drafted.company.fees() == {}
    with writing(drafted.app.engine) as session:
        fees.approve(session, [draft.id], by="Ann", at=drafted.app.now())
    assert [fee.state for fee in list_fees(drafted)] == ["approved"]
    run_for_days(drafted, 1)
    assert [fee.state for fee in list_fees(drafted)] == ["posted"]
    assert drafted.company.fees() == {draft.number: Decimal("12.00")}


def test_a_waived_draft_is_never_posted(drafted: Any) -> None:
    [draft] = list_fees(drafted)
    fees.waive(drafted.app, [draft.id], by="Ann", reason="an old friend")
    run_for_days(drafted, 10, every=5)
    [waived] = list_fees(drafted)
    assert waived.state == "waived"
    assert "Ann" in waived.response
    assert "an old friend" in waived.response
    assert drafted.company.fees() == {}


@pytest.mark.parametrize("paid", ["", "4.50", "12.00"], ids=["unpaid", "paid in part", "paid"])
def test_waiving_a_fee_restores_balance_and_income_to_the_cent(posted: Any, paid: str) -> None:
    before = Decimal(1200), Decimal(1200)
    [fee] = list_fees(posted)
    assert (total_receivable(posted), income(posted)) == (before[0] + 12, before[1] + 12)
    if paid:
        posted.company.pay(fee.number, paid)
    fees.waive(posted.app, [fee.id], by="Ann", reason="a good customer")
    run_for_days(posted, 1)
    [waived] = list_fees(posted)
    assert waived.state == "waived", waived
    assert (total_receivable(posted), income(posted)) == (before[0] - Decimal(paid or 0), before[1])
    assert bool(posted.company.fees()) == bool(paid), "void where nothing was paid on it, else credited"
    [note] = [note for note in posted.company.notes(posted.number) if "waived for" in note]
    assert "Ann waived it: a good customer" in note
    run_for_days(posted, 8, every=4)
    assert len(list_fees(posted)) == 1, "what was waived is not charged again"


def test_no_fee_is_dated_in_a_closed_period_and_the_message_names_its_end(late_customer: Any) -> None:
    late_customer.set_policy(AUTOMATIC)
    run_for_days(late_customer, 2)
    close_books(late_customer, days(35))
    run_for_days(late_customer, 33, every=3)
    assert list_fees(late_customer) == []
    assert late_customer.company.fees() == {}
    assert "the accounts are locked up to 15 Jul" in decision_reason(late_customer, late_customer.number)
    run_for_days(late_customer, 3)
    assert [fee.state for fee in list_fees(late_customer)] == ["posted"]
    assert late_customer.outbox("rejected") == []


def test_waiving_a_fee_in_a_period_closed_since_credits_it(posted: Any) -> None:
    before = Decimal(1200), Decimal(1200)
    [fee] = list_fees(posted)
    close_books(posted, (posted.app.now() - timedelta(days=1)).date())
    posted.pass_days(1)
    fees.waive(posted.app, [fee.id], by="Ann")
    run_for_days(posted, 1)
    assert [each.state for each in list_fees(posted)] == ["waived"]
    assert (total_receivable(posted), income(posted)) == before


def test_monthly_fees_are_one_invoice_with_a_line_for_each(late_customer: Any) -> None:
    other = late_customer.company.invoice("Ashdown Ltd", "300.00", due_on=days(2))
    late_customer.set_policy(f'{AUTOMATIC}invoicing = "monthly"\ninvoice_day = 16\n')
    run_for_days(late_customer, 18)
    run_for_days(late_customer, 12, every=4)  # the fees were due on 18 and 26 June: the fee invoice follows on 16 July
    assert list_fees(late_customer) == []
    assert "will be on this customer's fee invoice of 16 Jul" in decision_reason(late_customer, late_customer.number)
    run_for_days(late_customer, 12, every=3)
    [fee] = list_fees(late_customer)
    assert (fee.state, fee.invoice, fee.amount) == ("posted", f"{late_customer.number}, {other}", "15.00")
    assert list(late_customer.company.fees().values()) == [Decimal("15.00")]
    for number, amount in ((late_customer.number, "12.00"), (other, "3.00")):
        [note] = [note for note in late_customer.company.notes(number) if "Late fee" in note]
        assert f"of {amount}" in note
    run_for_days(late_customer, 40, every=8)
    assert len(list_fees(late_customer)) == 1, "each fee once"


def test_the_text_and_due_date_of_a_fee_follow_the_policy(late_customer: Any) -> None:
    fee = run_until_posted(late_customer, f'{AUTOMATIC}due_days = 5\ntext = "Mahngebühr zu {{number}}"\n')
    text, dated_on, due_on = line_and_days(late_customer, fee.number)
    assert text == f"Mahngebühr zu {late_customer.number}"
    assert (due_on - dated_on).days == 5


def _add_the_ledgers_own_fee(scenario: Any) -> None:
    """Add a line to the overdue invoice, as QuickBooks' own automatic late fees do."""
    books, sold = sandbox_ledger(scenario), next(sandbox_ledger(scenario).all("Item"))
    item = {"Name": "Late fee", "Type": "Service", "IncomeAccountRef": sold.body["IncomeAccountRef"]}
    made = books.reference(writes.create(books, "Item", item))
    found = scenario.company.simulator.find(scenario.number)
    detail = {**found["Line"][0]["SalesItemLineDetail"], "ItemRef": made, "UnitPrice": 18, "Qty": 1}
    line = {"DetailType": "SalesItemLineDetail", "Amount": 18, "SalesItemLineDetail": detail}
    scenario.company.simulator.edit(scenario.number, Line=[found["Line"][0], line])


def test_a_late_fee_charged_by_the_ledger_prevents_a_second_one(scenario_at: Any) -> None:
    with scenario_at(NOON, "quickbooks") as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
        _add_the_ledgers_own_fee(scenario)
        scenario.go_live()
        scenario.set_policy(AUTOMATIC)
        reasons = []
        for _turn in range(7):
            run_for_days(scenario, 4, every=4)
            reasons.append(decision_reason(scenario, scenario.number))
        assert list_fees(scenario) == []
        assert any("the accounting system has charged one of its own on this invoice" in each for each in reasons), (
            reasons
        )


REJECTIONS = {
    "xero": '{"ErrorNumber": 10, "Type": "ValidationException", "Message": "no", "Elements": []}',
    "quickbooks": '{"Fault": {"Error": [{"Message": "no", "Detail": "no", "code": "6000"}], "type": "X"}}',
}


def test_a_failed_waiver_is_reported_and_can_be_requested_again(posted: Any) -> None:
    [fee] = list_fees(posted)
    rule = posted.sandbox.faults.refuse(
        400,
        body=REJECTIONS[posted.company.provider],
        service=posted.company.provider,
        kind="write",
        times=0,
    )
    fees.waive(posted.app, [fee.id], by="Ann")
    posted.run()
    [refused] = list_fees(posted)
    assert refused.state == "posted"
    assert "could not be waived" in refused.response
    posted.sandbox.faults.rules.remove(rule)
    fees.waive(posted.app, [fee.id], by="Ann")
    posted.run()
    assert [each.state for each in list_fees(posted)] == ["waived"]


def test_only_a_fee_can_be_waived_and_only_while_it_stands(late_customer: Any) -> None:
    with pytest.raises(approvals.OutboxError, match="no late fee"):
        fees.waive(late_customer.app, [4711], by="Ann")
