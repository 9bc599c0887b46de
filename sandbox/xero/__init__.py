"""The make-believe Xero: sign-in, the Accounting API, and organisations whose books go on by themselves."""

from sandbox.core import SandboxCore
from sandbox.xero.signin import CLIENT_ID, CLIENT_SECRET, PKCE_CLIENT_ID
from sandbox.xero.vendor import Xero

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "PKCE_CLIENT_ID", "Xero", "make"]


def make(core: SandboxCore) -> Xero:
    """Make a Xero to be plugged into a sandbox."""
    return Xero(core)
