"""The same hour on PostgreSQL, where several workers share one database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlmodel import SQLModel

from connector import lease, sync_log
from connector.database import open_engine, reading, upgrade, writing
from connector.people import agreements
from connector.people.customers import find_customer
from connector.people.invoices import find_invoice
from connector.portal import answers, links
from connector.portal.answers import Answer
from connector.privacy import retention
from connector.privacy.erase import erase
from connector.privacy.export import document


@pytest.fixture
def shared(postgresql_url: URL, town_at: Any, noon: Any) -> Iterator[Any]:
    """A town whose duewell keeps its mirror on PostgreSQL."""
    name = f"duewell_{uuid.uuid4().hex}"
    administration = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgresql_url.set(database=name).render_as_string(hide_password=False)
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    with town_at(noon, "xero", url) as town:
        yield town
    with administration.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    administration.dispose()


def test_the_hour_runs_on_postgresql_as_it_does_on_sqlite(shared: Any) -> None:
    shared.books.customer("Ashdown Ltd")
    number = shared.books.invoice("Ashdown Ltd", "1200.00", due_on=shared.today - timedelta(days=6))
    shared.books.customer("Birch & Co")
    disputed = shared.books.invoice("Birch & Co", "300.00", due_on=shared.today - timedelta(days=6))
    shared.live()

    def dispute(_request: Any) -> None:  # after the look, when the mail system is asked about his address
        with writing(shared.installation.engine) as session:
            word = agreements.Word("Ann", shared.installation.now())
            agreements.dispute(session, find_invoice(session, disputed), word, why="wrong goods")

    shared.sandbox.faults.call(dispute, times=1, vendor="sendgrid", path="suppression/.*birch")
    for _hour in range(2):
        assert shared.run().outcome == "ok"
        shared.sandbox.clock.advance(timedelta(hours=1))
    assert [to for to, _subject in shared.mails()] == [("accounts@ashdown.example",)]
    assert len(shared.books.notes(number)) == 1
    with reading(shared.installation.engine) as session:
        assert sync_log.verify(session).ok


def test_a_customer_answers_is_exported_and_erased_on_postgresql_too(shared: Any) -> None:
    shared.books.customer("Ashdown Ltd")
    number = shared.books.invoice("Ashdown Ltd", "1200.00", due_on=shared.today - timedelta(days=6))
    shared.live().run()
    with reading(shared.installation.engine) as session:
        customer = find_customer(session, "Ashdown Ltd")
        invoice = find_invoice(session, number)
    here = (shared.connection, customer.external_id)
    said = Answer("paid", (invoice.external_id,), on=shared.today)
    assert answers.take(shared.installation, links.Opened(*here, over=False), said) == "done_paid"
    told = document(shared.installation, *here, by="ann")
    assert [each["total"] for each in told["invoice"]] == ["1200.00"]
    assert shared.run().outcome == "ok"
    erase(shared.installation, *here, by="ann")
    retention.keep(shared.installation, dict.fromkeys(retention.KINDS, 1), by="ann")
    shared.pass_days(3)
    retention.work(shared.installation)
    assert shared.run().outcome == "ok"
    with reading(shared.installation.engine) as session:
        assert sync_log.verify(session).ok
        held = [str(row) for table in SQLModel.metadata.sorted_tables for row in session.execute(table.select())]
    assert [row for row in held if "Ashdown" in row or "ashdown" in row] == []


def test_a_second_worker_does_not_run_beside_the_first(shared: Any) -> None:
    shared.connect()
    with lease.hold(shared.installation, shared.connection):
        assert shared.run().outcome == "busy"
    assert shared.run().outcome == "ok"
