"""The demo while its days are played, and what is there for a newcomer to do afterwards."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import select

from connector.auth.sessions import Browser, begin, find_current_user
from connector.auth.users import add_user
from connector.cli.demo import keep_sessions, links_to_approve
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import OutboxEntry
from connector.outbox.approvals import reject
from tests.connector.scenario import Scenario


def test_who_looks_on_stays_signed_in_while_the_clock_leaps_day_after_day(scenario: Scenario) -> None:
    app = scenario.app
    with writing(app.engine) as session:
        user = add_user(session, "you@demo.example", "owner", by="the demo", at=app.now())
        token = begin(session, user, app.now(), Browser("127.0.0.1", "Firefox"), by="a link")
    for _day in range(11):
        with keep_sessions(app):
            assert find_current_user(app, token) is not None  # on the page between two days
            scenario.sandbox.clock.advance(timedelta(days=1))
            assert find_current_user(app, token) is not None  # at once, and not only when the day is over
    scenario.sandbox.clock.advance(timedelta(days=1))
    assert find_current_user(app, token) is None  # as in any other installation


def test_a_newcomer_finds_something_to_approve_where_something_waits(late_customer: Scenario) -> None:
    app, connections = late_customer.app, [late_customer.connection]
    assert links_to_approve(app, connections) == ()
    set_mode(app, late_customer.connection, "approve")
    late_customer.run()
    assert links_to_approve(app, connections) == (("Emails to approve", "/outbox/review"),)
    with reading(app.engine) as session:
        waiting = [each.id or 0 for each in session.scalars(select(OutboxEntry)) if each.state == "awaiting_approval"]
    with writing(app.engine) as session:
        reject(session, waiting, by="Ann", at=app.now(), reason="no")
    assert links_to_approve(app, connections) == ()
