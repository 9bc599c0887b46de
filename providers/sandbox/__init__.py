"""Xero, QuickBooks Online and SendGrid on one machine: make-believe vendors over real HTTP, for demo and tests."""

from providers.sandbox.server import Sandbox, run

__all__ = ["Sandbox", "run"]
