"""Fixtures of the API tests: two companies on a served installation, and clients with and without a token."""

from __future__ import annotations

from tests.connector.api_clients import _openapi_cache, scenario, settings, validate_reply  # noqa: F401
from tests.connector.site import _clean_environment, count_queries, site  # noqa: F401
