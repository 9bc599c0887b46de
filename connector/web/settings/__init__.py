"""The pages behind Settings: sender, calendar, users, API tokens, webhooks, backup, health."""

from __future__ import annotations

from connector.web.settings import tokens, upkeep, users, webhooks

ROUTES = (*upkeep.ROUTES, *users.ROUTES, *tokens.ROUTES, *webhooks.ROUTES)
