"""A person's own words for one mail: what was approved is what the customer gets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.access.connections import set_mode
from connector.database import reading, writing
from connector.people import approvals
from connector.people.wording import reword
from connector.tables import OutboxEntry, SyncLogEntry

LINES = {"subject": "About {{ secret }} & co", "opening": "Dear Ms Ashdown,\n\nwe <b>spoke</b> {% if %} today."}


@pytest.fixture
def waiting(town_at: Any, noon: Any) -> Iterator[Any]:
    """A town where one mail waits for an approval."""
    with town_at(noon, "xero") as town:
        prepare(town)
        yield town


def prepare(town: Any) -> None:
    town.books.customer("Ashdown Ltd")
    town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=town.today - timedelta(days=6))
    town.live()
    set_mode(town.installation, town.connection, "approve")
    town.run()


def only(town: Any) -> OutboxEntry:
    with reading(town.installation.engine) as session:
        return session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == "mail")).one()


def approve(town: Any) -> None:
    with writing(town.installation.engine) as session:
        approvals.approve(session, [only(town).id or 0], by="Ben", at=town.installation.now())


def edits(town: Any) -> list[str]:
    with reading(town.installation.engine) as session:
        return list(session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == "edited")))


def test_the_words_that_were_approved_are_the_words_that_leave(waiting: Any) -> None:
    before = approvals.looked_at(only(waiting))
    reword(waiting.installation, only(waiting).id or 0, LINES, by="Ann", seen=before)
    with pytest.raises(approvals.OutboxError, match="changed meanwhile"):  # Ben looked at what it was before
        reword(waiting.installation, only(waiting).id or 0, {"subject": "Other"}, by="Ben", seen=before)
    waiting.run()
    assert waiting.mails() == []
    approve(waiting)
    waiting.run()
    [mail] = [
        mail for mail in waiting.sandbox.sendgrid.mails() if mail.to != (waiting.installation.settings.mail_from,)
    ]
    assert mail.subject == "About {{ secret }} & co"
    assert "Dear Ms Ashdown,\n\nwe <b>spoke</b> {% if %} today." in mail.text
    assert "we &lt;b&gt;spoke&lt;&#x2f;b&gt;" in mail.html
    assert "1,200.00" in mail.text
    [told] = edits(waiting)
    assert told.startswith("Ann changed the subject and the opening of this mail")


def test_words_about_other_facts_are_gone_with_them(waiting: Any) -> None:
    reword(waiting.installation, only(waiting).id or 0, LINES, by="Ann")
    approve(waiting)
    waiting.books.pay(waiting.number, "200.00")
    waiting.run()
    entry = only(waiting)
    assert (entry.state, entry.own_words, waiting.mails()) == ("waiting", None, [])
    assert "written anew" in edits(waiting)[-1]


def test_a_worded_mail_waits_also_where_the_company_is_live_until_its_words_are_taken_back(waiting: Any) -> None:
    entry = only(waiting).id or 0
    reword(waiting.installation, entry, LINES, by="Ann")
    set_mode(waiting.installation, waiting.connection, "live")
    waiting.run()
    assert (waiting.mails(), only(waiting).state) == ([], "waiting")
    with pytest.raises(approvals.OutboxError, match="Nothing was changed"):
        reword(waiting.installation, entry, LINES, by="Ann")
    with pytest.raises(approvals.OutboxError, match="must not be empty"):
        reword(waiting.installation, entry, {"subject": " \x00 "}, by="Ann")
    reword(waiting.installation, entry, {}, by="Ann")
    waiting.run()
    assert [mail[1] for mail in waiting.mails()] != [LINES["subject"]]
    assert len(waiting.mails()) == 1
