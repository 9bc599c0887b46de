"""A simulated Gmail: Google's sign-in, and mailboxes that send, receive, bounce and keep a history of changes."""

from sandbox.core import SandboxCore
from sandbox.gmail.routes import routes
from sandbox.gmail.service import Gmail
from sandbox.gmail.signin import CLIENT_ID, CLIENT_SECRET

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "Gmail", "make", "routes"]


def make(core: SandboxCore) -> Gmail:
    """Build the Gmail of a sandbox."""
    return Gmail(core)
