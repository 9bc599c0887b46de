"""The demo: everything on one machine without an account, with simulated services, two companies and eleven days."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urljoin

import requests
from sqlalchemy import update

from connector import policy_store
from connector.app_context import AppContext, Notice, open_app
from connector.auth.sign_in import create_link
from connector.auth.users import add_user
from connector.cli.demo_processes import SyncProcesses, open_processes
from connector.connections.registry import begin_consent, finish_consent, list_connections, set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection, WebSession
from connector.guides import guide
from connector.run import RunResult, run_connection
from connector.services import fees
from connector.services.lists.engine import ListQuery
from connector.services.review_queue import find_position
from connector.settings import load_settings
from connector.vocabulary import ConnectionMode, RunOutcome
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_date
from sandbox.desks import open_desk
from sandbox.server import Sandbox
from sandbox.situations import SITUATIONS, Player

DEMO_DAYS = 11  # long enough for a warning, seven days, and the late fee that follows
APPROVE_DAYS = 3  # the last ones, on which one company's emails await approval: a weekend is shorter
WORKDAY_HOUR_UTC = 15  # within business hours from Berlin to New York
SATURDAY = 5
LEDGERS = ("xero", "quickbooks")
# The demo companies' terms allow a late fee of one per cent; everything else is the default policy.
POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2024-01-01
"""
_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private folder in it; what the demo writes is thrown away
_MEMORY_MIN_BYTES = 500_000_000
_SERVED_WITHIN_S = 10
SyncDay = Callable[[Sequence[int], datetime], list[RunResult]]


@dataclass
class Demo:
    """The demo under way: the simulated services and duewell on them, at the services' time."""

    sandbox: Sandbox
    services_url: str
    home: Path
    port: int
    days: int
    today: datetime
    on_progress: Callable[[str], None]
    notice: Notice
    failure: BaseException | None = None
    is_served: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)


def run_demo(
    *,
    port: int,
    once: bool,
    days: int = DEMO_DAYS,
    on_progress: Callable[[str], None],
    print_line: Callable[[str], None],
    on_ready: Callable[[str], None],
) -> int:
    """Run the demo and return the exit status.

    ``on_progress`` gets lines of progress, ``print_line`` the report, ``on_ready`` the address of the web app, which is
    there before the days are played.
    """
    with ExitStack() as stack:
        today = last_weekday_afternoon(datetime.now(UTC))
        sandbox = Sandbox(now=today - timedelta(days=days))
        sandbox.xero.limits.minute = 0  # the clock stands still during a run: a minute would never end
        services_url = stack.enter_context(sandbox.serve())
        home = stack.enter_context(_temporary_home())
        demo = Demo(sandbox, services_url, home, port, days, today, on_progress, Notice("The demo begins."))
        values = demo_settings(sandbox, services_url, home, port)
        processes = stack.enter_context(open_processes(values, len(LEDGERS), sandbox.clock.now()))
        with open_demo_app(sandbox, services_url, home, port) as app:
            connections = connect_companies(app, on_progress)
        app = stack.enter_context(
            closing(open_app(load_settings(**values), now=sandbox.clock.now, sleep=sandbox.clock.sleep))
        )
        app = replace(app, notice=demo.notice)
        on_progress(f"Simulated Xero, QuickBooks Online and SendGrid are listening on {services_url}")
        on_progress(f"The demo has its own database, {home / 'duewell.db'}, and deletes it when it ends.")
        if once:
            results = play(demo, app, connections, processes)
            _print_results(results, app, demo, print_line)
            on_progress("To explore it in your browser, run duewell demo.")
            return 0 if all(each.outcome in {RunOutcome.OK, RunOutcome.DEFERRED} for each in results) else 1
        player = threading.Thread(target=_play_beside, args=(demo, app, connections, processes), daemon=True)
        player.start()
        _serve_demo(app, port, on_ready, demo)
        return 0 if demo.failure is None else 1


def play(demo: Demo, app: AppContext, connections: Sequence[Connection], processes: SyncProcesses) -> list[RunResult]:
    """Play the first sync and the days; return the results of the last day."""
    sandbox, ids = demo.sandbox, [each.id or 0 for each in connections]
    players = [Player(open_desk(sandbox, each.provider)) for each in connections]
    for player in players:
        for name in SITUATIONS:
            player.start(name, sandbox.clock.now().date())
    demo.on_progress(f"{len(SITUATIONS)} situations of real ledgers begin in each company ({guide('situations.md')})")
    demo.on_progress("First syncs in observe mode; then live mode")
    demo.notice.text = "First sync: each company's ledger is read."
    results = processes.go_live(ids, sandbox.clock.now())

    def sync(ids: Sequence[int], at: datetime) -> list[RunResult]:
        day = demo.days - (demo.today - at).days
        if day == max(demo.days - APPROVE_DAYS + 1, 1):
            set_mode(app, ids[-1], ConnectionMode.APPROVE, by="the demo")
        demo.notice.text = f"Day {day} of {demo.days}: {format_date(at.date())} is being played. Reload to see more."
        return processes.sync(ids, at)

    results = simulate_days(app, sandbox, connections, demo.today, demo.on_progress, players, sync) or results
    demo.notice.text = f"{demo.days} days were played; from now on it is {format_date(demo.today.date())}."
    demo.notice.links = (*links_to_approve(app, ids), *_links(demo, app))
    return results


def _play_beside(demo: Demo, app: AppContext, connections: Sequence[Connection], processes: SyncProcesses) -> None:
    """Play the days while the web app is served; it comes first, for whoever waits for it."""
    demo.is_served.wait(_SERVED_WITHIN_S)
    try:
        play(demo, app, connections, processes)
    except Exception as problem:  # noqa: BLE001 - told to whoever looks at the demo
        demo.failure = problem
        demo.notice.text = f"The demo could not go on: {problem}"
        demo.on_progress(demo.notice.text)
        return
    for text, address in demo.notice.links:
        demo.on_progress(f"{text}: {urljoin(f'http://localhost:{demo.port}', address)}")
    demo.sandbox.clock.run()  # from now on it follows real time
    demo.is_over.set()


def links_to_approve(app: AppContext, ids: Sequence[int]) -> tuple[tuple[str, str], ...]:
    """Return a link to the emails that await approval, for a newcomer to read and decide."""
    query = ListQuery(ids, {})
    with reading(app.engine) as session:
        awaits = find_position(session, query).entry_id is not None
    return (("Emails to approve", "/outbox/review"),) if awaits else ()


def _links(demo: Demo, app: AppContext) -> tuple[tuple[str, str], ...]:
    """Return what else there is to see: the emails, and the portal of the customer who owes the most."""
    from connector.arrangements.customer_settings import find_customers
    from connector.emails.portal_links import create_link as create_portal_link

    with reading(app.engine) as session:
        customers = [each for each in find_customers(session, None, "") if each.emails and each.open_balance]
        chosen = max(customers, key=lambda each: max(map(Decimal, each.open_balance.values())), default=None)
        found = chosen and next(each for each in list_connections(session) if each.short_name == chosen.connection)
    emails = ("All emails as received", f"{demo.services_url}/emails")
    if chosen is None or found is None:
        return (emails,)
    portal = create_portal_link(app, int(found.id), chosen.id, by="the demo").link
    return (emails, (f"Customer portal of {chosen.name}", portal))


def last_weekday_afternoon(now: datetime) -> datetime:
    """Return the latest weekday afternoon that is not in the future, when customers' offices are open."""
    at = now.replace(hour=WORKDAY_HOUR_UTC, minute=0, second=0, microsecond=0)
    while at > now or at.weekday() >= SATURDAY:
        at -= timedelta(days=1)
    return at


@contextmanager
def _temporary_home() -> Iterator[Path]:
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _MEMORY_MIN_BYTES
    folder = Path(tempfile.mkdtemp(prefix="duewell-demo-", dir=_MEMORY if roomy else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def demo_settings(sandbox: Sandbox, services_url: str, home: Path, port: int) -> dict[str, str]:
    """Return the settings of an installation on the simulated services."""
    values = {name.lower(): value for name, value in sandbox.settings(services_url).items()}
    values |= {"duewell_home": str(home), "duewell_database_url": f"sqlite:///{home}/duewell.db"}
    return values | {"duewell_base_url": f"http://localhost:{port}", "duewell_secret_keys": ""}


@contextmanager
def open_demo_app(sandbox: Sandbox, sandbox_url: str, home: Path, port: int) -> Iterator[AppContext]:
    """Open an app that is connected to the simulated services and has the demo's policy."""
    settings = load_settings(**demo_settings(sandbox, sandbox_url, home, port))
    app = open_app(settings, now=sandbox.clock.now, sleep=sandbox.clock.sleep)
    try:
        with writing(app.engine) as session:
            policy_store.set_policy(session, POLICY, by="the demo", at=app.now())
        yield app
    finally:
        app.close()


def connect_companies(app: AppContext, on_progress: Callable[[str], None]) -> list[Connection]:
    """Connect a company on each ledger, consenting as a user would."""
    connected: list[Connection] = []
    for name in LEDGERS:
        request = begin_consent(app, name)
        reply = requests.get(f"{request.url}&sandbox_allow=1", allow_redirects=False, timeout=10)
        connected += finish_consent(app, name, urljoin(request.url, reply.headers["Location"]))
        on_progress(f"Connected {name}: " + ", ".join(each.name for each in connected if each.provider == name))
    return connected


def simulate_days(
    app: AppContext,
    sandbox: Sandbox,
    connections: Sequence[Connection],
    today: datetime,
    on_progress: Callable[[str], None],
    players: Sequence[Player] = (),
    sync: SyncDay | None = None,
) -> list[RunResult]:
    """Sync each company once a day until ``today``; return the results of the last day."""
    ids = [each.id or 0 for each in connections]
    results: list[RunResult] = []
    while sandbox.clock.now() < today:
        with keep_sessions(app):
            sandbox.clock.advance(timedelta(days=1))
        for player in players:
            player.go_on(sandbox.clock.now().date())
        at = sandbox.clock.now()
        results = sync(ids, at) if sync else [run_connection(app, each) for each in ids]
        summary = "; ".join(f"{result.name}: {_summarise_run(result)}" for result in results)
        on_progress(f"{at:%a %d %b}  {summary}")
    return results


@contextmanager
def keep_sessions(app: AppContext) -> Iterator[None]:
    """Keep those signed in who look on while the clock leaps a day: their sessions would end on the way."""
    tomorrow = app.now() + timedelta(days=1)
    _carry_sessions(app, tomorrow)
    yield
    _carry_sessions(app, tomorrow)  # also of who signed in meanwhile


def _carry_sessions(app: AppContext, at: datetime) -> None:
    with writing(app.engine) as session:
        session.execute(update(WebSession).values(started_at=at, seen_at=at))


def _summarise_run(result: RunResult) -> str:
    nouns = {"emailed": "email", "charged": "late fee", "noted": "note", "tasks": "task"}
    counts = ((result.counts.get(name, 0), noun) for name, noun in nouns.items())
    done = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    if unconfirmed := result.counts.get("unconfirmed"):
        done.append(f"{unconfirmed} unconfirmed")
    outcome = "" if result.outcome is RunOutcome.OK else f" ({in_sentence(label(result.outcome))}: {result.reason})"
    return (", ".join(done) or "nothing to do") + outcome


def _print_results(
    results: Sequence[RunResult], app: AppContext, demo: Demo, print_line: Callable[[str], None]
) -> None:
    for result in results:
        print_line("")
        for line in result.report:
            print_line(line)
    with reading(app.engine) as session:
        posted = [fee for fee in fees.find_fees(session) if fee.state == "posted"]
    print_line("")
    print_line(
        f"In {demo.days} days: {len(demo.sandbox.sendgrid.emails())} emails and {len(posted)} late fees, each of them"
        " agreed in the terms and announced by email at least a week before." + (" The latest:" if posted else "")
    )
    for fee in posted[:3]:
        print_line(f"  {fee.number}: {fee.amount} {fee.currency} for {fee.invoice} ({fee.customer})")


def _serve_demo(app: AppContext, port: int, on_ready: Callable[[str], None], demo: Demo) -> None:
    from connector.server.serve import serve

    def run_when_over(app: AppContext, connection_id: int) -> object:
        return run_connection(app, connection_id) if demo.is_over.is_set() else None

    with writing(app.engine) as session:
        user = add_user(session, "you@demo.example", "owner", name="You", by="the demo", at=app.now())
        link = create_link(session, user, demo.today, signs_in_directly=True)  # valid on all of the days

    def ready() -> None:
        on_ready(f"http://localhost:{port}/welcome/{link}")
        demo.is_served.set()

    opener = threading.Timer(0.5, ready)
    opener.daemon = True
    opener.start()
    serve(app, "127.0.0.1", port, run=run_when_over)
