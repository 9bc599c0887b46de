"""The progress of a sync on its page: events while it runs, limited per person, and a link without scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from connector.db.engine import reading, writing
from connector.db.tables import SyncRun
from connector.runtime.progress_store import ProgressStore
from connector.vocabulary import RunOutcome
from connector.web import live

Site = Any


@pytest.fixture
def run(site: Site, monkeypatch: pytest.MonkeyPatch) -> int:
    """A sync under way that has read 1,200 of 5,000 records."""
    monkeypatch.setattr(live, "POLL_S", 0.02)
    company = site.add_company("North Ltd")
    site.add_rows(
        SyncRun(
            connection_id=company,
            started_at=site.clock.at,
            progress="reading changes",
            records_read=1200,
            records_expected=5000,
        )
    )
    return 1


def events(reply: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in reply.iter_lines(decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def change(site: Site, **values: Any) -> None:
    with writing(site.app.engine) as session:
        row = session.get_one(SyncRun, 1)
        for name, value in values.items():
            setattr(row, name, value)


def test_events_show_step_count_and_rest_and_end_with_the_sync(site: Site, run: int) -> None:
    browser = site.sign_in("viewer")
    with browser.get(f"/runs/{run}/events", stream=True) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        found = events(reply)
        name, state = next(found)
        assert (name, state["records"], state["expected"]) == ("progress", 1200, 5000)
        assert state["text"] == "Reading changes: 1,200 of 5,000 records, 3,800 remaining"
        change(site, progress="deciding about each customer", records_read=0, records_expected=None)
        assert next(found)[1]["text"] == "Deciding about each customer …"
        change(site, outcome=RunOutcome.OK, progress="")
        name, state = next(found)
        assert (name, state["is_ended"]) == ("end", True)
        assert list(found) == []  # the server has closed it


def test_a_person_has_a_few_streams_and_others_still_get_theirs(site: Site, run: int) -> None:
    browser, other = site.sign_in("viewer"), site.sign_in("owner")
    with ExitStack() as stack:
        opened = []  # kept: a generator that is collected closes its stream
        for _stream in range(live.STREAMS_PER_USER_MAX):
            opened.append(events(stack.enter_context(browser.get(f"/runs/{run}/events", stream=True))))
            assert next(opened[-1])[0] == "progress"
        assert next(events(browser.get(f"/runs/{run}/events", stream=True)))[0] == "full"
        assert browser.get("/").status_code == 200
        assert next(events(stack.enter_context(other.get(f"/runs/{run}/events", stream=True))))[0] == "progress"
        change(site, outcome=RunOutcome.OK)


def test_streams_that_are_asked_for_at_once_are_counted_too(site: Site, run: int) -> None:
    browser, names = site.sign_in("viewer"), list[str]()
    together = threading.Barrier(12)

    def ask() -> None:
        together.wait()
        with browser.get(f"/runs/{run}/events", stream=True) as reply:
            for name, _state in events(reply):
                names.append(name)
                if len(names) == together.parties:  # each has had its first event
                    change(site, outcome=RunOutcome.OK)

    askers = [threading.Thread(target=ask) for _ in range(together.parties)]
    for each in askers:
        each.start()
    for each in askers:
        each.join(20)
    assert names.count("progress") == live.STREAMS_PER_USER_MAX
    assert names.count("full") == together.parties - live.STREAMS_PER_USER_MAX


def test_streams_end_when_their_reader_is_signed_out(site: Site, run: int) -> None:
    browser = site.sign_in("viewer")
    with browser.get(f"/runs/{run}/events", stream=True) as reply:
        found = events(reply)
        next(found)
        site.clock.advance(days=8)
        assert list(found) == []


def test_nobody_sees_the_events_of_another_company_or_without_signing_in(site: Site, run: int) -> None:
    south = site.add_company("South Ltd")
    assert site.sign_in("viewer", south).get(f"/runs/{run}/events").status_code == 404
    assert site.browser().get(f"/runs/{run}/events").status_code == 404
    assert site.sign_in("owner").get("/runs/77/events").status_code == 404


def test_the_page_has_the_text_a_script_of_ours_and_a_link_without_it(site: Site, run: int) -> None:
    browser = site.sign_in("viewer")
    page = browser.get(f"/runs/{run}")
    assert "Reading changes: 1,200 of 5,000 records, 3,800 remaining" in page.text
    assert "Refresh automatically" in page.text
    assert f'data-live="/runs/{run}/events"' in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert browser.get("/static/live.js").status_code == 200
    change(site, outcome=RunOutcome.OK)
    assert "data-live" not in browser.get(f"/runs/{run}").text


def test_progress_is_stored_at_most_once_a_second_and_names_no_customer(site: Site, run: int) -> None:
    seconds = [0.0]
    store = ProgressStore(site.app, 1, run, clock=lambda: seconds[0])

    def stored() -> tuple[str, int]:
        with reading(site.app.engine) as session:
            row = session.get_one(SyncRun, run)
            return row.progress, row.records_read

    store.step("reading the company's details")
    assert stored() == ("reading changes", 1200)  # a sync that ends within a second stores nothing
    seconds[0] = 1.5
    store.count(10, None)
    store.count(20, None)
    assert stored() == ("reading the company's details", 10)
    store.step("emailing Miller & Sons")
    assert stored() == ("sending emails", 0)
    store.step("no PDF of INV-1: it is missing")
    assert stored() == ("sending emails", 0)
