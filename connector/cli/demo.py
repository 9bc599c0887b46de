"""The whole thing on one machine with no account: make-believe vendors, two companies, eleven days live."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
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
from sandbox.server import Sandbox

DEMO_DAYS = 11  # long enough for a warning, its seven days, and the fee that follows
PROGRESS_SECONDS = 4.0
WORKDAY_HOUR_UTC = 15  # working time from Berlin to New York
SATURDAY = 5
# The make-believe companies agreed a late fee of one percent in their terms; everything else is the default timetable.
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
    tell: Callable[[str], None],
    print_line: Callable[[str], None],
    on_ready: Callable[[str], None],
) -> int:
    """Run the demo and return the exit status. ``tell`` gets progress, ``show`` the story, ``ready`` its address."""
    with ExitStack() as stack:
        today = last_weekday_afternoon(datetime.now(UTC))
        sandbox = Sandbox(now=today - timedelta(days=DEMO_DAYS))
        sandbox.xero.limits.minute = 0  # its clock stands while a run is under way: a minute would never end
        vendors = stack.enter_context(sandbox.serve())
        home = stack.enter_context(_temporary_home())
        app = stack.enter_context(open_demo_app(sandbox, vendors, home, port))
        tell(f"Xero, QuickBooks Online and SendGrid, make-believe, listen on {vendors}")
        tell(f"this demo's own database: {home / 'duewell.db'} (removed when it ends)")
        connections = connect_companies(app, tell)
        for connection in connections:
            tell(f"{connection.name}: first pull of all its books, in mode observe; then live")
            run_connection(app, connection.id or 0, on_progress=_throttle(tell, connection.name))
            set_mode(app, connection.id or 0, "live", by="the demo")
        results = simulate_days(app, sandbox, connections, today, tell)
        for result in results:
            print_line("")
            for line in result.report:
                print_line(line)
        _print_totals(app, sandbox, print_line)
        if once:
            tell("To look around in it yourself, in the browser: duewell demo (here: .venv/bin/duewell demo)")
        else:
            tell(f"Every mail, as its receiver sees it: {vendors}/emails")
            sandbox.clock.run()  # from here on time passes
            _serve_demo(app, port, on_ready)
        return 0 if all(result.outcome in {"ok", "deferred"} for result in results) else 1


def last_weekday_afternoon(now: datetime) -> datetime:
    """Find the latest weekday afternoon that is not in the future: offices are open where the customers are."""
    moment = now.replace(hour=WORKDAY_HOUR_UTC, minute=0, second=0, microsecond=0)
    while moment > now or moment.weekday() >= SATURDAY:
        moment -= timedelta(days=1)
    return moment


@contextmanager
def _temporary_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="duewell-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_demo_app(sandbox: Sandbox, sandbox_url: str, home: Path, port: int) -> Iterator[AppContext]:
    """Open an installation whose vendors are the make-believe ones, with the demo's policy."""
    own = {name.lower(): value for name, value in sandbox.settings(sandbox_url).items()}
    own |= {"duewell_home": str(home), "duewell_database_url": f"sqlite:///{home}/duewell.db"}
    own |= {"duewell_base_url": f"http://localhost:{port}", "duewell_secret_keys": ""}
    app = open_app(load_settings(**own), now=sandbox.clock.now)
    try:
        with writing(app.engine) as session:
            policy_store.set_policy(session, POLICY, by="the demo", at=app.now())
        yield app
    finally:
        app.close()


def connect_companies(app: AppContext, tell: Callable[[str], None]) -> list[Connection]:
    """Connect a company on each ledger, consenting as a person would."""
    made: list[Connection] = []
    for name in ("xero", "quickbooks"):
        request = begin_consent(app, name)
        reply = requests.get(f"{request.url}&sandbox_allow=1", allow_redirects=False, timeout=10)
        made += finish_consent(app, name, urljoin(request.url, reply.headers["Location"]))
        tell(f"connected {name}: " + ", ".join(each.name for each in made if each.provider == name))
    return made


def simulate_days(
    app: AppContext,
    sandbox: Sandbox,
    connections: list[Connection],
    today: datetime,
    tell: Callable[[str], None],
) -> list[RunResult]:
    """Let the days pass, an hour of each company on every one of them; return the last day's."""
    results: list[RunResult] = []
    while sandbox.clock.now() < today:
        sandbox.clock.advance(timedelta(days=1))
        results = [run_connection(app, each.id or 0, on_progress=_throttle(tell, each.name)) for each in connections]
        did = "; ".join(f"{result.name}: {_summarise_run(result)}" for result in results)
        tell(f"{sandbox.clock.now():%a %d %b}  {did}")
    return results


def _throttle(tell: Callable[[str], None], name: str) -> Callable[[str], None]:
    """Tell what a long run is at, a line every few seconds."""
    told_at = time.monotonic()

    def seldom(text: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > PROGRESS_SECONDS:
            told_at = time.monotonic()
            tell(f"            {name}: {text} …")

    return seldom


def _summarise_run(result: RunResult) -> str:
    words = {"emailed": "email", "charged": "late fee", "noted": "note", "tasks": "task", "unconfirmed": "unconfirmed"}
    counts = ((result.counts.get(name, 0), word) for name, word in words.items())
    done = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    return (", ".join(done) or "quiet") + ("" if result.outcome == "ok" else f" ({result.outcome}: {result.reason})")


def _print_totals(app: AppContext, sandbox: Sandbox, print_line: Callable[[str], None]) -> None:
    with reading(app.engine) as session:
        posted = [fee for fee in fees.find_fees(session) if fee.state == "posted"]
    print_line("")
    print_line(
        f"In {DEMO_DAYS} days: {len(sandbox.sendgrid.emails())} mails, and {len(posted)} late fees, each of them"
        " agreed in the terms and announced in a mail at least a week before. The newest:"
    )
    for fee in posted[:3]:
        print_line(f"  {fee.number}: {fee.amount} {fee.currency} for {fee.invoice} ({fee.customer})")


def _serve_demo(app: AppContext, port: int, on_ready: Callable[[str], None]) -> None:
    from connector.server.serve import serve

    with writing(app.engine) as session:
        at = app.now()
        you = add_user(session, "you@demo.example", "owner", name="You", by="the demo", at=at)
        link = create_link(session, you, at, signs_in_directly=True)
    threading.Timer(1.0, on_ready, [f"http://localhost:{port}/welcome/{link}"]).start()
    serve(app, "127.0.0.1", port)
