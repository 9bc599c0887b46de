"""A make-believe QuickBooks Online: stateful books behind Intuit's own API and sign-in, for demo and tests."""

from providers.sandbox.core import SandboxCore
from providers.sandbox.quickbooks.books import REALM
from providers.sandbox.quickbooks.vendor import QuickBooks

__all__ = ["REALM", "QuickBooks", "make"]


def make(core: SandboxCore) -> QuickBooks:
    """Make the vendor of one sandbox."""
    return QuickBooks(core)
