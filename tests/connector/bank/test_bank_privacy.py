"""Bank lines of strangers go after 30 days, and an erased customer's payments keep only amounts and days."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading, writing
from connector.db.tables import BankMatch, BankPayer, BankReceipt
from connector.privacy import retention
from connector.privacy.erase import erase
from connector.services import bank_statements
from connector.vocabulary import MatchState, ReceiptState
from tests.connector.bank.test_known_lines import CSV, company, line, load, stored  # noqa: F401

Site = Any


def test_money_that_matches_no_customer_is_deleted_after_its_retention_period(site: Site, company: int) -> None:  # noqa: F811
    load(
        site, company, CSV + line(9, "A Stranger", "private matter", "12.00") + line(9, "Ashdown", "INV-0042", "900.00")
    )
    site.clock.advance(days=29)
    retention.prune(site.app)
    assert len(stored(site)) == 2
    site.clock.advance(days=2)
    assert retention.prune(site.app)["bank-lines"] == 1
    assert [row.payer for row in stored(site)] == ["Ashdown"]


def test_what_is_settled_keeps_no_payer_after_its_retention_period(site: Site, company: int) -> None:  # noqa: F811
    load(site, company, CSV + line(9, "Ashdown Ltd", "", "900.00") + line(9, "Ashdown Ltd", "INV-0042 b", "12.00"))
    bank_statements.set_aside(site.app, 2, by="ann")
    with writing(site.app.engine) as session:
        for row in session.scalars(select(BankReceipt).where(col(BankReceipt.id) == 1)):
            row.state = ReceiptState.IN_LEDGER
        for each in session.scalars(select(BankMatch)):
            each.state = MatchState.IN_LEDGER
    site.clock.advance(days=31)
    retention.prune(site.app)
    assert [(row.id, row.payer) for row in stored(site)] == [(1, "")]
    with reading(site.app.engine) as session:
        assert set(session.scalars(select(col(BankMatch.payer)))) == {""}


def test_an_erasure_covers_what_bank_statements_say_of_a_customer(site: Site, company: int) -> None:  # noqa: F811
    load(site, company, CSV + line(9, "Ashdown Ltd", "INV-0042 from Jo Ash", "900.00"))
    bank_statements.confirm_match(site.app, 1, by="ann")
    erase(site.app, company, "c1", by="ann")
    with reading(site.app.engine) as session:
        receipt = session.scalars(select(BankReceipt)).one()
        assert (receipt.payer, receipt.payer_account, receipt.text, receipt.amount_e4) == ("", "", "", 9_000_000)
        assert session.scalars(select(col(BankMatch.payer))).all() == [""]
        assert session.scalars(select(BankPayer)).all() == []
