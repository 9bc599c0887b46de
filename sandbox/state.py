"""The state of a sandbox: its simulated services with their shared clock, request log and fault script."""

from __future__ import annotations

from datetime import datetime

from sandbox import gmail, microsoft365, quickbooks, sendgrid, xero
from sandbox.clock import SandboxClock
from sandbox.core import SandboxCore, SimulatedService
from sandbox.faults import FaultScript
from sandbox.request_gate import RequestLog


class SandboxState:
    """Simulated services with a shared clock, request log and fault script.

    ``xero``, ``quickbooks``, ``sendgrid``, ``microsoft365`` and ``gmail`` are the state of the services. Other threads
    change it through its own methods, which take the lock that the server holds while it answers.
    """

    def __init__(self, seed: int = 1, now: datetime | None = None) -> None:
        """Start at ``now`` with a frozen clock, or at the real time with a running one."""
        self.clock = SandboxClock(now)
        self.core = SandboxCore(seed, self.clock, self.clock.now())
        self.requests = RequestLog()
        self.faults = FaultScript()
        self.xero = xero.make(self.core)
        self.quickbooks = quickbooks.make(self.core)
        self.sendgrid = sendgrid.make(self.core)
        self.microsoft365 = microsoft365.make(self.core)
        self.gmail = gmail.make(self.core)
        self.services: dict[str, SimulatedService] = {
            "xero": self.xero,
            "quickbooks": self.quickbooks,
            "sendgrid": self.sendgrid,
            "microsoft365": self.microsoft365,
            "gmail": self.gmail,
        }

    def settings(self, url: str) -> dict[str, str]:
        """Return duewell's settings for all services, served at ``url``."""
        return {name: value for service in self.services.values() for name, value in service.settings(url).items()}
