"""Approval by reading: one waiting entry after the other, decided, edited and undone on one page."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import CompletedStep, Connection, OutboxEntry
from connector.outbox.approvals import OutboxError, record_change, undo
from connector.services.sending_times import explain_sending
from connector.vocabulary import OutboxState
from tests.connector.web.test_outbox import add_email, company_with_invoice, get_entry, settings  # noqa: F401

Site = Any


@pytest.fixture
def waiting(site: Site, company_with_invoice: int) -> list[int]:  # noqa: F811
    """Three emails that await approval."""
    return [add_email(site, company_with_invoice, number=number) for number in (1, 2, 3)]


def decide(browser: Any, **fields: str) -> Any:
    """Submit the form of the review that has this button, as a browser does."""
    page = browser.page.text
    button = f'name="do" value="{fields["do"]}"'
    form = next(each for each in re.findall(r"<form\b.*?</form>", page, re.DOTALL) if button in each)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    browser.page = browser.post("/outbox/review", {**hidden, **fields})
    return browser.page


def words(browser: Any) -> str:
    return " ".join(browser.text.split())


def test_the_review_keeps_to_the_filters_it_was_opened_with(site: Site, waiting: list[int]) -> None:
    with writing(site.app.engine) as session:
        for number, each in enumerate(waiting):
            session.get_one(OutboxEntry, each).step = "second_notice" if number else "past_due"
    ann = site.sign_in("bookkeeper", email="ann@example.com")
    page = ann.get("/outbox?step=second_notice").text
    assert 'href="/outbox/review?step=second_notice"' in page
    ann.get("/outbox/review?step=second_notice")
    assert "1 of 2 (2 left)" in words(ann)
    assert "Filter: Step: Second notice" in words(ann)
    decide(ann, do="approve")
    assert "2 of 2 (1 left)" in words(ann)
    decide(ann, do="approve")
    assert "Nothing that awaits approval matches these filters." in words(ann)
    assert get_entry(site, waiting[0]).state == "awaiting_approval"
    ann.get("/outbox/review")
    assert "1 of 1 (1 left)" in words(ann)
    assert "is not an amount" in ann.get("/outbox/review?min=lots").text


def test_the_review_begins_with_the_top_row_of_the_list_however_that_is_sorted(site: Site, waiting: list[int]) -> None:
    with writing(site.app.engine) as session:
        for each, amount in zip(waiting, (20, 10, 30), strict=True):
            session.get_one(OutboxEntry, each).amount_e4 = amount * 10_000
    ann = site.sign_in("bookkeeper", email="ann@example.com")
    for sort, order in {"": [0, 1, 2], "-amount": [2, 0, 1], "-id": [2, 1, 0]}.items():
        page = ann.get(f"/outbox?sort={sort}").text
        rows = [int(each) for each in re.findall(r'<th scope="row"[^>]*><a href="/outbox/(\d+)"', page)]
        assert rows == [waiting[place] for place in order]
        (address,) = re.findall(r'href="(/outbox/review[^"]*)">Review one by one', page)
        for place in order:
            ann.get(unescape(address))
            assert f'name="entry" value="{waiting[place]}"' in ann.page.text
            address = "".join(re.findall(r'data-key="n" href="([^"]*)"', ann.page.text))
    ann.get("/outbox/review?sort=-amount")
    decide(ann, do="approve")
    assert f'name="entry" value="{waiting[0]}"' in ann.page.text  # the next of this order, not the next id
    assert "cannot be sorted by" in ann.get("/outbox/review?sort=odd").text


def test_after_each_decision_the_next_entry_is_there_and_the_last_can_be_undone(site: Site, waiting: list[int]) -> None:
    first, second, _third = waiting
    ann = site.sign_in("bookkeeper", email="ann@example.com")
    ann.get("/outbox/review")
    assert "1 of 3 (3 left)" in words(ann)
    assert "Once approved, it is sent with the next sync, within minutes." in ann.text
    assert decide(ann, do="approve").status_code == 200
    assert "2 of 3 (2 left)" in words(ann)
    assert f'src="/outbox/{second}/email.html"' in ann.page.text
    assert (get_entry(site, first).state, get_entry(site, first).approved_by) == ("planned", "ann@example.com")
    # A rejection needs its reason; without one the form stays, and says so at the field
    missing = decide(ann, do="reject")
    assert missing.status_code == 422
    assert 'aria-invalid="true" aria-describedby="reason-problem"' in missing.text
    decide(ann, do="reject", reason="They called")
    assert "3 of 3 (1 left)" in words(ann)
    assert "They called" in get_entry(site, second).response
    with reading(site.app.engine) as session:
        assert session.get(CompletedStep, (1, "i1", "past_due", "")) is not None
    decide(ann, do="undo")
    assert "Undone. It awaits approval again." in ann.text
    assert "2 of 3 (2 left)" in words(ann)
    undone = get_entry(site, second)
    assert (undone.state, undone.response, undone.ended_at) == ("awaiting_approval", "", None)
    with reading(site.app.engine) as session:
        assert session.get(CompletedStep, (1, "i1", "past_due", "")) is None
    decide(ann, do="edit_text", subject="About your order", heading="Hello", opening="Hello.", closing="Thank you.")
    assert "Text saved. The email still needs approval." in ann.text
    assert "About your order" in ann.text
    decide(ann, do="approve")
    decide(ann, do="approve")
    assert "Nothing awaits approval. You have decided about 3 entries." in words(ann)
    assert [get_entry(site, each).state for each in waiting] == ["planned"] * 3
    with writing(site.app.engine) as session:  # what a service rejects is nobody's decision
        row = session.get_one(OutboxEntry, first)
        row.state, row.response = OutboxState.REJECTED, "no such mailbox"
        with pytest.raises(OutboxError, match="nothing to undo"):
            undo(session, [first], by="ann@example.com", at=site.clock.at)


def test_what_changed_while_it_was_read_stays_and_says_so(site: Site, waiting: list[int]) -> None:
    ann = site.sign_in("bookkeeper")
    ann.get("/outbox/review")
    with writing(site.app.engine) as session:
        row = session.get_one(OutboxEntry, waiting[0])
        record_change(session, row, by="ben@example.com", at=site.clock.at)
    typed = decide(ann, do="edit_text", subject="My subject", heading="H", opening="My text", closing="C")
    assert (typed.status_code, "Not saved yet: this is what you typed" in ann.text) == (409, True)
    assert ">My text</textarea>" in typed.text
    with writing(site.app.engine) as session:
        record_change(session, session.get_one(OutboxEntry, waiting[0]), by="ben@example.com", at=site.clock.at)
        session.get_one(OutboxEntry, waiting[0]).content_hash = "of what ben wrote"
    assert 'value="Too early"' in decide(ann, do="reject", reason="Too early").text
    with writing(site.app.engine) as session:
        session.get_one(OutboxEntry, waiting[0]).content_hash = "of what they wrote next"
    stale = decide(ann, do="approve")
    assert stale.status_code == 409
    assert "was changed by ben@example.com" in ann.text
    assert f'src="/outbox/{waiting[0]}/email.html"' in stale.text
    assert decide(ann, do="approve").status_code == 200  # read again
    with writing(site.app.engine) as session:
        session.get_one(OutboxEntry, waiting[0]).state = OutboxState.SENDING
    too_late = decide(ann, do="undo")
    assert too_late.status_code == 409
    assert "only an entry that is planned or rejected can be undone" in ann.text
    other = site.sign_in("bookkeeper", site.add_company("South Ltd"), email="south@example.com")
    assert "Nothing awaits approval." in (other.get("/outbox/review") and other.text)
    assert other.get("/outbox/review?company=1").status_code == 404
    assert other.get(f"/outbox/review?last={waiting[0]}").status_code == 404
    assert site.sign_in("viewer", email="viewer@example.com").get("/outbox/review").status_code == 403


def test_when_it_is_sent_follows_the_window_the_holidays_and_the_mode(site: Site, waiting: list[int]) -> None:
    def text(**changes: Any) -> str:
        with writing(site.app.engine) as session:
            company = session.get_one(Connection, 1)
            for name, value in changes.items():
                setattr(company, name, value)
            found = explain_sending(session, session.get_one(OutboxEntry, waiting[0]), company, site.clock.at)
        assert found is not None
        return found.text

    company_zone = {"time_zone": "Europe/London"}
    soon = site.clock.at + timedelta(minutes=40)
    assert text(next_run_at=soon, **company_zone) == (
        "Once approved, it is sent with the sync on Wednesday 10 Jun 2026 12:40 BST."
    )
    evening = site.clock.at + timedelta(hours=9)
    assert text(next_run_at=evening) == (
        "Once approved, it is sent on Thursday 11 Jun 2026 08:00 BST: emails are sent from 08:00 to 18:00."
    )
    site.clock.advance(days=177)  # Friday 4 Dec … 25 Dec is a Friday
    site.clock.advance(days=21)
    assert text(next_run_at=None) == (
        "Once approved, it is sent on Tuesday 29 Dec 2026 08:00 GMT: 25 Dec 2026 is Christmas Day."
    )
    assert "observe mode" in text(mode="observe")
    assert "is paused" in text(pause_reason="Holidays")


def test_a_switch_to_approve_mode_fills_the_queue_at_once(site: Site, company_with_invoice: int) -> None:  # noqa: F811
    entry = add_email(site, company_with_invoice, "planned")
    set_mode(site.app, company_with_invoice, "observe")
    assert get_entry(site, entry).state == "planned"
    set_mode(site.app, company_with_invoice, "approve")
    assert get_entry(site, entry).state == "awaiting_approval"
    with reading(site.app.engine) as session:
        assert session.get_one(Connection, company_with_invoice).next_run_at == site.clock.at
