"""A simulated Microsoft 365: one mailbox at Exchange Online behind Microsoft Graph, with its sign-in."""

from __future__ import annotations

from starlette.routing import BaseRoute

from sandbox.core import SandboxCore
from sandbox.microsoft365 import graph
from sandbox.microsoft365.exchange import StoredMessage
from sandbox.microsoft365.service import ADDRESS, CLIENT_ID, Microsoft365

__all__ = ["ADDRESS", "CLIENT_ID", "Microsoft365", "StoredMessage", "make", "routes"]


def make(core: SandboxCore) -> Microsoft365:
    """Build the Microsoft 365 of a sandbox."""
    return Microsoft365(core)


def routes(service: Microsoft365) -> list[BaseRoute]:
    """Return all routes."""
    return [*service.signin.routes(), *graph.routes(service)]
