"""How a company is connected: consent, tokens, account owners, fee booking."""
