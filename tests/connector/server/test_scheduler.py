"""The scheduler syncs what is due, on few threads, once at a time per company, and stops without interrupting."""

from __future__ import annotations

import threading
from datetime import timedelta

from connector.app_context import AppContext
from connector.connections.registry import pause
from connector.db.engine import writing
from connector.db.tables import Connection
from connector.server.scheduler import Scheduler
from tests.connector.installed import GiveConsent
from tests.connector.server.syncing_worker import syncing_worker


class FakeRuns:
    """Stands in for a sync: records which company ran, and can be delayed."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.let_go = threading.Event()
        self.begins = threading.Semaphore(0)
        self.fails = False

    def __call__(self, app: AppContext, connection_id: int) -> None:
        self.begun.append(connection_id)
        self.begins.release()
        assert self.let_go.wait(60)
        if self.fails:
            raise ValueError("a fault of ours")
        with writing(app.engine) as session:
            session.get_one(Connection, connection_id).next_run_at = app.now() + timedelta(hours=1)
        self.ended.append(connection_id)

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.begins.acquire(timeout=60)


def test_due_companies_run_and_paused_ones_do_not(app: AppContext, give_consent: GiveConsent) -> None:
    first, second = give_consent(app, "xero")
    pause(app, second.id or 0)
    runs = FakeRuns()
    runs.let_go.set()
    scheduler = Scheduler(app, runs)
    scheduler.poll()
    runs.wait_for(1)
    scheduler.stop()
    assert runs.ended == [first.id]


def test_the_company_of_a_killed_process_is_synced_at_once_and_that_of_a_living_one_is_not(
    app: AppContext, give_consent: GiveConsent
) -> None:
    give_consent(app, "quickbooks")
    runs = FakeRuns()
    runs.let_go.set()
    scheduler = Scheduler(app, runs)
    with syncing_worker(app, app.settings.duewell_home):
        scheduler.poll()
        assert runs.begun == []
    scheduler.poll()
    runs.wait_for(1)
    scheduler.stop()
    assert runs.ended == [1]


def test_background_jobs_run_beside_syncs_and_a_failing_one_stops_neither(
    app: AppContext, give_consent: GiveConsent
) -> None:
    give_consent(app, "quickbooks")
    runs, done = FakeRuns(), threading.Event()

    def broken(_installation: AppContext) -> None:
        raise ValueError("a fault of ours")

    scheduler = Scheduler(app, runs, jobs=(broken, lambda _installation: done.set()))
    scheduler.start()
    runs.wait_for(1)  # and runs for as long as the background job takes
    assert done.wait(60)
    assert scheduler.is_alive()
    runs.let_go.set()
    scheduler.stop()
    assert len(runs.ended) == 1


def test_a_company_that_is_being_synced_is_not_started_again(app: AppContext, give_consent: GiveConsent) -> None:
    give_consent(app, "quickbooks")
    runs = FakeRuns()
    scheduler = Scheduler(app, runs)
    scheduler.poll()
    runs.wait_for(1)
    scheduler.poll()
    runs.let_go.set()
    scheduler.stop()
    assert len(runs.begun) == 1


def test_no_more_companies_are_synced_at_once_than_there_are_threads(
    app: AppContext, give_consent: GiveConsent
) -> None:
    give_consent(app, "xero")
    give_consent(app, "quickbooks")
    runs = FakeRuns()
    scheduler = Scheduler(app, runs, threads=2)
    scheduler.poll()
    runs.wait_for(2)
    scheduler.poll()
    assert len(runs.begun) == 2
    runs.let_go.set()
    scheduler.stop()
    assert len(runs.ended) == 2


def test_a_failing_run_does_not_stop_the_others(app: AppContext, give_consent: GiveConsent) -> None:
    give_consent(app, "xero")
    runs = FakeRuns()
    runs.fails = True
    runs.let_go.set()
    scheduler = Scheduler(app, runs, threads=1)
    scheduler.poll()
    runs.wait_for(1)
    scheduler.stop()
    assert len(runs.begun) == 1
    app.stop.clear()
    again = Scheduler(app, runs, threads=2)
    again.poll()
    runs.wait_for(2)
    again.stop()


def test_stopping_waits_for_the_run_in_progress_and_starts_no_other(app: AppContext, give_consent: GiveConsent) -> None:
    give_consent(app, "xero")
    runs = FakeRuns()
    scheduler = Scheduler(app, runs, threads=1)
    scheduler.poll()
    runs.wait_for(1)
    stopper = threading.Thread(target=scheduler.stop)
    stopper.start()
    assert app.stop.wait(60)
    scheduler.poll()
    runs.let_go.set()
    stopper.join(60)
    assert not stopper.is_alive()
    assert runs.ended == runs.begun
    assert len(runs.begun) == 1


def test_the_scheduler_is_alive_from_its_first_pass_until_it_is_stopped(
    app: AppContext, give_consent: GiveConsent
) -> None:
    give_consent(app, "quickbooks")
    runs = FakeRuns()
    runs.let_go.set()
    scheduler = Scheduler(app, runs)
    assert not scheduler.is_alive()
    scheduler.start()
    runs.wait_for(1)
    scheduler.poll()
    assert scheduler.is_alive()
    scheduler.stop()
    assert not scheduler.is_alive()
