"""The same line counts once: in overlapping files, in two formats, pending and booked; two equal payments stay two."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.bank.importing import ImportResult, import_statement
from connector.bank.known_lines import is_same_account
from connector.db.engine import reading
from connector.db.tables import BankMatch, BankReceipt
from connector.vocabulary import LineStatus, MatchState, ReceiptState
from tests.connector.bank.test_formats import CORPUS
from tests.connector.web.test_bank import add_invoice

Site = Any
CSV = "Date;Name;Description;Amount;Currency;Id;Status\n"


@pytest.fixture
def company(site: Site) -> int:
    found: int = site.add_company("First Ltd")
    add_invoice(site, found)
    return found


def load(site: Site, company: int, content: str | bytes, name: str = "a.csv") -> ImportResult:
    raw = content.encode() if isinstance(content, str) else content
    return import_statement(site.app, company, raw, name=name, by="ann")


def corpus(name: str) -> bytes:
    return (CORPUS / name).read_bytes()


def stored(site: Site) -> list[BankReceipt]:
    with reading(site.app.engine) as session:
        return list(session.scalars(select(BankReceipt).order_by(col(BankReceipt.id))))


def line(day: int, payer: str, text: str, amount: str, key: str = "", status: str = "booked") -> str:
    return f"2026-06-{day:02};{payer};{text};{amount};EUR;{key};{status}\n"


def test_a_file_that_was_imported_changes_nothing(site: Site, company: int) -> None:
    content = CSV + line(9, "Ashdown Ltd", "INV-0042", "900.00")
    assert not load(site, company, content).known
    assert load(site, company, content, "again.csv").known
    assert len(stored(site)) == 1


def test_a_payment_in_two_formats_counts_once(site: Site, company: int) -> None:
    first = load(site, company, corpus("mt940/01-german-subfields.sta"))
    second = load(site, company, corpus("camt/01-version-2.xml"))
    third = load(site, company, CSV + line(9, "ASHDOWN LTD", "INV-0042 vom 8. Mai", "900.00"))
    assert (first.new, second.new, third.new) == (1, 0, 0)


def test_overlapping_files_bring_only_what_is_new(site: Site, company: int) -> None:
    common = line(9, "Ashdown Ltd", "INV-0042", "900.00", "7") + line(10, "Bramley", "rent", "900.00", "8")
    assert load(site, company, CSV + line(8, "Calder", "x", "1.00") + common).new == 3
    assert load(site, company, CSV + common + line(11, "Dunmore", "y", "2.00")).new == 1


def test_equal_payments_on_one_day_stay_as_many_as_they_are(site: Site, company: int) -> None:
    two = line(9, "Ashdown Ltd", "thanks", "50.00") * 2
    assert load(site, company, CSV + two).new == 2
    assert load(site, company, CSV + two + line(12, "Z", "z", "1.00")).new == 1
    assert load(site, company, CSV + line(9, "Bramley Foods", "other words", "50.00")).new == 1


def test_new_references_with_each_download_do_not_double_what_is_inside_both_files(site: Site, company: int) -> None:
    def around(key: str) -> str:
        return CSV + "".join(line(day, f"P{day}", f"t{day}", f"{day}.00", f"{key}{day}") for day in (8, 9, 10))

    assert load(site, company, around("a")).new == 3
    assert load(site, company, around("b")).new == 2  # of the first and the last day nobody knows


def test_a_pending_payment_is_booked_once(site: Site, company: int) -> None:
    load(site, company, CSV + line(9, "Ashdown Ltd", "INV-0042", "900.00", status="pending"))
    assert [(row.status, row.booked_on) for row in stored(site)] == [(LineStatus.PENDING, date(2026, 6, 9))]
    assert load(site, company, CSV + line(11, "Ashdown Ltd", "INV-0042", "900.00")).new == 0
    assert [(row.status, row.booked_on) for row in stored(site)] == [(LineStatus.BOOKED, date(2026, 6, 11))]


def test_money_that_was_taken_back_holds_nothing(site: Site, company: int) -> None:
    load(site, company, corpus("mt940/01-german-subfields.sta"))
    assert [row.state for row in stored(site)] == [ReceiptState.MATCHED]
    load(site, company, corpus("mt940/02-reversed-credit-rc.sta"))
    assert [row.state for row in stored(site)] == [ReceiptState.REVERSED, ReceiptState.REVERSED]
    with reading(site.app.engine) as session:
        assert session.scalars(select(col(BankMatch.state))).all() == [MatchState.ENDED]
    load(site, company, corpus("mt940/02-reversed-credit-rc.sta").replace(b"STARTUMSE", b"AGAIN"))
    assert len(stored(site)) == 2


def test_the_payments_of_a_batch_take_its_place_whichever_file_comes_first(site: Site, company: int) -> None:
    whole = corpus("camt/04-batch-without-payments.xml")
    parts = corpus("camt/03-batch-with-payments.xml")
    load(site, company, whole)
    load(site, company, parts)
    assert sorted(row.amount_e4 for row in stored(site)) == [6_000_000, 9_000_000]
    load(site, company, whole.replace(b"<MsgId>M1", b"<MsgId>M2"))
    assert len(stored(site)) == 2


def test_money_that_goes_out_is_not_stored(site: Site, company: int) -> None:
    result = load(site, company, CSV + line(9, "Payroll", "June", "-2500.00"))
    assert (result.entries, result.received) == (1, 0)
    assert stored(site) == []


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("DE89370400440532013000", "37040044/532013000", True),
        ("GB29NWBK60161331926819", "31926819", True),
        ("", "31926819", True),
        ("DE89370400440532013000", "DE89370400440532013001", False),
        ("12345678", "99", False),
    ],
)
def test_an_account_is_recognised_however_a_format_writes_it(first: str, second: str, *, same: bool) -> None:
    assert is_same_account(first, second) is same
    assert is_same_account(second, first) is same


def test_a_reference_that_a_bank_uses_again_does_not_lose_a_payment(site: Site, company: int) -> None:
    first = line(9, "Ashdown", "one", "10.00", "same") + line(9, "Bramley", "two", "20.00", "same")
    assert load(site, company, CSV + first).new == 2
    assert (
        load(site, company, CSV + line(10, "Ashdown", "one", "10.00", "same") + line(9, "Calder", "x", "30.00")).new
        == 2
    )


def test_a_returned_direct_debit_takes_the_payment_back_also_with_the_banks_fee(site: Site, company: int) -> None:
    load(site, company, corpus("csv/17-returned-direct-debits.csv"))
    assert [(row.amount_e4, row.state) for row in stored(site)] == [
        (9_000_000, ReceiptState.REVERSED),
        (9_035_000, ReceiptState.MATCHED),
        (-9_035_000, ReceiptState.REVERSED),
    ]


def test_a_return_is_not_taken_for_another_customers_payment_of_nearly_its_amount(site: Site, company: int) -> None:
    load(site, company, CSV + line(9, "Bramley", "rent", "895.00"))
    load(site, company, CSV + line(10, "Calder", "Ruecklastschrift INV-0052", "-903.50"), "b.csv")
    assert [row.state for row in stored(site)] == [ReceiptState.UNMATCHED, ReceiptState.REVERSED]


def test_two_entries_under_one_reference_of_one_day_are_both_kept(site: Site, company: int) -> None:
    """A payment and its fee in exchange come under one FITID."""
    content = corpus("ofx/03-qfx-of-a-us-bank.qfx").decode()
    first = content.partition("<STMTTRN>")[2].partition("</STMTTRN>")[0]
    amount = first.partition("<TRNAMT>")[2].partition("\n")[0].partition("<")[0]
    twin = content.replace("<STMTTRN>", f"<STMTTRN>{first.replace(amount, '1.25')}</STMTTRN><STMTTRN>", 1)
    result = load(site, company, twin.encode(), "a.qfx")
    assert load(site, company, twin.replace("\n\n", "\n\n\n").encode() + b"\n", "b.qfx").new == 0
    assert len([row for row in stored(site) if row.amount_e4 == 12_500]) == 1
    assert result.new == len(stored(site))


def test_the_statement_of_the_next_month_does_not_take_the_last_ones_place(site: Site, company: int) -> None:
    load(site, company, CSV + "2026-05-30;Shop;;1.50;EUR;;booked\n", "may.csv")
    assert load(site, company, CSV + line(1, "Shop", "", "1.50") * 2, "june.csv").new == 2
    assert sorted(row.booked_on for row in stored(site)) == [date(2026, 5, 30), date(2026, 6, 1), date(2026, 6, 1)]
