"""Fixtures of the web app's tests: a site with its users."""

from __future__ import annotations

from tests.connector.site import _clean_environment, count_queries, settings, site, site_with_invoices  # noqa: F401
