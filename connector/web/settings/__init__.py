"""The pages behind Settings: sender, calendar, users, API tokens, webhooks, privacy, backup, health."""

from __future__ import annotations

from connector.web.settings import privacy, tokens, upkeep, users, webhooks

ROUTES = (*upkeep.ROUTES, *users.ROUTES, *tokens.ROUTES, *webhooks.ROUTES, *privacy.ROUTES)
