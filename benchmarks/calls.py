"""How many calls a morning's emails take at each service, counted at simulated services that keep their limits.

Forty invoices reach their reminder on the same day. In the evening before, the company is connected and live; it syncs
every hour. Time is simulated: each call takes a fifth of a second, and waiting costs nothing.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from connector.vocabulary import RunOutcome
from sandbox import Sandbox
from sandbox.faults import RequestRecord, Rule
from tests.connector.scenario import Scenario, make_scenario

EVENING = datetime(2026, 6, 9, 19, 30, tzinfo=UTC)  # a Tuesday; in London it is 20:30
MIDNIGHT = datetime(2026, 6, 9, 23, 0, tzinfo=UTC)
MORNING_SYNC = datetime(2026, 6, 10, 7, 30, tzinfo=UTC)
CALL_TAKES = timedelta(seconds=0.2)
TOO_MANY_REQUESTS = 429
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)\d+(?=/|$)")


@dataclass
class SyncCalls:
    """The calls of one sync, by what they are, and how long it stood still."""

    emails: int
    waited_s: float
    calls: list[RequestRecord] = field(repr=False)

    @property
    def to_ledger(self) -> list[RequestRecord]:
        """The calls to the accounting system."""
        return [one for one in self.calls if one.service in {"xero", "quickbooks"} and one.kind != "token"]

    @property
    def lookups_at_sendgrid(self) -> int:
        """How many calls asked SendGrid something."""
        return sum(one.service == "sendgrid" and one.kind != "email" for one in self.calls)

    @property
    def rejected(self) -> int:
        """How many calls were rejected for a limit."""
        return sum(one.status == TOO_MANY_REQUESTS for one in self.calls)

    @property
    def by_kind(self) -> Counter[str]:
        """All calls but emails and sign-in, by method and path."""
        return Counter(describe(one) for one in self.calls if one.kind not in {"token", "email"})


@dataclass
class Company:
    """A live company whose calls are counted."""

    scenario: Scenario
    waited_s: float = 0.0

    def sync(self) -> SyncCalls:
        """Sync once and return its calls."""
        scenario = self.scenario
        first, emails, self.waited_s = len(scenario.sandbox.requests), len(scenario.customer_emails()), 0.0
        result = scenario.run()
        if result.outcome is not RunOutcome.OK:
            raise RuntimeError(result.reason)
        sent = len(scenario.customer_emails()) - emails
        return SyncCalls(sent, self.waited_s, list(scenario.sandbox.requests[first:]))

    def sync_hourly_until(self, at: datetime, syncs_max: int = 24) -> list[SyncCalls]:
        """Sync every hour before an instant, and be there."""
        clock, syncs = self.scenario.sandbox.clock, list[SyncCalls]()
        next_at = clock.now() + timedelta(hours=1)
        while next_at < at and len(syncs) < syncs_max:
            clock.set(max(next_at, clock.now()))
            syncs.append(self.sync())
            next_at += timedelta(hours=1)
        clock.set(at)
        return syncs


@contextmanager
def late_company(provider: str, customers: int, invoices_each: int, folder: Path) -> Iterator[Company]:
    """Make a company all of whose customers are to be reminded tomorrow, at services that keep their limits."""
    sandbox = Sandbox(now=EVENING)
    sandbox.quickbooks.throttle.enabled = sandbox.sendgrid.limit.enforced = True
    with sandbox.serve() as url:
        folder.mkdir(mode=0o700, exist_ok=True)
        company = Company(make_scenario(sandbox, url, folder, provider))
        scenario = company.scenario

        def sleep(seconds: float) -> None:
            company.waited_s += seconds
            sandbox.clock.sleep(seconds)

        object.__setattr__(scenario.app, "sleep", sleep)
        due_on = MORNING_SYNC.date() - timedelta(days=5)
        for n in range(customers):
            name = scenario.company.customer(f"Customer{n:03} Ltd")
            for k in range(invoices_each):
                scenario.company.invoice(name, f"{100 + n}.{k:02}", due_on=due_on)
        takes = Rule(action="call", times=0, callback=lambda _: sandbox.clock.advance(CALL_TAKES))
        sandbox.faults.add(takes)
        yield company
        scenario.app.close()


def describe(request: RequestRecord) -> str:
    """Return a call's method and path without ids."""
    path = _ID.sub("…", request.path).replace("/api.xro/2.0", "").replace("/v3/company/…", "")
    detail = next((f"?{name}" for name in ("IDs", "invoiceLink") if name in request.query), "")
    return f"{request.method} {path}{detail}"


def main() -> None:
    """Print the counts for both ledgers."""
    for provider in ("xero", "quickbooks"):
        for customers, invoices_each in ((40, 1), (6, 10), (10, 5)):
            with (
                TemporaryDirectory() as folder,
                late_company(provider, customers, invoices_each, Path(folder) / "home") as company,
            ):
                company.scenario.go_live()
                night = company.sync_hourly_until(MORNING_SYNC)
                morning = company.sync()
            report = (
                f"{provider}, {customers} customers with {invoices_each}: {morning.emails} emails,"
                f" {len(morning.to_ledger)} calls to the ledger ({len(morning.to_ledger) / morning.emails:.2f} each),"
                f" {morning.lookups_at_sendgrid} lookups at SendGrid,"
                f" {morning.rejected + sum(each.rejected for each in night)} answers of 429,"
                f" {morning.waited_s:.0f} s of waiting; the night's syncs took"
                f" {[len(each.to_ledger) for each in night]}"
            )
            sys.stdout.write(f"{report}\n")
            for kind, count in sorted(morning.by_kind.items()):
                sys.stdout.write(f"    {count:4} {kind}\n")


if __name__ == "__main__":
    main()
