"""The web app: pages for users, the customer portal, webhooks of connected services, health and metrics."""
