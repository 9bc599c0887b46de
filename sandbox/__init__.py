"""Xero, QuickBooks Online and SendGrid on one machine: make-believe vendors over real HTTP, for demo and tests."""

from sandbox.server import Sandbox

__all__ = ["Sandbox"]
