"""Fixtures of the webhooks' tests: a served web app with a company."""

from __future__ import annotations

from tests.connector.site import site  # noqa: F401
