"""A simulated SendGrid: accepts emails by SendGrid's rules, reports what happened to them, and shows them."""

from sandbox.core import SandboxCore
from sandbox.sendgrid.message_store import Email
from sandbox.sendgrid.routes import routes
from sandbox.sendgrid.service import API_KEY, SendGrid

__all__ = ["API_KEY", "Email", "SendGrid", "make", "routes"]


def make(core: SandboxCore) -> SendGrid:
    """Build the SendGrid of a sandbox."""
    return SendGrid(core)
