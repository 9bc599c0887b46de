"""The page of bank statements: a file is dropped, its money is matched, and a person decides."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading, writing
from connector.db.tables import BankMatch, BankPayer, BankReceipt, Connection, CustomerRow, InvoiceRow, Task
from connector.reports.cash_forecast import expected_cash
from connector.reports.scope import Scope
from connector.vocabulary import MatchState, ReceiptState, TaskCode
from policies.receivables import InvoiceStatus

Site = Any
CSV = "Date;Name;Description;Amount;Currency\n"
SURE = f"{CSV}2026-06-09;Ashdown Ltd;INV-0042 thanks;900.00;EUR\n"
PROBABLE = f"{CSV}2026-06-09;Ashdown Ltd;thanks;333.00;EUR\n"


def add_invoice(site: Site, company: int, *, number: str = "INV-0042", customer: str = "c1") -> None:
    with writing(site.app.engine) as session:
        session.merge(CustomerRow(connection_id=company, external_id=customer, name="Ashdown Ltd"))
        session.add(
            InvoiceRow(
                connection_id=company,
                external_id=f"i-{number}",
                number=number,
                customer_id=customer,
                currency="EUR",
                issued_on=date(2026, 5, 1),
                due_on=date(2026, 5, 31),
                total_e4=9_000_000,
                due_e4=9_000_000,
                status=InvoiceStatus.OPEN,
                is_open=True,
            )
        )


@pytest.fixture
def company(site: Site) -> int:
    found: int = site.add_company("First Ltd")
    add_invoice(site, found)
    return found


def upload(browser: Any, company: int, content: str | bytes, name: str = "june.csv", **fields: str) -> Any:
    """Choose a file on the page, and import it."""
    path = f"/companies/{company}/bank"
    browser.get(path)
    return browser.submit_file(path, "statement", name, content, fields)


def test_a_dropped_file_shows_what_its_money_pays_and_a_yes_is_remembered(site: Site, company: int) -> None:
    browser = site.sign_in("bookkeeper")
    upload(browser, company, PROBABLE)
    assert browser.page.status_code == 200
    assert "1 brought money in, 1 of them new" in browser.text
    assert "a part of the amount of the invoice" in browser.text
    browser.submit(f"/companies/{company}/bank/decide", {"do": "confirm:1"})
    assert "Confirmed, and remembered for this payer" in browser.text
    with reading(site.app.engine) as session:
        assert session.scalars(select(BankMatch)).one().state == MatchState.CONFIRMED
        assert session.scalars(select(BankPayer)).one().payer_key == "ASHDOWN"


def test_a_no_frees_the_invoice_and_money_can_be_set_aside_or_given_an_invoice(site: Site, company: int) -> None:
    browser, path = site.sign_in("bookkeeper"), f"/companies/{company}/bank/decide"
    upload(browser, company, SURE)
    assert "Sure, 88 points" in browser.text or "Sure, 100 points" in browser.text
    browser.submit(path, {"do": "reject:1"})
    assert "No invoice found" in browser.text
    browser.submit(path, {"do": "assign:1", "invoice-1": "INV-9"})
    assert "There is no open invoice 'INV-9'." in browser.text
    browser.submit(path, {"do": "assign:1", "invoice-1": "INV-0042"})
    assert "Confirmed by" in browser.text
    upload(browser, company, f"{CSV}2026-06-09;Tax office;refund;12.00;EUR\n", "two.csv")
    browser.submit(path, {"do": "aside:2"})
    with reading(site.app.engine) as session:
        assert session.get_one(BankReceipt, 2).state == ReceiptState.SET_ASIDE


def test_a_yes_about_all_of_the_money_ends_what_else_it_may_have_been_for(site: Site, company: int) -> None:
    add_invoice(site, company, number="INV-0043")
    browser = site.sign_in("bookkeeper")
    upload(browser, company, f"{CSV}2026-06-09;Ashdown Ltd;thanks;900.00;EUR\n")
    with reading(site.app.engine) as session:
        version = session.get_one(Connection, company).mirror_version
        assert [each.state for each in session.scalars(select(BankMatch))] == [MatchState.OPEN, MatchState.OPEN]
    browser.submit(f"/companies/{company}/bank/decide", {"do": "confirm:1"})
    assert "Nothing to decide." in browser.text
    browser.submit(f"/companies/{company}/bank/decide", {"do": "reject:1"})
    with reading(site.app.engine) as session:
        states = session.scalars(select(col(BankMatch.state)).order_by(col(BankMatch.id)))
        assert list(states) == [MatchState.REJECTED, MatchState.OPEN]
        assert session.get_one(Connection, company).mirror_version >= version + 2


def test_a_no_about_one_invoice_does_not_make_a_customer_a_stranger(site: Site, company: int) -> None:
    browser, path = site.sign_in("bookkeeper"), f"/companies/{company}/bank"
    upload(browser, company, SURE)
    browser.submit(f"{path}/decide", {"do": "reject:1"})
    upload(browser, company, f"{CSV}2026-06-10;Ashdown Ltd;thanks;900.00;EUR\n", "two.csv")
    with reading(site.app.engine) as session:
        assert session.scalars(select(BankPayer)).all() == []
        states = session.scalars(select(col(BankMatch.state)).order_by(col(BankMatch.id)))
        assert list(states) == [MatchState.REJECTED, MatchState.OPEN]


def test_a_file_that_cannot_be_read_says_where_and_changes_nothing(site: Site, company: int) -> None:
    browser = site.sign_in("bookkeeper")
    upload(browser, company, f"{SURE}2026-06-10;Ashdown Ltd;second;9x0.00;EUR\n")
    assert browser.page.status_code == 422
    assert "Line 3: '9x0.00' is not an amount. Nothing was imported." in browser.text
    with reading(site.app.engine) as session:
        assert session.scalars(select(BankReceipt)).all() == []


def test_what_a_file_does_not_say_is_asked_once_and_kept(site: Site, company: int) -> None:
    browser = site.sign_in("bookkeeper")
    upload(browser, company, f"{CSV}04/05/2026;Ashdown Ltd;INV-0042;900.00;EUR\n")
    assert "Are the dates written with the day first or with the month first?" in browser.text
    browser.submit_file(f"/companies/{company}/bank", None, "", b"", {"date_order": "mdy"})
    with reading(site.app.engine) as session:
        assert session.scalars(select(col(BankReceipt.booked_on))).all() == [date(2026, 4, 5)]
    upload(browser, company, f"{CSV}06/07/2026;Ashdown Ltd;again;1.00;EUR\n", "next.csv")
    with reading(site.app.engine) as session:
        days = session.scalars(select(col(BankReceipt.booked_on)).order_by(col(BankReceipt.id)))
        assert list(days) == [date(2026, 4, 5), date(2026, 6, 7)]


def test_each_question_about_a_file_is_asked_once(site: Site, company: int) -> None:
    browser, path = site.sign_in("bookkeeper"), f"/companies/{company}/bank"
    with writing(site.app.engine) as session:
        session.get_one(Connection, company).base_currency = "EUR"
    upload(browser, company, "03/04/2026;1.234;9.876;Ashdown Ltd\n")
    assert "Which columns hold the date and the amount?" in browser.text
    chosen = {"booked_on": "Column 1", "amount": "Column 2", "payer": "Column 4"}
    browser.submit_file(path, None, "", b"", {f"column-{field}": column for field, column in chosen.items()})
    assert "with the day first or with the month first?" in browser.text
    browser.submit_file(path, None, "", b"", {"date_order": "dmy"})
    assert "the decimal mark of the amounts?" in browser.text
    browser.submit_file(path, None, "", b"", {"decimal_mark": ","})
    with reading(site.app.engine) as session:
        row = session.scalars(select(BankReceipt)).one()
        assert (row.booked_on, row.amount_e4, row.payer) == (date(2026, 4, 3), 12_340_000, "Ashdown Ltd")


def test_bank_lines_are_for_bookkeepers_of_the_company_only(site: Site, company: int) -> None:
    upload(site.sign_in("bookkeeper"), company, SURE)
    viewer = site.sign_in("viewer")
    assert viewer.get(f"/companies/{company}/bank").status_code in {403, 404}
    other = site.add_company("Second Ltd")
    browser = site.sign_in("bookkeeper", other, email="other@example.com")
    assert browser.get(f"/companies/{company}/bank").status_code == 404
    browser.get(f"/companies/{other}/bank")
    upload(browser, other, PROBABLE)
    path = f"/companies/{other}/bank/decide"
    assert browser.submit(path, {"do": "confirm:1"}).status_code == 404
    with reading(site.app.engine) as session:
        assert {row.connection_id for row in session.scalars(select(BankMatch))} == {company}


def test_the_task_to_book_money_leads_to_the_bank_page(site: Site, company: int) -> None:
    with writing(site.app.engine) as session:
        session.add(
            Task(
                connection_id=company,
                key="book",
                code=TaskCode.BOOK_PAYMENT,
                customer_id="c1",
                invoice_ids=["i-INV-0042"],
                due_on=date(2026, 6, 10),
                reason="EUR 900.00 arrived.",
                created_at=site.clock.at,
            )
        )
    link = f'href="/companies/{company}/bank"'
    for role, is_shown in (("bookkeeper", True), ("viewer", False)):
        browser = site.sign_in(role, email=f"{role}@example.com")
        browser.get("/tasks/1")
        assert (link in browser.page.text) == is_shown


def test_money_in_the_bank_is_expected_within_the_week(site: Site, company: int) -> None:
    def expected() -> str:
        with reading(site.app.engine) as session:
            scope = Scope([session.get_one(Connection, company)], site.clock.at)
            return str(expected_cash(session, scope)["EUR"].expected)

    before = expected()
    upload(site.sign_in("bookkeeper"), company, SURE)
    assert before != "900.00"
    assert expected() == "900.00"


def test_the_sums_of_the_page_count_what_its_lists_do_not_show(
    site: Site, company: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.web.bank._SHOWN_MAX", 2)
    numbers = [f"INV-{place:04}" for place in range(50, 53)]
    for number in numbers:
        add_invoice(site, company, number=number)
    browser = site.sign_in("bookkeeper")
    rows = "".join(f"2026-06-09;Ashdown Ltd;{number};900.00;EUR\n" for number in numbers)
    upload(browser, company, f"{CSV}{rows}")
    assert "€2,700.00. Nothing is asked for it." in browser.text or "EUR 2,700.00. Nothing" in browser.text
    assert "Sure: 3, the first 2 of them" in browser.text
