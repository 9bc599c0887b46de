"""The routes of all list pages."""

from __future__ import annotations

from connector.web.lists import invoices, outbox

ROUTES = (*invoices.ROUTES, *outbox.ROUTES)
