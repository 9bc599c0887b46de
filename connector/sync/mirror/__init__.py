"""The mirror of the ledgers: stored page by page, and read back as the facts that policies decide on."""
