"""Simulated accounting systems and email services on one machine, over real HTTP, for the demo and the tests."""

from sandbox.server import Sandbox

__all__ = ["Sandbox"]
