"""What is listed of a mailbox: what may answer ours, also where Gmail forgot the position; nothing of the rest."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from providers.errors import AuthorizationExpired, PermanentError, TransientError
from providers.gmail.mailbox import GmailMailbox
from providers.mailbox import Arrival
from providers.message import message_id
from sandbox.faults import Rule
from sandbox.gmail.service import ACCOUNT
from tests.providers.gmail.conftest import NOW, World, reminder


def list_all(mailbox: GmailMailbox, cursor: str = "") -> tuple[list[Arrival], str]:
    arrivals = []
    for page in mailbox.list_arrivals(cursor, NOW - timedelta(days=1)):
        arrivals += page.arrivals
        cursor = page.cursor
    return arrivals, cursor


def own_id(key: str) -> str:
    return message_id(key, "larkspur.example")


@pytest.fixture
def cursor(world: World, mailbox: GmailMailbox) -> str:
    """The position after two emails were sent."""
    mailbox.send(reminder("k1"))
    mailbox.send(reminder("k2", to="bo@bo.example"))
    world.gmail.receive("eve@eve.example", "Lunch?", "At noon")
    arrivals, cursor = list_all(mailbox)
    assert arrivals == []
    return cursor


def test_page_that_gmail_forgot_is_followed_by_the_first_one(mailbox: GmailMailbox, cursor: str) -> None:
    since_s = int((NOW - timedelta(hours=1)).timestamp())
    assert list_all(mailbox, f"{cursor}|{since_s}|no-such-page") == ([], cursor)


@pytest.mark.parametrize("subject", ["", "About something else"])
def test_reply_names_our_message_id_that_gmail_had_replaced(
    world: World, mailbox: GmailMailbox, cursor: str, subject: str
) -> None:
    world.gmail.reply(1, "Paid yesterday.", subject=subject)
    ((arrival,), later) = list_all(mailbox, cursor)
    assert arrival.references[0] == own_id("k1")
    assert (arrival.sender, arrival.may_be_report, arrival.received_at) == ("ada@ada.example", False, NOW)
    assert b"Paid yesterday." in (mailbox.read_arrival(arrival.id) or b"")
    assert list_all(mailbox, later) == ([], later)


def test_reply_in_a_thread_of_two_emails_names_the_one_it_answers_first(world: World, mailbox: GmailMailbox) -> None:
    mailbox.send(reminder("k1"))
    first = world.gmail.emails()[0]
    cursor = list_all(mailbox)[1]
    own = ("Message-ID", own_id("k2"))
    mailbox.send(reminder("k2", headers=(own, ("References", first.message_id))))
    world.gmail.reply(1, "Which one?")
    ((arrival,), _later) = list_all(world.open(), cursor)
    assert arrival.references[:2] == (own_id("k1"), own_id("k2"))


def test_what_answers_nothing_of_ours_names_nothing_of_ours_and_its_text_is_never_fetched(
    world: World, mailbox: GmailMailbox, cursor: str
) -> None:
    world.gmail.receive("eve@eve.example", "Divorce papers", "secret")
    world.gmail.send(ACCOUNT, b"From: billing@larkspur.example\nTo: eve@eve.example\nSubject: Lunch\n\nNoon?\n")
    world.gmail.reply(3, "Fine")
    before = len(world.sandbox.requests)
    arrivals, _later = list_all(mailbox, cursor)
    assert [own_id("k1") in each.references for each in arrivals] == [False]
    queries = [each.query for each in world.sandbox.requests[before:] if "/messages/" in each.path]
    assert queries
    assert all("format=metadata" in query for query in queries)


def test_own_emails_and_drafts_are_not_listed(world: World, mailbox: GmailMailbox, cursor: str) -> None:
    mailbox.send(reminder("k3"))
    world.gmail.reply(1, "typing", labels=("DRAFT",))
    assert list_all(mailbox, cursor)[0] == []


def test_bounce_may_be_a_report_and_names_the_email(world: World, mailbox: GmailMailbox, cursor: str) -> None:
    world.gmail.bounce(2)
    world.gmail.bounce(1, "sending_limit")
    arrivals, _later = list_all(mailbox, cursor)
    assert [(each.may_be_report, each.references[0]) for each in arrivals] == [
        (True, own_id("k2")),
        (True, own_id("k1")),
    ]


def test_position_that_gmail_forgot_is_replaced_by_the_newest_and_nothing_is_missed(
    world: World, mailbox: GmailMailbox, cursor: str
) -> None:
    world.sandbox.clock.advance(timedelta(days=9))
    world.gmail.reply(1, "On holiday until now.")
    world.sandbox.clock.advance(timedelta(minutes=1))
    mailbox = world.open()
    pages = list(mailbox.list_arrivals(cursor, NOW + timedelta(days=8)))
    assert [page.restarted for page in pages] == [True]
    assert [each.references[0] for each in pages[0].arrivals] == [own_id("k1")]
    assert list_all(mailbox, pages[0].cursor) == ([], pages[0].cursor), "no loop: the new position is a known one"


def test_listing_that_breaks_off_continues_where_it_was(
    world: World, mailbox: GmailMailbox, cursor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.gmail.client.PAGE_SIZE", 1)
    for number in (1, 2):
        world.gmail.reply(number, "Paid.")
    first = next(iter(mailbox.list_arrivals(cursor, NOW)))
    rest, _later = list_all(mailbox, first.cursor)
    assert [each.references[0] for each in (*first.arrivals, *rest)] == [own_id("k1"), own_id("k2")]

    first = next(iter(mailbox.list_arrivals("", NOW - timedelta(hours=1))))
    world.gmail.reply(1, "And one more thing.")  # meanwhile
    rest, later = list_all(mailbox, first.cursor)
    last, _later = list_all(mailbox, later)
    found = [each.references[0] for each in (*first.arrivals, *rest)]
    assert sorted(set(found)) == sorted({own_id("k1"), own_id("k2")})
    assert [each.references[0] for each in last] == [own_id("k1")]


def test_empty_page_of_the_history_is_not_its_end(world: World, mailbox: GmailMailbox, cursor: str) -> None:
    world.gmail.behaviour.empty_pages = True
    world.gmail.reply(1, "Paid.")
    assert len(list_all(mailbox, cursor)[0]) == 1


def test_one_odd_record_of_the_history_stops_no_other(world: World, mailbox: GmailMailbox, cursor: str) -> None:
    odd, plain = world.gmail.reply(1, "Paid."), world.gmail.reply(2, "Paid.")
    added = [[{"message": {"id": odd}}, {}], [], [{"message": {"id": plain}}]]
    records = [{"id": str(n), "messagesAdded": messages} for n, messages in enumerate(added)]
    refuse = world.sandbox.faults.refuse
    refuse(200, path="/history$", body=json.dumps({"historyId": "9", "history": [*records, {"id": "3"}]}))
    headers = [{"name": "In-Reply-To", "value": "<a@b.example>"}, {"name": "From"}]
    refuse(200, path=odd, body=json.dumps({"id": odd, "internalDate": "when?", "payload": {"headers": headers}}))
    assert [each.id for each in list_all(mailbox, cursor)[0]] == [odd, plain]


def test_message_that_is_deleted_meanwhile_stops_nothing(world: World, mailbox: GmailMailbox, cursor: str) -> None:
    gone, kept = world.gmail.reply(1, "Oops"), world.gmail.reply(2, "Paid.")
    world.gmail.mailboxes[ACCOUNT].delete(gone)
    assert [each.id for each in list_all(mailbox, cursor)[0]] == [kept]
    assert mailbox.read_arrival(gone) is None


def test_unreadable_reply_of_gmail_is_tried_again_later(world: World, mailbox: GmailMailbox, cursor: str) -> None:
    world.sandbox.faults.add(Rule("malformed", service="gmail", path="/history", times=0))
    with pytest.raises(TransientError):
        list_all(mailbox, cursor)


def test_lost_access_is_no_forgotten_position(world: World, mailbox: GmailMailbox, cursor: str) -> None:
    world.gmail.revoke_all()
    with pytest.raises(AuthorizationExpired):
        list_all(mailbox, cursor)


def test_position_that_is_none_is_not_taken_for_a_forgotten_one(mailbox: GmailMailbox) -> None:
    with pytest.raises(PermanentError):
        list_all(mailbox, "not a number")
