"""A make-believe QuickBooks Online: stateful books behind Intuit's own API and sign-in, for demo and tests."""

from sandbox.core import SandboxCore
from sandbox.quickbooks.company_ledger import REALM
from sandbox.quickbooks.vendor import QuickBooks

__all__ = ["REALM", "QuickBooks", "make"]


def make(core: SandboxCore) -> QuickBooks:
    """Make the vendor of one sandbox."""
    return QuickBooks(core)
