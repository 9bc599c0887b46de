"""The mirror of the books: stored page by page, read back as the facts that the policies look at."""
