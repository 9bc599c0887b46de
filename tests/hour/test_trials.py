"""A policy tried before it touches a customer, and what is odd in the books, over a mirror that was really read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connector import policies_store
from connector.database import reading
from connector.people import exceptions, trials
from policies.policy import ReminderPolicy

TODAY = datetime(2026, 6, 10, 11, 0, tzinfo=UTC).date()


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def books(town: Any) -> Any:
    """A company with an open invoice, one paid late, and one paid on time."""
    for name in ("Ashdown Ltd", "Birch Ltd"):
        town.books.customer(name)
    town.open = town.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(2))
    town.paid = town.books.invoice("Birch Ltd", "300.00", due_on=ago(30))
    town.books.pay(town.paid)
    town.connect()
    assert town.run().outcome == "ok"
    return town


def test_a_diff_counts_customers_and_mails_and_lists_them(books: Any) -> None:
    quiet = ReminderPolicy.from_toml(
        "".join(f'[{step}]\nnew = "off"\n' for step in ("plan_offer", "late_fee", "final_notice", "propose_suspension"))
    )
    changes = trials.difference(books.installation, books.connection, quiet)
    gone = [item for item in changes if item["change"] == "-" and item["kind"] == "mail"]
    assert {item["customer"] for item in changes} == {"Ashdown Ltd"}
    assert "plan_offer" in {item["step"] for item in gone}
    assert trials.summary(changes).startswith("1 customer, ")
    assert "fewer in the next 30 days" in trials.summary(changes)
    same = ReminderPolicy.default()
    assert trials.difference(books.installation, books.connection, same) == []
    assert trials.summary([]) == "In the next 30 days it would alter nothing."


def test_a_back_test_replays_the_books_own_past_and_sends_nothing(books: Any) -> None:
    [test] = trials.backtest(books.installation, books.connection, 60)
    items = [trials.mail_item(test, mail) for mail in test.report.mails]
    steps = {(item["customer"], item["step"]) for item in items}
    assert ("Birch Ltd", "past_due") in steps, "it was paid only today"
    assert all(ago(60) <= item["on"] < TODAY for item in items)
    assert len({item["id"] for item in items}) == len(items)
    [firm] = trials.backtest(books.installation, books.connection, 60, policy=ReminderPolicy.from_toml('tone = "firm"'))
    assert firm.report.mails
    assert books.mails() == []
    assert books.outbox("done") == []


def test_exceptions_are_found_in_the_mirror_in_plain_words(books: Any) -> None:
    twin = books.books.invoice("Ashdown Ltd", "1200.00", due_on=ago(0))
    books.books.credit("Ashdown Ltd", "1200.00")
    books.sandbox.clock.advance(timedelta(hours=1))
    books.run()
    found = exceptions.every(books.installation, books.connection)
    assert {item["code"] for item in found} == {"unapplied_match", "probable_duplicate"}
    [duplicate] = [item for item in found if item["code"] == "probable_duplicate"]
    assert (duplicate["customer"], duplicate["invoice"]) == ("Ashdown Ltd", twin)
    assert duplicate["why"].endswith("a duplicate?")
    assert len({item["id"] for item in found}) == len(found)


def test_a_hold_out_reports_only_where_there_is_one(books: Any) -> None:
    assert trials.hold_out(books.installation, books.connection) == []
    books.policy("[hold_out]\npercent = 20\n")
    [report] = trials.hold_out(books.installation, None)
    assert report["percent"] == 20
    assert report["why"].startswith("Too few to tell")
    with reading(books.installation.engine) as session:
        [version] = policies_store.versions(session, books.connection)
    assert (version["id"], version["connection"], version["in_force"]) == (report["version"], "all", True)
