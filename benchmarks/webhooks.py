"""How long vendors' webhooks wait for their answer while four runs write, beside an empty POST to the same server.

``python -m benchmarks.webhooks`` fills an installation with 100,000 invoices, starts ``duewell serve`` on it, and lets
the hours of four more companies come at once, again and again, each reading all its books anew. Meanwhile it posts what
SendGrid, Xero and Intuit post, each event 46 times in any order, and looks at health, metrics and the log. It prints
medians and worst answers in milliseconds, and ends with exit 1 where a webhook waited longer than three seconds, which
is Intuit's patience, or an event left more than one effect. ``--first`` measures while the four are read and decided
about for the first time instead.
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

from benchmarks import posts
from benchmarks.full_year import Size, company, fill
from benchmarks.posts import Post
from connector.access.connections import run_soon
from connector.access.sign_in import make_link
from connector.access.tokens import seal_token
from connector.access.users import add_user
from connector.database import reading, writing
from connector.installation import Installation, open_installation
from connector.settings import load_settings
from connector.tables import Announcement, Connection, Grant, MailEvent, OutboxEntry, SyncRun, Task

WORST_MS = 3000
RUNS = 4  # as many as `duewell serve` has threads for
FLOOR = "empty POST"
_LOOKS = ("/healthz", "/readyz", "/metrics", "/log")
_FIRST_MAIL = 100  # of the filled outbox: those before it wait
_console = Console(stderr=True)
Taken = dict[str, list[float]]
_Taken = defaultdict[str, list[float]]


def main() -> int:
    """Fill, serve, post, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--invoices", type=int, default=100_000)
    parser.add_argument("--read", type=int, default=4_000, help="invoices that each of the four runs reads meanwhile")
    parser.add_argument("--first", action="store_true", help="measure their first hours, not later ones")
    parser.add_argument("--mails", type=int, default=900, help="mails that events tell of")
    parser.add_argument("--notifications", type=int, default=10, help="different ones, of each ledger and form")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with _console.status("rendering what the runs read"):
            vendor = stack.enter_context(_vendor(asked.read))
        port = _free_port()
        own = _settings(folder / "home", vendor, port)
        with _console.status(f"filling {asked.invoices:,} invoices"):
            here, link = _fill(own, asked.invoices)
        installation = stack.enter_context(_opened(own))
        stack.enter_context(_served(own, port))
        taken, under_way = _measure(installation, f"http://localhost:{port}", link, here, asked)
        effects = _effects(installation, posts.mail_events(asked.mails, _FIRST_MAIL, here), asked.notifications)
    return _judge(taken, under_way, effects)


@contextmanager
def _vendor(invoices: int) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.vendor_pages", "xero", str(invoices), "0.5"]
    with _ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as server:
        yield int(server.stdout.readline()) if server.stdout else 0


@contextmanager
def _ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    with process:  # it waits, whatever happened
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
        "XERO_WEBHOOK_KEY": posts.XERO.key,
        "QUICKBOOKS_WEBHOOK_TOKEN": posts.QUICKBOOKS.key,
        "SENDGRID_WEBHOOK_PUBLIC_KEY": posts.SENDGRID.public_key,
    }


@contextmanager
def _opened(own: dict[str, str]) -> Iterator[Installation]:
    installation = open_installation(load_settings(**{name.lower(): value for name, value in own.items()}))
    yield installation
    installation.close()


def _fill(own: dict[str, str], invoices: int) -> tuple[int, str]:
    """Fill the large books, and connect the companies that are to be read; returns the former's id and a link in."""
    with _opened(own) as installation, writing(installation.engine) as session:
        now = installation.now()
        here = company(session)
        fill(session, Size(invoices=invoices, runs=8760), here)
        later = {"last_run_at": now, "next_run_at": now + timedelta(minutes=59)}
        session.add(_company("quickbooks", "bench-quickbooks", now, **later))
        for name, value in later.items():
            setattr(session.get_one(Connection, here), name, value)
        for number in range(RUNS):
            grant = Grant(provider="xero", subject=str(number), created_at=now)
            session.add(grant)
            session.flush()
            seal_token(installation, grant, {"access_token": "bench", "expires_in": 3600, "refresh_token": "x"}, now)
            session.add(_company("xero", f"bench-{number}", now, grant_id=grant.id))
        owner = add_user(session, "owner@example.com", "owner", companies=None, by="a benchmark", at=now)
        return here, make_link(session, owner, now, enters=True)


def _company(provider: str, name: str, now: datetime, **more: Any) -> Connection:
    return Connection(
        provider=provider, short_name=name, external_id=name, name=name, mode="observe", created_at=now, **more
    )


@contextmanager
def _served(own: dict[str, str], port: int) -> Iterator[None]:
    command = [str(Path(sys.executable).with_name("duewell")), "serve", "--port", str(port)]
    unheard = subprocess.DEVNULL  # it warns of each empty POST
    with _ended(subprocess.Popen(command, env={**os.environ, **own}, stdout=unheard, stderr=unheard)) as server:
        while not _answers(port):
            assert server.poll() is None, "the server did not start"  # noqa: S101
            time.sleep(0.1)
        yield


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://localhost:{port}/healthz", timeout=5).ok
    except requests.ConnectionError:
        return False


def _measure(
    installation: Installation, base: str, link: str, here: int, asked: argparse.Namespace
) -> tuple[Taken, float]:
    """Post and look from three places at once; returns also how many runs were under way on average."""
    chance, taken = random.Random(1), _Taken(list)
    events = posts.mail_events(asked.mails, _FIRST_MAIL, here)
    of_mails = list(posts.of_mails(events, chance))
    of_ledgers = posts.of_ledgers("Books Ltd", "bench-quickbooks", asked.notifications, chance)
    done, under_way = threading.Event(), list[int]()
    _wait(installation, RUNS)
    if not asked.first:
        with _console.status("the first hours"):
            _wait(installation, 0)
    busy = threading.Thread(target=_keep_busy, args=(installation, under_way, done))
    posting = [
        threading.Thread(target=_post_all, args=(base, each, taken, every))
        for each, every in ((of_mails, 1), (of_ledgers, 10))
    ]
    looking = threading.Thread(target=_look, args=(base, link, taken, done.is_set))
    with _console.status(f"posting {len(of_mails) + len(of_ledgers):,} times while {RUNS} runs write"):
        for thread in (busy, looking, *posting):
            thread.start()
        for thread in posting:
            thread.join()
        done.set()
        looking.join()
        busy.join()
    return taken, sum(under_way) / len(under_way)


def _wait(installation: Installation, runs: int) -> None:
    while _running(installation) != runs:
        time.sleep(0.2)


def _keep_busy(installation: Installation, under_way: list[int], done: threading.Event) -> None:
    """Let the hours of the companies come again as soon as they are over; note how many are under way."""
    query = select(col(Connection.id)).where(col(Connection.grant_id).is_not(None))
    with reading(installation.engine) as session:
        companies = list(session.scalars(query))
    while not done.wait(1):
        under_way.append(_running(installation))
        if under_way[-1] == 0:
            for each in companies:
                run_soon(installation, each or 0)


def _running(installation: Installation) -> int:
    with reading(installation.engine) as session:
        return _count(session, SyncRun, col(SyncRun.outcome) == "")


def _post_all(base: str, many: list[Post], taken: Taken, floor_every: int) -> None:
    with requests.Session() as http:
        for number, post in enumerate(many):
            if number % floor_every == 0:
                _timed(401, taken[FLOOR], partial(http.post, f"{base}/webhooks/xero", data=b""))
            sent = partial(http.post, base + post.path, data=post.body, headers=post.headers)
            _timed(200, taken[post.name], sent)


def _look(base: str, link: str, taken: Taken, enough: Callable[[], bool]) -> None:
    with requests.Session() as http:
        assert http.get(f"{base}/welcome/{link}", timeout=120).ok  # noqa: S101 - nothing else would be measured
        while not enough():
            for path in _LOOKS:
                _timed(200, taken[path], partial(http.get, base + path))
            time.sleep(0.2)


def _timed(code: int, seconds: list[float], ask: Callable[..., requests.Response]) -> None:
    began = time.perf_counter()
    answer = ask(timeout=120)
    seconds.append(time.perf_counter() - began)
    assert answer.status_code == code, (answer.url, answer.status_code, answer.text[:200])  # noqa: S101


def _effects(installation: Installation, events: list[posts.Json], notifications: int) -> dict[str, tuple[int, int]]:
    """Count what the posts left, beside what there should be."""
    bounces = {each["email"] for each in events if each["event"] == "bounce"}
    named = {each["duewell_key"] for each in events if "duewell_key" in each}
    changes = 3 * notifications * posts.CHANGES
    with reading(installation.engine) as session:
        told = col(OutboxEntry.delivery) != ""
        return {
            "mail events": (_count(session, MailEvent), len(events)),
            "mails whose fate is known": (_count(session, OutboxEntry, told), len(named)),
            "tasks about bounces": (_count(session, Task, col(Task.code) == "undelivered"), len(bounces)),
            "changes of ledgers": (_count(session, Announcement), changes),
        }


def _count(session: Session, table: Any, *where: Any) -> int:
    return session.scalar(select(func.count()).select_from(table).where(*where)) or 0


def _judge(taken: Taken, under_way: float, effects: dict[str, tuple[int, int]]) -> int:
    floor = median(taken[FLOOR]) * 1000
    wide = max(map(len, taken))
    lines = [f"{'answer':<{wide}}  {'times':>6}  {'median':>9}  {'worst':>9}  of the floor"]
    for name, seconds in sorted(taken.items(), key=lambda each: (each[0] != FLOOR, each[0])):
        middle, worst = median(seconds) * 1000, max(seconds) * 1000
        lines.append(f"{name:<{wide}}  {len(seconds):>6}  {middle:6.1f} ms  {worst:6.0f} ms  {middle / floor:.1f}")
    lines.append(f"runs under way: {under_way:.1f} on average")
    lines += [f"{what}: {found:,} of {wanted:,}" for what, (found, wanted) in effects.items()]
    slowest = max(max(seconds) for name, seconds in taken.items() if name not in _LOOKS) * 1000
    lines.append(f"the slowest answer to a webhook: {slowest:.0f} ms   (wanted: at most {WORST_MS})")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if slowest <= WORST_MS and all(found == wanted for found, wanted in effects.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
