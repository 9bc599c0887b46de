"""A make-believe SendGrid: takes mail by its rules, tells what became of it, and shows it as a person would see it."""

from sandbox.core import SandboxCore
from sandbox.sendgrid.message_store import Email
from sandbox.sendgrid.vendor import API_KEY, SendGrid

__all__ = ["API_KEY", "Email", "SendGrid", "make"]


def make(core: SandboxCore) -> SendGrid:
    """Make the vendor of one sandbox."""
    return SendGrid(core)
