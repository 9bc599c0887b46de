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

from connector import policies_store
from connector.access.connections import begin_consent, finish_consent, set_mode
from connector.access.sign_in import make_link
from connector.access.users import add_user
from connector.database import reading, writing
from connector.installation import Installation, open_installation
from connector.people import fees
from connector.run import RunResult, run_connection
from connector.settings import load_settings
from connector.tables import Connection
from providers.sandbox.server import Sandbox

LIVE_FOR_DAYS = 11  # long enough for a warning, its seven days, and the fee that follows
TOLD_EVERY_SECONDS = 4.0
HOUR_UTC = 15  # working time from Berlin to New York
SATURDAY = 5
# The make-believe companies agreed a late fee of one percent in their terms; everything else is the default timetable.
POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2024-01-01
"""


def run_demo(
    *, port: int, once: bool, tell: Callable[[str], None], show: Callable[[str], None], ready: Callable[[str], None]
) -> int:
    """Run the demo and return the exit status. ``tell`` gets progress, ``show`` the story, ``ready`` its address."""
    with ExitStack() as stack:
        today = last_working_moment(datetime.now(UTC))
        sandbox = Sandbox(now=today - timedelta(days=LIVE_FOR_DAYS))
        sandbox.xero.limits.minute = 0  # its clock stands while a run is under way: a minute would never end
        vendors = stack.enter_context(sandbox.serve())
        home = stack.enter_context(_home())
        installation = stack.enter_context(demo_installation(sandbox, vendors, home, port))
        tell(f"Xero, QuickBooks Online and SendGrid, make-believe, listen on {vendors}")
        tell(f"this demo's own database: {home / 'duewell.db'} (removed when it ends)")
        connections = connect_both(installation, tell)
        for connection in connections:
            tell(f"{connection.name}: first pull of all its books, in mode observe; then live")
            run_connection(installation, connection.id or 0, tell=_now_and_then(tell, connection.name))
            set_mode(installation, connection.id or 0, "live", by="the demo")
        results = live_until(installation, sandbox, connections, today, tell)
        for result in results:
            show("")
            for line in result.story:
                show(line)
        _show_sums(installation, sandbox, show)
        if once:
            tell("To look around in it yourself, in the browser: duewell demo (here: .venv/bin/duewell demo)")
        else:
            tell(f"Every mail, as its receiver sees it: {vendors}/mails")
            sandbox.clock.run()  # from here on time passes
            _serve(installation, port, ready)
        return 0 if all(result.outcome in {"ok", "later"} for result in results) else 1


def last_working_moment(now: datetime) -> datetime:
    """Find the latest weekday afternoon that is not in the future: offices are open where the customers are."""
    moment = now.replace(hour=HOUR_UTC, minute=0, second=0, microsecond=0)
    while moment > now or moment.weekday() >= SATURDAY:
        moment -= timedelta(days=1)
    return moment


@contextmanager
def _home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="duewell-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def demo_installation(sandbox: Sandbox, vendors: str, home: Path, port: int) -> Iterator[Installation]:
    """Open an installation whose vendors are the make-believe ones, with the demo's policy."""
    own = {name.lower(): value for name, value in sandbox.settings(vendors).items()}
    own |= {"duewell_home": str(home), "duewell_database_url": f"sqlite:///{home}/duewell.db"}
    own |= {"duewell_base_url": f"http://localhost:{port}", "duewell_secret_keys": ""}
    installation = open_installation(load_settings(**own), now=sandbox.clock.now)
    try:
        with writing(installation.engine) as session:
            policies_store.set_policy(session, POLICY, by="the demo", at=installation.now())
        yield installation
    finally:
        installation.close()


def connect_both(installation: Installation, tell: Callable[[str], None]) -> list[Connection]:
    """Connect a company on each ledger, consenting as a person would."""
    made: list[Connection] = []
    for name in ("xero", "quickbooks"):
        request = begin_consent(installation, name)
        reply = requests.get(f"{request.url}&sandbox_allow=1", allow_redirects=False, timeout=10)
        made += finish_consent(installation, name, urljoin(request.url, reply.headers["Location"]))
        tell(f"connected {name}: " + ", ".join(each.name for each in made if each.provider == name))
    return made


def live_until(
    installation: Installation,
    sandbox: Sandbox,
    connections: list[Connection],
    today: datetime,
    tell: Callable[[str], None],
) -> list[RunResult]:
    """Let the days pass, an hour of each company on every one of them; return the last day's."""
    results: list[RunResult] = []
    while sandbox.clock.now() < today:
        sandbox.clock.advance(timedelta(days=1))
        results = [
            run_connection(installation, each.id or 0, tell=_now_and_then(tell, each.name)) for each in connections
        ]
        did = "; ".join(f"{result.name}: {_did(result)}" for result in results)
        tell(f"{sandbox.clock.now():%a %d %b}  {did}")
    return results


def _now_and_then(tell: Callable[[str], None], name: str) -> Callable[[str], None]:
    """Tell what a long run is at, a line every few seconds."""
    told_at = time.monotonic()

    def seldom(text: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > TOLD_EVERY_SECONDS:
            told_at = time.monotonic()
            tell(f"            {name}: {text} …")

    return seldom


def _did(result: RunResult) -> str:
    words = {"mailed": "mail", "charged": "late fee", "noted": "note", "tasks": "task", "doubts": "doubt"}
    counts = ((result.numbers.get(name, 0), word) for name, word in words.items())
    done = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    return (", ".join(done) or "quiet") + ("" if result.outcome == "ok" else f" ({result.outcome}: {result.why})")


def _show_sums(installation: Installation, sandbox: Sandbox, show: Callable[[str], None]) -> None:
    with reading(installation.engine) as session:
        posted = [fee for fee in fees.listing(session) if fee["state"] == "posted"]
    show("")
    show(
        f"In {LIVE_FOR_DAYS} days: {len(sandbox.sendgrid.mails())} mails, and {len(posted)} late fees, each of them"
        " agreed in the terms and announced in a mail at least a week before. The newest:"
    )
    for fee in posted[:3]:
        show(f"  {fee['number']}: {fee['amount']} {fee['currency']} for {fee['invoice']} ({fee['customer']})")


def _serve(installation: Installation, port: int, ready: Callable[[str], None]) -> None:
    from connector.serve import serve  # noqa: PLC0415 - only the demo that stays open needs the web app

    with writing(installation.engine) as session:
        at = installation.now()
        you = add_user(session, "you@demo.example", "owner", name="You", by="the demo", at=at)
        link = make_link(session, you, at, enters=True)
    threading.Timer(1.0, ready, [f"http://localhost:{port}/welcome/{link}"]).start()
    serve(installation, "127.0.0.1", port)
