"""How long webhooks wait for a response while four syncs write, compared with an empty POST to the same server.

``python -m benchmarks.webhooks`` fills an installation with 100,000 invoices, starts ``duewell serve`` on it, and keeps
four more companies syncing, each reading its whole ledger again. Meanwhile it posts what SendGrid, Xero and Intuit
post, each event 46 times in any order, and requests health, metrics and the log. It prints medians and maxima in
milliseconds, and exits with 1 where a webhook waited longer than three seconds, which is Intuit's limit, or an event
had more than one effect. ``--first`` measures during the first syncs of the four companies instead.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import requests
from rich.console import Console
from sqlalchemy import func, select
from sqlmodel import Session, col

from benchmarks import webhook_payloads
from benchmarks.full_year import DataSize, add_company, fill_company
from benchmarks.webhook_payloads import WebhookRequest
from connector.app_context import AppContext, open_app
from connector.auth.sign_in import create_link
from connector.auth.users import add_user
from connector.connections.registry import run_soon
from connector.connections.tokens import store_token
from connector.db.engine import reading, writing
from connector.db.tables import Connection, EmailEvent, Grant, OutboxEntry, SyncRun, Task, WebhookEvent
from connector.settings import load_settings
from connector.vocabulary import ConnectionMode, TaskCode

MAX_MS = 3000
CONCURRENT_RUNS = 4  # as many as `duewell serve` has threads for
BASELINE = "empty POST"
_POLLED_PATHS = ("/healthz", "/readyz", "/metrics", "/log")
_FIRST_EMAIL = 100  # of the filled outbox: those before it are unsent
_console = Console(stderr=True)
Timings = dict[str, list[float]]
_Timings = defaultdict[str, list[float]]


def main() -> int:
    """Fill the database, serve, post, and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--invoices", type=int, default=100_000)
    parser.add_argument("--read", type=int, default=4_000, help="invoices that each of the four syncs reads")
    parser.add_argument("--first", action="store_true", help="measure the first syncs instead of later ones")
    parser.add_argument("--emails", type=int, default=900, help="emails with events")
    parser.add_argument(
        "--notifications", type=int, default=10, help="distinct notifications, of each ledger and format"
    )
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with _console.status("rendering what the syncs read"):
            vendor = stack.enter_context(_vendor_server(asked.read))
        port = _free_port()
        own = _settings(folder / "home", vendor, port)
        with _console.status(f"filling {asked.invoices:,} invoices"):
            here, link = _fill_database(own, asked.invoices)
        app = stack.enter_context(_open_filled_app(own))
        stack.enter_context(_running_server(own, port))
        taken, under_way = _measure(app, f"http://localhost:{port}", link, here, asked)
        effects = _count_effects(
            app, webhook_payloads.email_events(asked.emails, _FIRST_EMAIL, here), asked.notifications
        )
    return _report(taken, under_way, effects)


@contextmanager
def _vendor_server(invoices: int) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.vendor_pages", "xero", str(invoices), "0.5"]
    with _terminated(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as server:
        yield int(server.stdout.readline()) if server.stdout else 0


@contextmanager
def _terminated(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    with process:  # waits for it in any case
        try:
            yield process
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _settings(home: Path, vendor: int, port: int) -> dict[str, str]:
    home.mkdir(mode=0o700)
    return {
        "DUEWELL_HOME": str(home),
        "DUEWELL_DATABASE_URL": f"sqlite:///{home}/duewell.db",
        "DUEWELL_BASE_URL": f"http://localhost:{port}",
        "XERO_CLIENT_ID": "bench",
        "XERO_API_URL": f"http://127.0.0.1:{vendor}",
        "XERO_WEBHOOK_KEY": webhook_payloads.XERO.key,
        "QUICKBOOKS_WEBHOOK_TOKEN": webhook_payloads.QUICKBOOKS.key,
        "SENDGRID_WEBHOOK_PUBLIC_KEY": webhook_payloads.SENDGRID.public_key,
    }


@contextmanager
def _open_filled_app(own: dict[str, str]) -> Iterator[AppContext]:
    app = open_app(load_settings(**{name.lower(): value for name, value in own.items()}))
    yield app
    app.close()


def _fill_database(own: dict[str, str], invoices: int) -> tuple[int, str]:
    """Fill the large company and connect the companies to sync; return the large one's id and a sign-in link."""
    with _open_filled_app(own) as app, writing(app.engine) as session:
        now = app.now()
        here = add_company(session)
        fill_company(session, DataSize(invoices=invoices, runs=8760), here)
        later = {"last_run_at": now, "next_run_at": now + timedelta(minutes=59)}
        session.add(_company("quickbooks", "bench-quickbooks", now, **later))
        for name, value in later.items():
            setattr(session.get_one(Connection, here), name, value)
        for number in range(CONCURRENT_RUNS):
            grant = Grant(provider="xero", subject=str(number), created_at=now)
            session.add(grant)
            session.flush()
            store_token(app, grant, {"access_token": "bench", "expires_in": 3600, "refresh_token": "x"}, now)
            session.add(_company("xero", f"bench-{number}", now, grant_id=grant.id))
        owner = add_user(session, "owner@example.com", "owner", companies=None, by="a benchmark", at=now)
        return here, create_link(session, owner, now, signs_in_directly=True)


def _company(provider: str, name: str, now: datetime, **more: Any) -> Connection:
    return Connection(
        provider=provider,
        short_name=name,
        external_id=name,
        name=name,
        mode=ConnectionMode.OBSERVE,
        created_at=now,
        **more,
    )


@contextmanager
def _running_server(own: dict[str, str], port: int) -> Iterator[None]:
    command = [str(Path(sys.executable).with_name("duewell")), "serve", "--port", str(port)]
    unheard = subprocess.DEVNULL  # the server warns of each empty POST
    with _terminated(subprocess.Popen(command, env={**os.environ, **own}, stdout=unheard, stderr=unheard)) as server:
        while not _is_up(port):
            assert server.poll() is None, "the server did not start"  # noqa: S101
            time.sleep(0.1)
        yield


def _is_up(port: int) -> bool:
    try:
        return requests.get(f"http://localhost:{port}/healthz", timeout=5).ok
    except requests.ConnectionError:
        return False


def _measure(
    app: AppContext, base: str, link: str, company_id: int, options: argparse.Namespace
) -> tuple[Timings, float]:
    """Send all requests from three threads; also return the average number of runs in progress."""
    chance, taken = random.Random(1), _Timings(list)
    events = webhook_payloads.email_events(options.emails, _FIRST_EMAIL, company_id)
    email_posts = list(webhook_payloads.email_event_requests(events, chance))
    ledger_posts = webhook_payloads.ledger_requests("Books Ltd", "bench-quickbooks", options.notifications, chance)
    done, under_way = threading.Event(), list[int]()
    _wait_for_runs(app, CONCURRENT_RUNS)
    if not options.first:
        with _console.status("the first syncs"):
            _wait_for_runs(app, 0)
    busy = threading.Thread(target=_keep_busy, args=(app, under_way, done))
    posting = [
        threading.Thread(target=_post_all, args=(base, each, taken, every))
        for each, every in ((email_posts, 1), (ledger_posts, 10))
    ]
    looking = threading.Thread(target=_poll_pages, args=(base, link, taken, done.is_set))
    with _console.status(f"posting {len(email_posts) + len(ledger_posts):,} times while {CONCURRENT_RUNS} syncs write"):
        for thread in (busy, looking, *posting):
            thread.start()
        for thread in posting:
            thread.join()
        done.set()
        looking.join()
        busy.join()
    return taken, sum(under_way) / len(under_way)


def _wait_for_runs(app: AppContext, runs: int) -> None:
    while _count_running(app) != runs:
        time.sleep(0.2)


def _keep_busy(app: AppContext, run_counts: list[int], done: threading.Event) -> None:
    """Make each company due again as soon as its sync ends, and count the syncs in progress."""
    query = select(col(Connection.id)).where(col(Connection.grant_id).is_not(None))
    with reading(app.engine) as session:
        companies = list(session.scalars(query))
    while not done.wait(1):
        run_counts.append(_count_running(app))
        if run_counts[-1] == 0:
            for each in companies:
                run_soon(app, each or 0)


def _count_running(app: AppContext) -> int:
    with reading(app.engine) as session:
        return _count(session, SyncRun, col(SyncRun.outcome).is_(None))


def _post_all(base: str, requests_to_send: list[WebhookRequest], timings: Timings, baseline_every: int) -> None:
    with requests.Session() as http:
        for number, post in enumerate(requests_to_send):
            if number % baseline_every == 0:
                _time_request(401, timings[BASELINE], partial(http.post, f"{base}/webhooks/xero", data=b""))
            sent = partial(http.post, base + post.path, data=post.body, headers=post.headers)
            _time_request(200, timings[post.name], sent)


def _poll_pages(base: str, link: str, timings: Timings, is_done: Callable[[], bool]) -> None:
    with requests.Session() as http:
        assert http.get(f"{base}/welcome/{link}", timeout=120).ok  # noqa: S101 - nothing else would be measured
        while not is_done():
            for path in _POLLED_PATHS:
                _time_request(200, timings[path], partial(http.get, base + path))
            time.sleep(0.2)


def _time_request(code: int, seconds: list[float], send: Callable[..., requests.Response]) -> None:
    began = time.perf_counter()
    answer = send(timeout=120)
    seconds.append(time.perf_counter() - began)
    assert answer.status_code == code, (answer.url, answer.status_code, answer.text[:200])  # noqa: S101


def _count_effects(
    app: AppContext, events: list[webhook_payloads.Json], notifications: int
) -> dict[str, tuple[int, int]]:
    """Count the effects of the requests, beside the expected numbers."""
    bounces = {each["email"] for each in events if each["event"] == "bounce"}
    named = {each["duewell_key"] for each in events if "duewell_key" in each}
    changes = 3 * notifications * webhook_payloads.CHANGES
    with reading(app.engine) as session:
        has_status = col(OutboxEntry.delivery_status) != ""
        return {
            "email events": (_count(session, EmailEvent), len(events)),
            "emails with a delivery status": (_count(session, OutboxEntry, has_status), len(named)),
            "tasks for bounces": (_count(session, Task, col(Task.code) == TaskCode.UNDELIVERED), len(bounces)),
            "change notifications": (_count(session, WebhookEvent), changes),
        }


def _count(session: Session, table: Any, *where: Any) -> int:
    return session.scalar(select(func.count()).select_from(table).where(*where)) or 0


def _report(timings: Timings, average_running: float, effects: dict[str, tuple[int, int]]) -> int:
    floor = median(timings[BASELINE]) * 1000
    wide = max(map(len, timings))
    lines = [f"{'request':<{wide}}  {'times':>6}  {'median':>9}  {'max':>9}  of the baseline"]
    for name, seconds in sorted(timings.items(), key=lambda each: (each[0] != BASELINE, each[0])):
        middle, worst = median(seconds) * 1000, max(seconds) * 1000
        lines.append(f"{name:<{wide}}  {len(seconds):>6}  {middle:6.1f} ms  {worst:6.0f} ms  {middle / floor:.1f}")
    lines.append(f"syncs in progress: {average_running:.1f} on average")
    lines += [f"{what}: {found:,} of {wanted:,}" for what, (found, wanted) in effects.items()]
    slowest = max(max(seconds) for name, seconds in timings.items() if name not in _POLLED_PATHS) * 1000
    lines.append(f"slowest response to a webhook: {slowest:.0f} ms   (wanted: at most {MAX_MS})")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if slowest <= MAX_MS and all(found == wanted for found, wanted in effects.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
