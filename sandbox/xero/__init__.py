"""A simulated Xero: sign-in, the Accounting API, and organisations with a history that goes on."""

from sandbox.core import SandboxCore
from sandbox.xero.routes import routes
from sandbox.xero.service import Xero
from sandbox.xero.signin import CLIENT_ID, CLIENT_SECRET, PKCE_CLIENT_ID

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "PKCE_CLIENT_ID", "Xero", "make", "routes"]


def make(core: SandboxCore) -> Xero:
    """Build the Xero of a sandbox."""
    return Xero(core)
