"""Outgoing webhooks: events sent to addresses that an owner added; off unless a setting allows them."""
