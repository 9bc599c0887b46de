"""Simulated Xero, QuickBooks Online and SendGrid on one machine, over real HTTP, for the demo and the tests."""

from sandbox.server import Sandbox

__all__ = ["Sandbox"]
