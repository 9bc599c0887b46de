"""Fixtures of the tests of bank statements: a site with a company, without an accounting system behind it."""

from __future__ import annotations

from tests.connector.site import settings, site  # noqa: F401
