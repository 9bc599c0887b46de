"""The demo: everything on one machine without an account, with simulated services, two companies and eleven days."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import requests

from connector import policy_store
from connector.app_context import AppContext, open_app
from connector.auth.sign_in import create_link
from connector.auth.users import add_user
from connector.connections.registry import begin_consent, finish_consent, set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection
from connector.run import RunResult, run_connection
from connector.services import fees
from connector.settings import load_settings
from connector.vocabulary import RunOutcome
from connector.vocabulary.labels import in_sentence, label
from sandbox.desks import open_desk
from sandbox.server import Sandbox
from sandbox.situations import SITUATIONS, Player

DEMO_DAYS = 11  # long enough for a warning, seven days, and the late fee that follows
PROGRESS_SECONDS = 4.0
WORKDAY_HOUR_UTC = 15  # within business hours from Berlin to New York
SATURDAY = 5
# The demo companies' terms allow a late fee of one per cent; everything else is the default policy.
POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2024-01-01
"""


def run_demo(
    *,
    port: int,
    once: bool,
    on_progress: Callable[[str], None],
    print_line: Callable[[str], None],
    on_ready: Callable[[str], None],
) -> int:
    """Run the demo and return the exit status.

    ``on_progress`` gets lines of progress, ``print_line`` the report, ``on_ready`` the address of the web app.
    """
    with ExitStack() as stack:
        today = last_weekday_afternoon(datetime.now(UTC))
        sandbox = Sandbox(now=today - timedelta(days=DEMO_DAYS))
        sandbox.xero.limits.minute = 0  # the clock stands still during a run: a minute would never end
        services_url = stack.enter_context(sandbox.serve())
        home = stack.enter_context(_temporary_home())
        app = stack.enter_context(open_demo_app(sandbox, services_url, home, port))
        on_progress(f"Simulated Xero, QuickBooks Online and SendGrid are listening on {services_url}")
        on_progress(f"The demo has its own database, {home / 'duewell.db'}, and deletes it when it ends.")
        connections = connect_companies(app, on_progress)
        players = [Player(open_desk(sandbox, each.provider)) for each in connections]
        for player in players:
            for name in SITUATIONS:
                player.start(name, sandbox.clock.now().date())
        on_progress(f"{len(SITUATIONS)} situations of real ledgers begin in each company (docs/situations.md)")
        for connection in connections:
            on_progress(f"{connection.name}: first sync in observe mode; then live mode")
            run_connection(app, connection.id or 0, on_progress=_throttle(on_progress, connection.name))
            set_mode(app, connection.id or 0, "live", by="the demo")
        results = simulate_days(app, sandbox, connections, today, on_progress, players)
        for result in results:
            print_line("")
            for line in result.report:
                print_line(line)
        _print_totals(app, sandbox, print_line)
        if once:
            on_progress("To explore it in your browser, run duewell demo (here: .venv/bin/duewell demo).")
        else:
            on_progress(f"All emails, as their recipients see them: {services_url}/emails")
            sandbox.clock.run()  # from now on it follows real time
            _serve_demo(app, port, on_ready)
        return 0 if all(result.outcome in {RunOutcome.OK, RunOutcome.DEFERRED} for result in results) else 1


def last_weekday_afternoon(now: datetime) -> datetime:
    """Return the latest weekday afternoon that is not in the future, when customers' offices are open."""
    at = now.replace(hour=WORKDAY_HOUR_UTC, minute=0, second=0, microsecond=0)
    while at > now or at.weekday() >= SATURDAY:
        at -= timedelta(days=1)
    return at


@contextmanager
def _temporary_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="duewell-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_demo_app(sandbox: Sandbox, sandbox_url: str, home: Path, port: int) -> Iterator[AppContext]:
    """Open an app that is connected to the simulated services and has the demo's policy."""
    values = {name.lower(): value for name, value in sandbox.settings(sandbox_url).items()}
    values |= {"duewell_home": str(home), "duewell_database_url": f"sqlite:///{home}/duewell.db"}
    values |= {"duewell_base_url": f"http://localhost:{port}", "duewell_secret_keys": ""}
    app = open_app(load_settings(**values), now=sandbox.clock.now, sleep=sandbox.clock.sleep)
    try:
        with writing(app.engine) as session:
            policy_store.set_policy(session, POLICY, by="the demo", at=app.now())
        yield app
    finally:
        app.close()


def connect_companies(app: AppContext, on_progress: Callable[[str], None]) -> list[Connection]:
    """Connect a company on each ledger, consenting as a user would."""
    connected: list[Connection] = []
    for name in ("xero", "quickbooks"):
        request = begin_consent(app, name)
        reply = requests.get(f"{request.url}&sandbox_allow=1", allow_redirects=False, timeout=10)
        connected += finish_consent(app, name, urljoin(request.url, reply.headers["Location"]))
        on_progress(f"Connected {name}: " + ", ".join(each.name for each in connected if each.provider == name))
    return connected


def simulate_days(
    app: AppContext,
    sandbox: Sandbox,
    connections: list[Connection],
    today: datetime,
    on_progress: Callable[[str], None],
    players: Sequence[Player] = (),
) -> list[RunResult]:
    """Sync each company once a day until ``today``; return the results of the last day."""
    results: list[RunResult] = []
    while sandbox.clock.now() < today:
        sandbox.clock.advance(timedelta(days=1))
        for player in players:
            player.go_on(sandbox.clock.now().date())
        results = [
            run_connection(app, each.id or 0, on_progress=_throttle(on_progress, each.name)) for each in connections
        ]
        summary = "; ".join(f"{result.name}: {_summarise_run(result)}" for result in results)
        on_progress(f"{sandbox.clock.now():%a %d %b}  {summary}")
    return results


def _throttle(on_progress: Callable[[str], None], name: str) -> Callable[[str], None]:
    """Pass on a line of a long run's progress every few seconds."""
    shown_at = time.monotonic()

    def throttled(text: str) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at > PROGRESS_SECONDS:
            shown_at = time.monotonic()
            on_progress(f"            {name}: {text} …")

    return throttled


def _summarise_run(result: RunResult) -> str:
    nouns = {"emailed": "email", "charged": "late fee", "noted": "note", "tasks": "task"}
    counts = ((result.counts.get(name, 0), noun) for name, noun in nouns.items())
    done = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    if unconfirmed := result.counts.get("unconfirmed"):
        done.append(f"{unconfirmed} unconfirmed")
    outcome = "" if result.outcome is RunOutcome.OK else f" ({in_sentence(label(result.outcome))}: {result.reason})"
    return (", ".join(done) or "nothing to do") + outcome


def _print_totals(app: AppContext, sandbox: Sandbox, print_line: Callable[[str], None]) -> None:
    with reading(app.engine) as session:
        posted = [fee for fee in fees.find_fees(session) if fee.state == "posted"]
    print_line("")
    print_line(
        f"In {DEMO_DAYS} days: {len(sandbox.sendgrid.emails())} emails and {len(posted)} late fees, each of them"
        " agreed in the terms and announced by email at least a week before. The latest:"
    )
    for fee in posted[:3]:
        print_line(f"  {fee.number}: {fee.amount} {fee.currency} for {fee.invoice} ({fee.customer})")


def _serve_demo(app: AppContext, port: int, on_ready: Callable[[str], None]) -> None:
    from connector.server.serve import serve

    with writing(app.engine) as session:
        at = app.now()
        user = add_user(session, "you@demo.example", "owner", name="You", by="the demo", at=at)
        link = create_link(session, user, at, signs_in_directly=True)
    threading.Timer(1.0, on_ready, [f"http://localhost:{port}/welcome/{link}"]).start()
    serve(app, "127.0.0.1", port)
