"""The routes of all list pages."""

from __future__ import annotations

from connector.web.lists import customers, invoices, log, outbox, runs, tasks, users

ROUTES = (*invoices.ROUTES, *outbox.ROUTES, *customers.ROUTES, *tasks.ROUTES, *runs.ROUTES, *log.ROUTES, *users.ROUTES)
