"""The settings pages: sender, calendar, users, API tokens, webhooks, privacy, backup and health."""

from __future__ import annotations

from connector.web.settings import api_tokens, privacy, system, users, webhooks

ROUTES = (*system.ROUTES, *users.ROUTES, *api_tokens.ROUTES, *webhooks.ROUTES, *privacy.ROUTES)
