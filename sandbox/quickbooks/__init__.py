"""A simulated QuickBooks Online: companies with a history, behind Intuit's own API and sign-in."""

from sandbox.core import SandboxCore
from sandbox.quickbooks.company_ledger import REALM
from sandbox.quickbooks.routes import routes
from sandbox.quickbooks.service import QuickBooks

__all__ = ["REALM", "QuickBooks", "make", "routes"]


def make(core: SandboxCore) -> QuickBooks:
    """Build the QuickBooks of a sandbox."""
    return QuickBooks(core)
