"""A company of 100 open invoices on a simulated ledger, connected to both revisions, each with its own database."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import requests

from benchmarks.revisions.revision import HERE, Revision
from sandbox import Sandbox
from tests.connector.scenario import SandboxCompany

CUSTOMERS, INVOICES_EACH = 25, 4
START = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)  # a Wednesday; nothing is due for the weeks that are measured
WARM_UP = 2  # the first syncs load modules and compile statements


@dataclass(frozen=True)
class Installation:
    """One revision with its settings, connected to a company or to several."""

    revision: Revision
    settings: dict[str, str]


@dataclass(frozen=True)
class SyncCost:
    """The medians of a kind of sync: processor seconds of its thread, and statements sent to the database."""

    seconds: float
    statements: float


class Probe:
    """A process of a revision that syncs when it is asked to."""

    def __init__(self, installed: Installation) -> None:
        """Start the process."""
        revision = installed.revision
        self._process = subprocess.Popen(
            [str(revision.python), "-P", str(HERE / "probe.py")], cwd=revision.folder,
            env=revision.environment(installed.settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def sync(self, connection: int, at: datetime) -> SyncCost:
        """Sync once at an instant."""
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(json.dumps({"connection": connection, "at": at.isoformat()}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer["outcome"] != "ok":
            message = f"a sync ended with {answer['outcome']}"
            raise RuntimeError(message)
        return SyncCost(answer["seconds"], answer["statements"])

    def close(self) -> None:
        """Wait until it has ended."""
        self._process.communicate()


@contextmanager
def serving_companies(providers: tuple[str, ...], now: datetime | None) -> Iterator[tuple[str, list[SandboxCompany]]]:
    """Simulate the services with a company on each of these ledgers; a clock that is not given runs."""
    sandbox = Sandbox(now=now)
    today = sandbox.clock.now().date()
    with sandbox.serve() as url:
        companies = [SandboxCompany(sandbox, provider) for provider in providers]
        for company in companies:
            for n in range(CUSTOMERS):
                name = company.customer(f"Customer{n:03} Ltd")
                for k in range(INVOICES_EACH):
                    due_on = today + timedelta(days=45 + k)
                    company.invoice(name, f"{200 + n}.{k:02}", on=today, due_on=due_on)
        yield url, companies


def install(revision: Revision, home: Path, url: str, companies: list[SandboxCompany]) -> Installation:
    """Connect the companies to a revision by its own command, as a user would, and switch them to live."""
    home.mkdir(mode=0o700)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        **companies[0].sandbox.settings(url), "DUEWELL_HOME": str(home),
        "DUEWELL_BASE_URL": f"http://localhost:{port}",
    }  # fmt: skip
    installed = Installation(revision, settings)
    for n, company in enumerate(companies, 1):
        _connect(installed, company)
        revision.output([*revision.command("connections", "mode", str(n), "live"), "--json"], settings)
    return installed


def _connect(installed: Installation, company: SandboxCompany) -> None:
    revision = installed.revision
    connecting = subprocess.Popen(
        revision.command("connect", company.provider, "--no-browser"), cwd=revision.folder,
        env=revision.environment(installed.settings), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert connecting.stdout is not None  # noqa: S101
    consent = connecting.stdout.readline().strip()
    allowed = f"{consent}&sandbox_allow=1&sandbox_organisation={company.external_id}"
    reply = requests.get(allowed, allow_redirects=False, timeout=10)
    for _ in range(50):  # it listens a moment after it has printed the URL
        try:
            requests.get(urljoin(consent, reply.headers["Location"]), timeout=10)
            break
        except requests.ConnectionError:
            time.sleep(0.1)
    connecting.communicate()
    if connecting.returncode:
        message = f"{revision.name}: {company.provider} could not be connected"
        raise RuntimeError(message)


def measure_syncs(
    revisions: list[Revision], provider: str, folder: Path, times: int
) -> list[tuple[SyncCost, SyncCost]]:
    """Return, for each revision, the cost of a quiet sync and of one with a payment; they take turns, hour by hour."""
    with serving_companies((provider,), START) as (url, companies), ExitStack() as probes:
        company = companies[0]
        installed = [install(each, folder / f"{provider}-{n}", url, companies) for n, each in enumerate(revisions)]
        started = [Probe(each) for each in installed]
        for probe in started:
            probes.callback(probe.close)
        quiet: list[list[SyncCost]] = [[] for _ in revisions]
        paid: list[list[SyncCost]] = [[] for _ in revisions]
        for turn in range(WARM_UP + times):
            # The first sync after a payment reads it once more, and is not quiet. In this order no payment comes when
            # a day or a send window begins or ends, which brings decisions about everybody anyway.
            for costs in (quiet, paid, None):
                company.sandbox.clock.advance(timedelta(hours=1))
                if costs is paid:  # a part payment: nobody is thanked for it
                    company.pay(company.numbers[turn % len(company.numbers)], "1.00")
                for n, probe in enumerate(started):
                    cost = probe.sync(1, company.sandbox.clock.now())
                    if costs is not None:
                        costs[n].append(cost)
    return [(_median(quiet[n][WARM_UP:]), _median(paid[n][WARM_UP:])) for n in range(len(revisions))]


def _median(costs: list[SyncCost]) -> SyncCost:
    middle = len(costs) // 2
    return SyncCost(sorted(each.seconds for each in costs)[middle], sorted(each.statements for each in costs)[middle])
